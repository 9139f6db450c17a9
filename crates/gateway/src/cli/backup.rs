//! `heliograph backup` and `heliograph restore`

use std::path::Path;

use http::Method;

use super::say;
use crate::client::{Client, text};
use crate::data::Layout;
use crate::{Config, Problem, backup};

/// Has the gateway (or the data directory) copied, packs the copy into `file` and removes the copy.
pub async fn back_up(config: &Config, file: &Path) -> Result<(), Problem> {
    if file.exists() {
        return Err(Problem::setup(format!("{} exists already: name another file, or remove it", file.display())));
    }
    let client = Client::open(config).await?;
    let made = client.json(Method::POST, "/backup", None).await;
    client.close().await;
    let made = made?;
    let copy = Path::new(text(&made, "path"));
    let packed = backup::pack(copy, file);
    if let Err(error) = std::fs::remove_dir_all(copy) {
        eprintln!("heliograph: the copy in {} could not be removed: {error}", copy.display());
    }
    packed?;
    say(format_args!("wrote {}; it opens every private key of the gateway, so keep it like a password", file.display()))
}

/// Unpacks `file` into the data directory, which must be empty.
pub fn restore(config: &Config, file: &Path) -> Result<(), Problem> {
    say(backup::unpack(file, &Layout::new(&config.data))?)
}
