//! `heliograph doctor`: is everything as it should be?

use std::path::Path;
use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use journal::Seq;

use super::say;
use crate::client::{Client, text};
use crate::data::{Layout, Lock, read_small};
use crate::house::{open_journal, open_store};
use crate::{Config, House, Problem};

/// Less room than this is a problem.
const DISK_LOW: u64 = 256 << 20;
/// Less room than this is worth a word.
const DISK_SCARCE: u64 = 2 << 30;
/// A certificate that ends sooner is worth a word.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// No gateway was built before.
const BUILT: &str = "2025-01-01T00:00:00Z";

/// What has been found.
#[derive(Default)]
struct Findings {
    wrong: usize,
}

impl Findings {
    fn good(&self, what: &str, found: impl std::fmt::Display) -> Result<(), Problem> {
        say(format_args!("ok    {what}: {found}"))
    }

    fn note(&self, what: &str, found: impl std::fmt::Display) -> Result<(), Problem> {
        say(format_args!("note  {what}: {found}"))
    }

    fn wrong(&mut self, what: &str, found: impl std::fmt::Display) -> Result<(), Problem> {
        self.wrong += 1;
        say(format_args!("WRONG {what}: {found}"))
    }
}

/// Prints one line a check; exit code 1 when something is wrong. `repair`: the journal's damage is repaired first.
pub async fn run(config: Result<Config, Problem>, repair: bool) -> Result<ExitCode, Problem> {
    let mut findings = Findings::default();
    match config {
        Err(problem) => findings.wrong("configuration", problem)?,
        Ok(config) => {
            let source = config.source.as_ref().map_or_else(|| "no file, defaults".to_owned(), |path| path.display().to_string());
            findings.good("configuration", source)?;
            examine(&mut findings, &config, repair).await?;
        }
    }
    if findings.wrong == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("{} wrong", findings.wrong))?;
    Ok(ExitCode::FAILURE)
}

async fn examine(findings: &mut Findings, config: &Config, repair: bool) -> Result<(), Problem> {
    let layout = Layout::new(&config.data);
    clock(findings, config.clock.now())?;
    if !layout.dir().is_dir() {
        return findings.wrong("data directory", format!("{} does not exist; `heliograph serve` makes it", layout.dir().display()));
    }
    permissions(findings, &layout)?;
    disk(findings, layout.dir())?;
    if let Some((cert, key)) = &config.tls {
        own_certificate(findings, cert, key)?;
    }
    match layout.try_lock() {
        Err(problem) => findings.wrong("data directory", problem),
        Ok(None) => {
            if repair {
                findings.wrong("journal", "in use by the running gateway; stop it, then repair")?;
            }
            running(findings, config, &layout).await
        }
        Ok(Some(lock)) => {
            if repair {
                mend(findings, &layout).await?;
            }
            stopped(findings, config, &layout, lock).await
        }
    }
}

fn clock(findings: &mut Findings, now: Timestamp) -> Result<(), Problem> {
    match BUILT.parse::<Timestamp>() {
        Ok(built) if now < built => {
            findings.wrong("clock", format!("it says {now}, which is long past; certificates and tokens will be refused"))
        }
        _ => findings.good("clock", now),
    }
}

#[cfg(unix)]
fn permissions(findings: &mut Findings, layout: &Layout) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    for (what, path, forbidden, wanted) in [
        ("data directory", layout.dir().to_owned(), 0o022, "chmod 700"),
        ("master key", layout.master_key(), 0o077, "chmod 600"),
        ("store", layout.database(), 0o022, "chmod 600"),
        ("operator token", layout.operator_token(), 0o077, "chmod 600"),
    ] {
        match std::fs::metadata(&path) {
            Ok(meta) if meta.permissions().mode() & forbidden != 0 => {
                let mode = meta.permissions().mode() & 0o777;
                findings.wrong(what, format!("{} has mode {mode:o}, others may get at it: {wanted} {}", path.display(), path.display()))?;
            }
            Ok(_) => findings.good(what, path.display())?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => findings.wrong(what, Problem::file("read", &path, &e))?,
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn permissions(_: &mut Findings, _: &Layout) -> Result<(), Problem> {
    Ok(())
}

fn disk(findings: &mut Findings, dir: &Path) -> Result<(), Problem> {
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => return findings.wrong("disk", error),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} MiB free", free >> 20);
    match free {
        _ if free < DISK_LOW => findings.wrong("disk", format!("{found}; make room, or messages will soon be refused")),
        _ if free < DISK_SCARCE => findings.note("disk", found),
        _ => findings.good("disk", found),
    }
}

fn own_certificate(findings: &mut Findings, cert: &Path, key: &Path) -> Result<(), Problem> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| Problem::file("read", path, &e));
    match (read(cert), read(key)) {
        (Ok(chain), Ok(key)) => match edge::TlsReload::new(&chain, &key) {
            Ok(_) => findings.good("TLS certificate", cert.display()),
            Err(error) => findings.wrong("TLS certificate", format!("{}: {error}", cert.display())),
        },
        (Err(problem), _) | (_, Err(problem)) => findings.wrong("TLS certificate", problem),
    }
}

