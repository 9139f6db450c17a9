//! The command line: arguments, and which command does what.

mod backup;
mod doctor;
mod messages;
mod provision;
mod serve;
mod things;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
use crate::{Config, Problem};

/// Heliograph: a self-hosted IoT gateway and identity provider.
#[derive(Debug, Parser)]
#[command(name = "heliograph", version, about, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file [default: ./heliograph.toml, then DIR/heliograph.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "HELIOGRAPH_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory [default: ./heliograph-data]
    #[arg(long, global = true, value_name = "DIR", env = "HELIOGRAPH_DATA")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(Box<Overrides>),
    /// Apply a provisioning file (TOML); applying it twice changes nothing
    Apply {
        /// The file
        file: PathBuf,
    },
    /// Users: add, list, password
    User {
        #[command(subcommand)]
        what: user::User,
    },
    /// Print an access token
    Token(token::Token),
    /// Things: list, add, show, dist, remove
    Things {
        #[command(flatten)]
        scope: Scope,
        #[command(subcommand)]
        what: things::Things,
    },
    /// Messages: list, send, tail; inboxes and dead letters
    Messages {
        #[command(flatten)]
        scope: Scope,
        #[command(subcommand)]
        what: messages::Messages,
    },
    /// Check configuration, files, disk, store, journal, clock and certificates
    Doctor {
        /// Repair the journal of a gateway that does not run: damaged places are kept aside and stepped over, indexes built anew
        #[arg(long)]
        repair: bool,
    },
    /// Write a backup, while the gateway runs or not
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
    },
    /// Restore a backup into an empty data directory
    Restore {
        /// The backup
        file: PathBuf,
    },
}

/// Which tenant is meant.
#[derive(Debug, Args)]
struct Scope {
    /// Tenant, by name or id [default: main, else the first]
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    /// The configuration for commands other than `serve`: flags of listeners do not matter, but where the data lies does.
    fn load(&self) -> Result<Config, Problem> {
        self.load_with(&Overrides::from_environment())
    }

    fn load_with(&self, overrides: &Overrides) -> Result<Config, Problem> {
        let given = |path: &Option<PathBuf>| path.clone().filter(|p| !p.as_os_str().is_empty());
        let mut config = Config::load(given(&self.config).as_deref(), given(&self.data).as_deref(), overrides)?;
        config.master_key = environment("HELIOGRAPH_MASTER_KEY").map(Into::into);
        Ok(config)
    }
}

#[expect(clippy::disallowed_methods, reason = "a key on the command line would be in every process list")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

impl Overrides {
    /// What the environment alone says.
    fn from_environment() -> Self {
        /// The same flags, with nothing on the line.
        #[derive(Debug, Parser)]
        struct Nothing {
            #[command(flatten)]
            overrides: Overrides,
        }
        Nothing::try_parse_from(["heliograph"]).map(|n| n.overrides).unwrap_or_default()
    }
}

/// Runs the command on the process's arguments. A problem is one line on stderr: exit code 2 for the set-up, 1 for the rest.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("heliograph: no threads: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("heliograph: {problem}");
            ExitCode::from(problem.code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    let common = arguments.common;
    match arguments.command {
        Command::Serve(overrides) => serve::run(common.load_with(&overrides)?).await?,
        Command::Apply { file } => provision::apply(&common.load()?, &file).await?,
        Command::User { what } => user::run(&common.load()?, what).await?,
        Command::Token(token) => token::run(&common.load()?, token).await?,
        Command::Things { scope, what } => things::run(&common.load()?, &scope, what).await?,
        Command::Messages { scope, what } => messages::run(&common.load()?, &scope, what).await?,
        Command::Doctor { repair } => return doctor::run(common.load(), repair).await,
        Command::Backup { file } => backup::back_up(&common.load()?, &file).await?,
        Command::Restore { file } => backup::restore(&common.load()?, &file)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line; a reader that has gone away ends the command quietly, as it does for any filter.
fn say(line: impl std::fmt::Display) -> Result<(), Problem> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Problem::failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn scripts_depend_on_these() {
        for line in [
            "serve",
            "serve --config f --data d --http 127.0.0.1:0 --https off --mqtt a:1 --mqtts a:1 --public-url http://h --provision f",
            "serve --mqtt-anonymous home",
            "apply fleet.toml",
            "apply fleet.toml --data d",
            "user add --email e@x --password p",
            "user add --email e@x --password p --tenant t --role owner",
            "token --email e@x --password p",
            "token --client c --secret s",
            "token",
            "things list",
            "things --tenant t list --json",
            "messages tail",
            "messages send dev-1 hello",
            "messages send dev-1 hello --priority 9",
            "messages inbox dev-1",
            "messages redeliver dev-1 0199 --first",
            "messages bury dev-1 0199 --reason broken",
            "messages dead dev-1 --json",
            "messages durability flush --tenant t",
            "doctor",
            "doctor --repair",
            "backup b.zip",
            "restore b.zip --data d",
        ] {
            let words = std::iter::once("heliograph").chain(line.split(' '));
            Arguments::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
