//! Backups: a consistent copy while the gateway runs, packed into one file; and back again, into an empty directory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;

use crate::data::Layout;
use crate::{House, Problem};

const MANIFEST: &str = "manifest.json";
const README: &str = "README.txt";
const FORMAT: u32 = 1;

/// What a backup says about itself.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    version: String,
    at: Timestamp,
    /// `sqlite`, or `postgres`: then the store is not in here.
    store: String,
    /// Is the master key in here?
    master_key: bool,
    /// Every other file with its length: a zip's checksums guard what a file holds, not what it is called.
    files: BTreeMap<String, u64>,
}

/// Copies store, journal and the key file into a fresh directory; answers its size in bytes.
pub async fn snapshot(house: &House, dest: &Path) -> Result<u64, Problem> {
    let layout = &house.layout;
    let there = Layout::new(dest);
    private_dir(dest)?;
    let has_key = layout.master_key().exists();
    let mut manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: house.identity.clock().now(),
        store: house.db.engine().to_owned(),
        master_key: has_key,
        files: BTreeMap::new(),
    };
    // The journal first: what the store then knows in addition (a new thing) has at worst no messages yet, never the other way round.
    house.journal.snapshot(&there.journal()).await.map_err(|e| Problem::failed(format!("the journal could not be copied: {e}")))?;
    if house.db.engine() == "sqlite" {
        house.db.snapshot(&there.database()).await.map_err(|e| Problem::failed(format!("the store could not be copied: {e}")))?;
    }
    if has_key {
        let key = std::fs::read(layout.master_key()).map_err(|e| Problem::file("read", &layout.master_key(), &e))?;
        there.write(&there.master_key(), &key, true)?;
    }
    manifest.files = contents(dest)?;
    let bytes = manifest.files.values().sum();
    there.write(&dest.join(README), readme(&manifest).as_bytes(), false)?;
    let text = serde_json::to_vec_pretty(&manifest).map_err(Problem::failed)?;
    there.write(&dest.join(MANIFEST), &text, false)?;
    Ok(bytes)
}

/// The files of a backup, or of what was restored from one, with their lengths.
fn contents(dir: &Path) -> Result<BTreeMap<String, u64>, Problem> {
    let mut found = BTreeMap::new();
    for path in files(dir)? {
        let length = std::fs::metadata(dir.join(&path)).map_err(|e| Problem::file("read", &path, &e))?.len();
        found.insert(path.to_string_lossy().into_owned(), length);
    }
    Ok(found)
}

fn readme(manifest: &Manifest) -> String {
    let key = if manifest.master_key {
        "master.key opens every private key in it: keep this backup like a password."
    } else {
        "The master key is NOT in it (it came from HELIOGRAPH_MASTER_KEY): without that key this backup cannot be opened."
    };
    let store = if manifest.store == "sqlite" { "" } else { "\nThe store is PostgreSQL and not in it: back it up with pg_dump.\n" };
    format!("A backup of a Heliograph gateway, made {}.\n\n{key}\n{store}\nheliograph restore FILE --data EMPTY-DIRECTORY\n", manifest.at)
}

fn private_dir(dir: &Path) -> Result<(), Problem> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| Problem::file("make", dir, &e))
}

