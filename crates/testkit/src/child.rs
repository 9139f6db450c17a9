//! The `heliograph` binary as a process of its own: it can be killed at any moment and started again on the same data.

use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::Http;

/// A running gateway. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    process: Process,
    log: PathBuf,
    ready: Value,
    /// From the start of the process to its `ready.json`.
    pub start_took: Duration,
}

/// What `serve` needs to listen on free ports only.
pub const FREE_PORTS: &[&str] = &["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--mqtts", "127.0.0.1:0"];

impl Child {
    /// Runs `binary serve --data DIR …` and waits until it is ready.
    #[must_use]
    pub fn start(binary: &str, data: &Path, arguments: &[&str]) -> Self {
        let all: Vec<&str> = FREE_PORTS.iter().chain(arguments).copied().collect();
        Self::start_on(binary, data, &all)
    }

    /// The same with every listener named by the caller.
    #[must_use]
    pub fn start_on(binary: &str, data: &Path, arguments: &[&str]) -> Self {
        let log = data.with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let _ = std::fs::remove_file(data.join("ready.json"));
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(data).args(arguments);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let begun = Instant::now();
        let mut process = command.spawn().unwrap_or_else(|e| panic!("{binary}: {e}"));
        let ready = loop {
            if let Some(ready) = std::fs::read(data.join("ready.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                break ready;
            }
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the gateway ended with {status}:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                let _ = process.kill();
                panic!("the gateway is not ready after 60 s:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Self { process, log, ready, start_took: begun.elapsed() }
    }

    /// A field of `ready.json`; empty when null.
    #[must_use]
    pub fn ready(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_default()
    }

    /// Requests to it.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(format!("http://{}", self.ready("http")))
    }

    /// `host:port` of plain MQTT.
    #[must_use]
    pub fn mqtt(&self) -> &str {
        self.ready("mqtt")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// SIGTERM, and waits for the end; returns the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(told.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not stopped 30 s after SIGTERM:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
