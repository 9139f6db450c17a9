//! What is told on stderr when something cannot be done: one line that says what to do.

use std::fmt;
use std::path::Path;

/// Why a command ends without doing what was asked. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    message: String,
    code: u8,
}

impl Problem {
    /// Something about the set-up: configuration, files, addresses, arguments. Exit code 2.
    pub fn setup(message: impl fmt::Display) -> Self {
        Self { message: one_line(&message.to_string()), code: 2 }
    }

    /// The command was understood and refused, or failed midway. Exit code 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { message: one_line(&message.to_string()), code: 1 }
    }

    /// A file that cannot be read or written.
    pub fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => " (run as its owner, or change its permissions)",
            std::io::ErrorKind::NotFound => " (is the path right?)",
            std::io::ErrorKind::StorageFull => " (make room on the disk)",
            _ => "",
        };
        Self::setup(format!("cannot {doing} {}: {error}{hint}", path.display()))
    }

    /// A mistake in a TOML file, with its line: `FILE line N: …`.
    #[must_use]
    pub fn toml(name: &str, text: &str, error: &toml::de::Error) -> Self {
        match error.span() {
            Some(span) => Self::at(name, text, span.start, error.message()),
            None => Self::setup(format!("{name}: {}", error.message())),
        }
    }

    /// A mistake at a byte offset of a file.
    pub fn at(name: &str, text: &str, offset: usize, message: impl fmt::Display) -> Self {
        let line = text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1;
        // Without a name the text came over the network: whoever sent it knows what it is called.
        let name = if name.is_empty() { String::new() } else { format!("{name} ") };
        Self::setup(format!("{name}line {line}: {message}"))
    }

    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl From<model::Error> for Problem {
    fn from(error: model::Error) -> Self {
        match error {
            // The detail is for the log; at the command line this line is the log.
            model::Error::Internal { detail } => Self::failed(format!("internal error: {detail}")),
            other => Self::failed(other),
        }
    }
}
