//! What must be done every minute or so, by the machine's clock whatever the gateway's says.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::House;
use crate::certificate::Server;

const EVERY: Duration = Duration::from_mins(1);

/// Retention, counters, clean-up and certificates, until `stop`. A step that fails is tried again a minute later.
pub async fn run(house: House, certificate: Server, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once: what a long pause left to do.
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = house.things.maintain().await {
            tracing::warn!(%error, "upkeep of things failed");
        }
        if let Err(error) = house.rules.maintain().await {
            tracing::warn!(%error, "upkeep of rules failed");
        }
        if let Err(error) = house.identity.maintain().await {
            tracing::warn!(%error, "upkeep of identity failed");
        }
        certificate.refresh().await;
    }
}
