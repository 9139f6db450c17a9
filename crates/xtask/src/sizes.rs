//! A source file should be read in one sitting: from 500 lines on it is mentioned, from 800 on it is refused.

use std::path::Path;

use anyhow::Result;

const LONG: usize = 500;
const TOO_LONG: usize = 800;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Worth splitting.
    pub long: Vec<String>,
    /// Must be split.
    pub too_long: Vec<String>,
}

/// Counts the lines of every Rust file under `crates/`.
pub fn check(root: &Path) -> Result<Found> {
    let mut found = Found::default();
    walk(root, &root.join("crates"), &mut found)?;
    found.long.sort();
    found.too_long.sort();
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Found) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let lines = std::fs::read_to_string(&path)?.lines().count();
            let name = path.strip_prefix(root).unwrap_or(&path).display();
            if lines >= TOO_LONG {
                found.too_long.push(format!("{name} has {lines} lines: split it by what a reader looks for"));
            } else if lines >= LONG {
                found.long.push(format!("{name} has {lines} lines"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_file_is_too_long() {
        assert_eq!(check(&crate::root()).unwrap().too_long, Vec::<String>::new());
    }

    #[test]
    fn long_files_are_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("crates/a/src")).unwrap();
        std::fs::write(root.path().join("crates/a/src/big.rs"), "\n".repeat(TOO_LONG)).unwrap();
        std::fs::write(root.path().join("crates/a/src/long.rs"), "\n".repeat(LONG)).unwrap();
        std::fs::write(root.path().join("crates/a/src/lib.rs"), "\n").unwrap();
        let found = check(root.path()).unwrap();
        assert_eq!((found.too_long.len(), found.long.len()), (1, 1));
    }
}
