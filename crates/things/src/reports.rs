//! What is known of a device: its state, its last events, what was noted of it.

use model::{Caller, Diagnostic, Error, Event, Listed, Result, Selector, Slice, State, TenantId, ThingId, Timestamp};

use crate::Things;

impl Things {
    /// What a device last reported. Permission: `state:read`; a thing sees itself without.
    pub async fn state_of_device(&self, caller: &Caller, handle: &str) -> Result<State> {
        let _ = (caller, handle);
        Err(Error::unavailable("begun"))
    }

    /// What the devices last reported that the selector chooses, newest device first. Permission: `state:read`.
    pub async fn states(&self, caller: &Caller, selector: &Selector, slice: Slice) -> Result<Listed<State>> {
        let _ = (caller, selector, slice);
        Err(Error::unavailable("begun"))
    }

    /// A device's events of the last hour, newest first, at most 1,000; of these names only, unless the list is empty.
    /// Permission: `point:read`.
    pub async fn last_events(&self, caller: &Caller, handle: &str, names: &[String]) -> Result<Vec<(Timestamp, Event)>> {
        let _ = (caller, handle, names);
        Err(Error::unavailable("begun"))
    }

    /// What was noted of a device in the last hour, newest first, at most 1,000. Permission: `thing:read`.
    pub async fn last_diagnostics(&self, caller: &Caller, handle: &str) -> Result<Vec<Diagnostic>> {
        let _ = (caller, handle);
        Err(Error::unavailable("begun"))
    }

    /// Notes something of a thing ("Device connected"); kept in memory until the next look or upkeep. For hosts; no I/O.
    pub fn note(&self, tenant: TenantId, thing: ThingId, text: &str) {
        let _ = (tenant, thing, text);
    }
}
