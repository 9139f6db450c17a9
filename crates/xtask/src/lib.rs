//! Checks that cargo itself does not make. Each is a function from what it reads to a list of complaints, so that
//! `cargo run -p xtask -- walls` and the tests of this crate run the very same code.
//!
//! - [`walls`]: a crate of the house uses only crates above it, and an outside crate is used only where `deny.toml` allows it.
//! - [`licences`]: every crate that is built has a licence from `deny.toml`'s list.
//! - [`sizes`]: no source file grows past reading.

pub mod licences;
pub mod metadata;
pub mod sizes;
pub mod walls;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's folder.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Runs cargo in the workspace's folder and returns what it prints.
pub fn cargo(arguments: &[&str]) -> Result<String> {
    let program = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(program).args(arguments).current_dir(root()).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("cargo {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
