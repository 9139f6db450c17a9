//! Messages as they come in, for whoever watches.

use journal::{Journal, LiveError, LiveStream};
use model::{Caller, Message, Permission, Result};

use crate::messages::to_message;
use crate::{Lagged, Reading, Things};

/// Messages of one thing, or of the whole tenant, from the moment of the call. Watching never slows who is watched.
#[derive(Debug)]
pub struct LiveMessages {
    stream: LiveStream,
    journal: Journal,
}

impl LiveMessages {
    /// The next message; none once the gateway stops. Cancel safe.
    pub async fn next(&mut self) -> Option<std::result::Result<Message, Lagged>> {
        loop {
            match self.stream.recv().await {
                // Tenant-local traffic is no thing's message.
                Ok(record) if record.thing.uuid().is_nil() => {}
                Ok(record) => return Some(Ok(to_message(&record, self.journal.status(&record)))),
                Err(LiveError::Lagged(missed)) => return Some(Err(Lagged(missed))),
                Err(LiveError::Closed) => return None,
            }
        }
    }
}

/// What messages say, from the moment of the call: what devices report and what happens to them.
#[derive(Debug)]
pub struct LiveReadings {
    stream: LiveStream,
    things: Things,
}

impl LiveReadings {
    /// What the next message says, understood as for state and events; none once the gateway stops. Cancel safe but for the message in
    /// hand, which is lost.
    pub async fn next(&mut self) -> Option<std::result::Result<Reading, Lagged>> {
        loop {
            match self.stream.recv().await {
                Ok(record) => match self.things.read(&record).await {
                    Ok(reading) if reading.facts.is_empty() && reading.reported.is_empty() => {}
                    Ok(reading) => return Some(Ok(reading)),
                    Err(error) => {
                        tracing::warn!(%error, "a live message could not be understood");
                        return Some(Err(Lagged(1)));
                    }
                },
                Err(LiveError::Lagged(missed)) => return Some(Err(Lagged(missed))),
                Err(LiveError::Closed) => return None,
            }
        }
    }
}

impl Things {
    /// Watches what all the tenant's messages say. Permissions: `state:read` and `point:read`.
    pub fn live_readings(&self, caller: &Caller) -> Result<LiveReadings> {
        caller.require(Permission::StateRead)?;
        caller.require(Permission::PointRead)?;
        Ok(LiveReadings { stream: self.inner.journal.live(caller.tenant, None), things: self.clone() })
    }

    /// Watches one thing's messages, or all of the tenant's. Permission: `message:read`.
    pub async fn live(&self, caller: &Caller, handle: Option<&str>) -> Result<LiveMessages> {
        caller.require(Permission::MessageRead)?;
        let thing = match handle {
            Some(handle) => Some(self.find(caller, handle, Permission::MessageRead, false).await?.thing.id),
            None => None,
        };
        Ok(LiveMessages { stream: self.inner.journal.live(caller.tenant, thing), journal: self.inner.journal.clone() })
    }
}