/// Every file below a directory, relative to it, sorted.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let here = dir.join(&below);
        for entry in std::fs::read_dir(&here).map_err(|e| Problem::file("read", &here, &e))? {
            let entry = entry.map_err(|e| Problem::file("read", &here, &e))?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type().map_err(|e| Problem::file("read", &path, &e))?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Packs a snapshot's directory into one zip file (mode 0600) that must not exist yet. The file appears whole or not at all.
pub fn pack(dir: &Path, file: &Path) -> Result<(), Problem> {
    if file.exists() {
        return Err(Problem::setup(format!("{} exists already: name another file, or remove it", file.display())));
    }
    let beside = file.with_extension("partial");
    let packed = pack_into(dir, &beside).and_then(|()| std::fs::rename(&beside, file).map_err(|e| Problem::file("write", file, &e)));
    if packed.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    packed
}

fn pack_into(dir: &Path, file: &Path) -> Result<(), Problem> {
    // What an interrupted backup left there (or somebody else put there) may be readable by others, or lead elsewhere.
    let _ = std::fs::remove_file(file);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let out = options.open(file).map_err(|e| Problem::file("write", file, &e))?;
    let problem = |e: std::io::Error| Problem::file("write", file, &e);
    let mut zip = zip::ZipWriter::new(out);
    for path in files(dir)? {
        let name = path.to_str().ok_or_else(|| Problem::failed(format!("{} is not UTF-8", path.display())))?;
        let entry = SimpleFileOptions::default().large_file(true).unix_permissions(0o600);
        zip.start_file(name, entry).map_err(|e| problem(e.into()))?;
        let mut from = File::open(dir.join(&path)).map_err(|e| Problem::file("read", &path, &e))?;
        std::io::copy(&mut from, &mut zip).map_err(problem)?;
    }
    let mut out = zip.finish().map_err(|e| problem(e.into()))?;
    out.flush().and_then(|()| out.sync_all()).map_err(problem)
}

/// Unpacks a backup into an empty (or absent) data directory. Every file's checksum is verified. Answers what to tell the operator.
pub fn unpack(file: &Path, layout: &Layout) -> Result<String, Problem> {
    let mut occupied = match std::fs::read_dir(layout.dir()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            private_dir(layout.dir())?;
            std::fs::read_dir(layout.dir()).map_err(|e| Problem::file("read", layout.dir(), &e))?
        }
        Err(e) => return Err(Problem::file("read", layout.dir(), &e)),
    };
    if let Some(Ok(entry)) = occupied.next() {
        let (dir, name) = (layout.dir().display(), entry.file_name());
        return Err(Problem::setup(format!("{dir} is not empty ({} is there): restore into an empty directory", name.display())));
    }
    let opened = File::open(file).map_err(|e| Problem::file("read", file, &e))?;
    let broken = |why: String| Problem::setup(format!("{} is not a backup of heliograph, or damaged: {why}", file.display()));
    let mut zip = zip::ZipArchive::new(opened).map_err(|e| broken(e.to_string()))?;
    let manifest: Manifest = {
        let mut text = String::new();
        let entry = zip.by_name(MANIFEST).map_err(|e| broken(e.to_string()))?;
        entry.take(1 << 20).read_to_string(&mut text).map_err(|e| broken(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?
    };
    if manifest.format > FORMAT {
        return Err(Problem::setup(format!(
            "{} was made by the newer version {}: restore it with that version",
            file.display(),
            manifest.version
        )));
    }
    private_dir(layout.dir())?;
    let restored = unpack_into(&mut zip, layout, &broken).and_then(|()| match contents(layout.dir())? == manifest.files {
        true => Ok(()),
        false => Err(broken("its files are not those it lists".to_owned())),
    });
    if restored.is_err() {
        // Half a gateway is worse than none; the directory was empty before.
        let _ = std::fs::remove_dir_all(layout.dir());
    }
    restored?;
    let mut told = format!("restored into {}, as of {}", layout.dir().display(), manifest.at);
    if !manifest.master_key {
        told.push_str("; set HELIOGRAPH_MASTER_KEY to the key it was made with");
    }
    if manifest.store != "sqlite" {
        told.push_str("; restore the PostgreSQL database of the same moment, too");
    }
    Ok(told)
}

fn unpack_into(zip: &mut zip::ZipArchive<File>, layout: &Layout, broken: &dyn Fn(String) -> Problem) -> Result<(), Problem> {
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(|e| broken(e.to_string()))?;
        let path = entry.enclosed_name().ok_or_else(|| broken("it names a path outside of it".to_owned()))?;
        if entry.is_dir() || path == Path::new(README) || path == Path::new(MANIFEST) {
            continue;
        }
        let to = layout.dir().join(&path);
        if let Some(parent) = to.parent() {
            private_dir(parent)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&to).map_err(|e| Problem::file("write", &to, &e))?;
        std::io::copy(&mut entry, &mut out).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData
            | std::io::ErrorKind::InvalidInput
            | std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::Other => broken(format!("{}: {e}", path.display())),
            _ => Problem::file("write", &to, &e),
        })?;
        out.sync_all().map_err(|e| Problem::file("write", &to, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dir: &Path) {
        std::fs::create_dir_all(dir.join("journal")).unwrap();
        std::fs::write(dir.join("heliograph.db"), "rows").unwrap();
        std::fs::write(dir.join("journal/0001.seg"), vec![7u8; 100_000]).unwrap();
        std::fs::write(dir.join("master.key"), "key").unwrap();
        let files = contents(dir).unwrap();
        let (version, store) = ("0".to_owned(), "sqlite".to_owned());
        let manifest = Manifest { format: 1, version, at: Timestamp::UNIX_EPOCH, store, master_key: true, files };
        std::fs::write(dir.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        std::fs::write(dir.join(README), "read me").unwrap();
    }

    #[test]
    fn what_is_packed_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (from, file, to) = (dir.path().join("from"), dir.path().join("b.zip"), Layout::new(dir.path().join("to")));
        sample(&from);
        // Half a backup of before, readable by everybody: the new one is not.
        std::fs::write(file.with_extension("partial"), "half").unwrap();
        pack(&from, &file).unwrap();
        assert_eq!(pack(&from, &file).unwrap_err().code(), 2, "an existing file is not overwritten");
        unpack(&file, &to).unwrap();
        assert_eq!(files(to.dir()).unwrap(), ["heliograph.db", "journal/0001.seg", "master.key"].map(PathBuf::from));
        assert_eq!(std::fs::read(to.dir().join("journal/0001.seg")).unwrap(), vec![7u8; 100_000]);
        #[cfg(unix)]
        for path in [&file, &to.master_key()] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let again = unpack(&file, &to).unwrap_err().to_string();
        assert!(again.contains("is not empty"), "{again}");
    }

    #[test]
    fn a_damaged_backup_restores_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, file, to) = (dir.path().join("from"), dir.path().join("b.zip"), Layout::new(dir.path().join("to")));
        sample(&from);
        pack(&from, &file).unwrap();
        let whole = std::fs::read(&file).unwrap();
        let mut refused = 0;
        for at in (0..whole.len()).step_by(5) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x11;
            std::fs::write(&file, &bytes).unwrap();
            match unpack(&file, &to) {
                // What was hit carries no meaning (a time, a flag nobody reads): everything came back all the same.
                Ok(_) => {
                    assert_eq!(std::fs::read(to.database()).unwrap(), b"rows", "byte {at}");
                    assert_eq!(std::fs::read(to.journal().join("0001.seg")).unwrap(), vec![7u8; 100_000], "byte {at}");
                    std::fs::remove_dir_all(to.dir()).unwrap();
                }
                Err(_) => {
                    refused += 1;
                    assert!(!to.dir().exists() || std::fs::read_dir(to.dir()).unwrap().next().is_none(), "half restored at byte {at}");
                }
            }
        }
        assert!(refused > 0);
        std::fs::write(&file, "no zip").unwrap();
        assert!(unpack(&file, &to).unwrap_err().to_string().contains("is not a backup"));
    }
}
