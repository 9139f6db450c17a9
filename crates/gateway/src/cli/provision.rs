//! `heliograph apply FILE`

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::say;
use crate::client::{Client, read_text, text};
use crate::provision::Fleet;
use crate::{Config, Problem};

/// Applies the file. Its shape is checked here, so that a mistake is told with the file's name even where a gateway runs.
pub async fn apply(config: &Config, file: &Path) -> Result<(), Problem> {
    let name = file.display().to_string();
    let content = read_text(file)?;
    Fleet::read(&name, &content)?;
    let client = Client::open(config).await?;
    let answer = client.send(Method::POST, "/provision", Some((Bytes::from(content), "application/toml"))).await;
    let report = match answer {
        Ok(mut answer) => {
            let mut whole = Vec::new();
            while let Some(piece) = answer.chunk().await? {
                whole.extend_from_slice(&piece);
            }
            serde_json::from_slice::<Value>(&whole).map_err(Problem::failed)
        }
        Err(problem) => Err(in_file(&name, problem)),
    };
    client.close().await;
    let report = report?;
    if let Some(Value::Array(entries)) = report.get("entries") {
        for entry in entries.iter().filter(|entry| text(entry, "outcome") != "unchanged") {
            say(format_args!("{} {} {}", text(entry, "outcome"), text(entry, "kind"), text(entry, "name")))?;
        }
    }
    let count = |member: &str| report.get(member).and_then(Value::as_u64).unwrap_or(0);
    say(format_args!("{} created, {} updated, {} unchanged", count("created"), count("updated"), count("unchanged")))
}

/// The gateway knows lines, we know the file.
fn in_file(name: &str, problem: Problem) -> Problem {
    let told = problem.to_string();
    match told.strip_prefix("file: ") {
        Some(rest) => Problem::setup(format!("{name} {rest}")),
        None => problem,
    }
}