/// A gateway runs: it is asked, and the store is looked at beside it.
async fn running(findings: &mut Findings, config: &Config, layout: &Layout) -> Result<(), Problem> {
    let info = async {
        let client = Client::open(config).await?;
        client.get("/info").await
    };
    match info.await {
        Ok(info) => {
            let up = info.get("uptime_seconds").and_then(serde_json::Value::as_u64).unwrap_or(0);
            findings.good("gateway", format!("version {} runs at {}, for {up} s", text(&info, "version"), text(&info, "public_url")))?;
        }
        Err(problem) => findings.wrong("gateway", problem)?,
    }
    let store = open_store(config, layout).await;
    if let Ok(db) = &store {
        integrity(findings, db).await?;
        db.close().await;
    } else if let Err(problem) = store {
        findings.wrong("store", problem)?;
    }
    if let Some(pem) = read_small(&layout.ca())? {
        findings.good("CA certificate", format!("{} ({} bytes)", layout.ca().display(), pem.len()))?;
    }
    findings.note("journal", "in use by the running gateway; stop it to have every record read")
}

/// Nobody runs: everything is opened, the journal read from end to end.
async fn stopped(findings: &mut Findings, config: &Config, layout: &Layout, lock: Lock) -> Result<(), Problem> {
    findings.note("gateway", "does not run")?;
    if config.store_url.is_none() && !layout.database().exists() {
        return findings.note("store", "empty; `heliograph serve` makes it");
    }
    match open_store(config, layout).await {
        Ok(db) => {
            integrity(findings, &db).await?;
            db.close().await;
        }
        Err(problem) => return findings.wrong("store", problem),
    }
    match open_journal(config, layout).await {
        Ok(journal) => {
            read_through(findings, config, &journal).await?;
            let _ = journal.close().await;
        }
        Err(problem) => return findings.wrong("journal", problem),
    }
    match House::open(config, &lock).await {
        Ok(house) => {
            certificates(findings, config, &house).await?;
            house.close().await;
            Ok(())
        }
        Err(problem) => findings.wrong("keys", problem),
    }
}

/// Repairs the journal and tells what was done, a line a place.
async fn mend(findings: &mut Findings, layout: &Layout) -> Result<(), Problem> {
    let dir = layout.journal();
    if !dir.is_dir() {
        return Ok(());
    }
    let repaired = tokio::task::spawn_blocking(move || journal::repair(&dir)).await.map_err(Problem::failed)?;
    match repaired {
        Err(error) => findings.wrong("repair", error),
        Ok(repairs) if repairs.is_empty() => findings.good("repair", "nothing to repair in the journal"),
        Ok(repairs) => {
            for repair in repairs {
                let kept = repair.kept.map_or_else(String::new, |path| format!("; kept as {}", path.display()));
                let damage = repair.damage;
                findings.note("repair", format!("{} at {}: {}: {}{kept}", damage.file, damage.offset, damage.what, repair.done))?;
            }
            Ok(())
        }
    }
}

async fn integrity(findings: &mut Findings, db: &store::Db) -> Result<(), Problem> {
    match db.check().await {
        Ok(found) if found.is_empty() => findings.good("store", format!("{} is whole", db.engine())),
        Ok(found) => findings.wrong("store", format!("{}; restore a backup", found.join("; "))),
        Err(error) => findings.wrong("store", error),
    }
}

/// Every record of the journal, its checksum verified by reading it.
async fn read_through(findings: &mut Findings, config: &Config, journal: &journal::Journal) -> Result<(), Problem> {
    let (mut records, mut after, mut newest) = (0_u64, Seq(0), None);
    loop {
        match journal.scan(after, 1_000).await {
            Ok(batch) => {
                let Some(last) = batch.last() else { break };
                after = last.seq;
                newest = newest.max(batch.iter().map(|r| r.at).max());
                records += u64::try_from(batch.len()).unwrap_or(u64::MAX);
            }
            Err(error) => return findings.wrong("journal", format!("{error}; restore a backup")),
        }
    }
    match journal.stats() {
        s if s.damaged > 0 => findings.wrong("journal", format!("{} of its records are damaged", s.damaged))?,
        s => findings.good("journal", format!("{records} records in {} segments, every one readable", s.segments))?,
    }
    match newest {
        Some(newest) if newest > config.clock.now() => {
            findings.wrong("clock", format!("it says {}, but the newest message is of {newest}: it went backwards", config.clock.now()))
        }
        _ => Ok(()),
    }
}

async fn certificates(findings: &mut Findings, config: &Config, house: &House) -> Result<(), Problem> {
    let now = config.clock.now();
    let ends = |pem: &str| house.identity.read_certificate(pem).map(|facts| facts.not_after);
    let mut check = |what: &str, ends: Timestamp| {
        let left = ends.duration_since(now);
        match () {
            () if left.is_negative() => findings.wrong(what, format!("ended {ends}")),
            () if left < ENDS_SOON => findings.note(what, format!("ends soon, {ends}")),
            () => findings.good(what, format!("valid until {ends}")),
        }
    };
    check("CA certificate", house.identity.ca_certificate_ends())?;
    if let Some((cert, _)) = &config.tls
        && let Ok(chain) = std::fs::read_to_string(cert)
        && let Ok(at) = ends(&chain)
    {
        check("TLS certificate", at)?;
    }
    Ok(())
}
