//! Other people's clients, run as programs with a time limit.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// The repository's folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// The Python with the clients' packages, where `./test` has made one.
#[must_use]
pub fn python() -> Option<String> {
    crate::environment("HELIOGRAPH_TEST_PYTHON")
}

/// What a program left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Outcome {
    /// Fails the test unless it ended well.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }
}

/// Runs a program to its end; fails the test when that takes longer than `seconds`.
pub async fn run<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>, seconds: u64) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(seconds), command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} did not end within {seconds} s")).unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// One of the scripts in `tests/clients`, run to its end; `None` where there is no Python for it.
pub async fn script(name: &str, arguments: &[&str], seconds: u64) -> Option<Outcome> {
    script_with("HELIOGRAPH_TEST_PYTHON", name, arguments, seconds).await
}

/// The same with the Python that the environment variable names.
pub async fn script_with(variable: &str, name: &str, arguments: &[&str], seconds: u64) -> Option<Outcome> {
    let python = crate::environment(variable)?;
    let file = root().join("tests/clients").join(name).display().to_string();
    Some(run(&python, std::iter::once(file.as_str()).chain(arguments.iter().copied()), seconds).await)
}

/// A program that tells what it does in lines.
#[derive(Debug)]
pub struct Talking {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    errors: JoinHandle<String>,
}

impl Talking {
    /// Starts a program.
    pub fn start<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stderr = child.stderr.take().unwrap();
        let errors = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, lines, errors }
    }

    /// One of the scripts in `tests/clients`; `None` where there is no Python for it.
    #[must_use]
    pub fn script(name: &str, arguments: &[&str]) -> Option<Self> {
        let python = python()?;
        let file = root().join("tests/clients").join(name).display().to_string();
        Some(Self::start(&python, std::iter::once(file.as_str()).chain(arguments.iter().copied())))
    }

    /// The next line; fails the test when the program ends or `seconds` are over.
    pub async fn line(&mut self, seconds: u64) -> String {
        match tokio::time::timeout(Duration::from_secs(seconds), self.lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            other => {
                let _ = self.child.start_kill();
                let errors = (&mut self.errors).await.unwrap_or_default();
                panic!("no line ({other:?}); it said:\n{errors}");
            }
        }
    }

    /// The next line that is a JSON object with this `event`; others are passed over.
    pub async fn event(&mut self, name: &str, seconds: u64) -> Value {
        loop {
            let line = self.line(seconds).await;
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value["event"] == name => return value,
                _ => {}
            }
        }
    }

    /// Ends it.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}
