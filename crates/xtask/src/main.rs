//! `cargo run -p xtask -- walls`: prints each complaint with what to do about it; exit code 1 when there is one.

use std::process::ExitCode;

use anyhow::Result;
use xtask::metadata::Metadata;
use xtask::{licences, root, sizes, walls};

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("walls") => check(),
        _ => {
            eprintln!("usage: cargo run -p xtask -- walls");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(complaints) if complaints.is_empty() => {
            println!("walls: nothing to complain about");
            ExitCode::SUCCESS
        }
        Ok(complaints) => {
            for complaint in &complaints {
                eprintln!("{complaint}");
            }
            eprintln!("walls: {} complaints", complaints.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("walls: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<Vec<String>> {
    let metadata = Metadata::read()?;
    let deny = walls::Deny::read()?;
    let mut complaints = walls::inside(&metadata);
    complaints.extend(walls::outside(&metadata, &deny));
    complaints.extend(walls::never(&walls::built()?, &deny));
    complaints.extend(licences::check(&metadata, &deny));
    let found = sizes::check(&root())?;
    for warning in &found.long {
        eprintln!("warning: {warning}");
    }
    complaints.extend(found.too_long);
    Ok(complaints)
}
