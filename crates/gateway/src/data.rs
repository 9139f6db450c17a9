//! The data directory: its lock, its files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::Problem;

/// The files of a data directory.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: PathBuf,
}

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> PathBuf {
            self.dir.join($file)
        }
    )*};
}

impl Layout {
    /// The layout of this directory, whether it exists or not.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    files! {
        /// The SQLite database.
        database = "heliograph.db";
        /// The journal's directory.
        journal = "journal";
        /// The master key, mode 0600.
        master_key = "master.key";
        /// The CA certificate, for devices and their owners.
        ca = "ca.pem";
        /// What a running gateway listens on.
        ready = "ready.json";
        /// The bearer token of the command line, valid while the gateway runs; mode 0600.
        operator_token = "operator.token";
        /// Backups made through the API.
        backups = "backups";
        /// Held while a process uses the directory.
        lock = "lock";
    }

    /// Makes the directory (only its owner may look in) and locks it for this process.
    pub fn lock_now(&self) -> Result<Lock, Problem> {
        self.try_lock()?.ok_or_else(|| {
            let holder = std::fs::read_to_string(self.lock()).ok().and_then(|text| text.trim().parse::<u32>().ok());
            let holder = holder.map_or_else(String::new, |id| format!(" (process {id})"));
            Problem::setup(format!(
                "{} is in use by another heliograph{holder}: stop that one first, or name another directory with --data",
                self.dir.display()
            ))
        })
    }

    /// The same; none when another process holds it.
    pub fn try_lock(&self) -> Result<Option<Lock>, Problem> {
        self.make_dir(&self.dir)?;
        let path = self.lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let mut file = options.open(&path).map_err(|e| Problem::file("open", &path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Problem::file("lock", &path, &error)),
        }
        let note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        note.map_err(|e| Problem::file("write", &path, &e))?;
        Ok(Some(Lock { _file: file }))
    }

    /// Does a process hold the directory? Makes nothing.
    pub fn in_use(&self) -> Result<bool, Problem> {
        if !self.lock().exists() {
            return Ok(false);
        }
        Ok(self.try_lock()?.is_none())
    }

    /// Makes what store and journal will write into, for the owner alone, whatever the directory around it is like.
    pub fn make_private(&self) -> Result<(), Problem> {
        self.make_dir(&self.journal())?;
        let path = self.database();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        private(&mut options);
        options.open(&path).map(|_| ()).map_err(|e| Problem::file("write", &path, &e))
    }

    fn make_dir(&self, dir: &Path) -> Result<(), Problem> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir).map_err(|e| Problem::file("make", dir, &e))?;
        std::fs::read_dir(dir).map(|_| ()).map_err(|e| Problem::file("read", dir, &e))
    }

    /// Writes a file so that readers see the old text or the new one, never half of it.
    pub fn write(&self, path: &Path, text: &[u8], secret: bool) -> Result<(), Problem> {
        let problem = |e: std::io::Error| Problem::file("write", path, &e);
        let beside = path.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if secret {
            private(&mut options);
        }
        let mut file = options.open(&beside).map_err(problem)?;
        file.write_all(text).and_then(|()| file.sync_all()).map_err(problem)?;
        std::fs::rename(&beside, path).map_err(problem)
    }
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// Held as long as it lives; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A small text file, if it is there.
pub fn read_small(path: &Path) -> Result<Option<String>, Problem> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Problem::file("read", path, &e)),
    };
    let mut text = String::new();
    file.take(1 << 20).read_to_string(&mut text).map_err(|e| Problem::file("read", path, &e))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"));
        assert!(!layout.in_use().unwrap());
        let lock = layout.lock_now().unwrap();
        assert!(layout.in_use().unwrap());
        let problem = layout.lock_now().unwrap_err();
        assert_eq!(problem.code(), 2);
        assert!(problem.to_string().contains(&format!("(process {})", std::process::id())), "{problem}");
        drop(lock);
        assert!(!layout.in_use().unwrap());
        layout.lock_now().unwrap();
    }

    #[test]
    fn files_are_replaced_whole_and_secrets_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let path = layout.operator_token();
        layout.write(&path, b"one", true).unwrap();
        layout.write(&path, b"two", true).unwrap();
        assert_eq!(read_small(&path).unwrap().as_deref(), Some("two"));
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
        assert_eq!(read_small(&dir.path().join("none")).unwrap(), None);
    }

    #[test]
    fn a_file_in_the_way_is_one_clear_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let problem = Layout::new(&file).lock_now().unwrap_err();
        assert!(problem.to_string().starts_with("cannot make "), "{problem}");
    }
}
