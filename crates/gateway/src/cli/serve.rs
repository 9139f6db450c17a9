//! `heliograph serve`

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{Config, Problem, start, welcome};

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), Problem> {
    logs(&config)?;
    let mut stop = Stop::listen()?;
    // A signal during the start ends it, too; nothing is half done that the next start would not finish.
    let running = tokio::select! {
        started = start(config) => started?,
        () = stop.wait() => return Ok(()),
    };
    if let Some(first) = &running.first_start {
        super::say(welcome::text(first, &running.ready, &running.house))?;
    }
    stop.wait().await;
    // Impatience is heard: a second signal ends at once, and the journal is made for that.
    tokio::select! {
        () = running.stop() => Ok(()),
        () = stop.wait() => Err(Problem::failed("stopped at once, on the second signal")),
    }
}

fn logs(config: &Config) -> Result<(), Problem> {
    // rustls warns of every device that is given an address instead of a name, which is harmless and happens at each connection.
    let filter = EnvFilter::try_new(format!("rustls=error,{}", config.log.level))
        .map_err(|e| Problem::setup(format!("[log] level {}: {e}; use error, warn, info, debug, trace", config.log.level)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if config.log.json {
        builder.json().flatten_event(true).finish().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).finish().try_init()
    };
    set.map_err(Problem::failed)
}

/// The signals that end the gateway.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn listen() -> Result<Self, Problem> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(Problem::failed);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Result<Self, Problem> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
