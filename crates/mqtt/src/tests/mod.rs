//! The broker as its clients see it: real bytes over in-memory streams, a real journal in a temporary directory.

mod basics;
mod client;
mod delivery;
mod faults;
mod figures;
mod flow;
mod limits;
mod queue;
mod retained;
mod sessions;
mod standard;
mod standard_flow;
mod table;
mod wills;

use std::sync::Arc;

use journal::{Faults, Journal, Options};
use model::{Clock, Timestamp};

use crate::testing::OpenHost;
use crate::{Broker, Level, Limits};

const BOTH: [Level; 2] = [Level::V4, Level::V5];

/// A broker with everything it needs.
struct House {
    broker: Arc<Broker<OpenHost>>,
    host: Arc<OpenHost>,
    journal: Journal,
    clock: Clock,
    limits: Limits,
    faults: Faults,
    dir: tempfile::TempDir,
}

async fn house() -> House {
    house_with(Limits::default()).await
}

async fn house_with(limits: Limits) -> House {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_second(1_700_000_000).unwrap());
    let host = Arc::new(OpenHost::logging(clock.clone()));
    let faults = Faults::new();
    let options = Options { faults: faults.clone(), ..Options::new(dir.path(), clock.clone()) };
    let journal = Journal::open(options).await.unwrap();
    let broker = Broker::new(Arc::clone(&host), journal.clone(), clock.clone(), limits.clone()).await;
    House { broker, host, journal, clock, limits, faults, dir }
}

impl House {
    /// Everything stops and starts again on the same directory; the host keeps what it saved.
    async fn restart(self) -> House {
        self.broker.stop(std::time::Duration::from_secs(5)).await;
        self.journal.close().await.unwrap();
        let House { host, clock, limits, dir, broker, journal, .. } = self;
        drop((broker, journal));
        let faults = Faults::new();
        let options = Options { faults: faults.clone(), ..Options::new(dir.path(), clock.clone()) };
        let journal = Journal::open(options).await.unwrap();
        let broker = Broker::new(Arc::clone(&host), journal.clone(), clock.clone(), limits.clone()).await;
        House { broker, host, journal, clock, limits, faults, dir }
    }

    /// The clock goes on, and the clockwork has had time to notice.
    async fn later(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    }
}
