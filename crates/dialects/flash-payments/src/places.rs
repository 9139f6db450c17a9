//! How many subscriptions may be open: none closes by itself, so there must be an end.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Error, Result, TenantId};
use parking_lot::Mutex;

/// Subscriptions on the whole.
const MOST: usize = 1_024;
/// Subscriptions of one tenant.
const MOST_OF_ONE: usize = 256;

/// The open subscriptions of each tenant; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<TenantId, usize>>>);

/// One open subscription's place, given back on drop.
pub(crate) struct Taken {
    places: Places,
    tenant: TenantId,
}

impl Places {
    pub(crate) fn take(&self, tenant: TenantId) -> Result<Taken> {
        let mut open = self.0.lock();
        let all: usize = open.values().sum();
        if all >= MOST || open.get(&tenant).is_some_and(|ours| *ours >= MOST_OF_ONE) {
            return Err(Error::unavailable("too many subscriptions are open"));
        }
        *open.entry(tenant).or_default() += 1;
        Ok(Taken { places: self.clone(), tenant })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut open = self.places.0.lock();
        if let Some(ours) = open.get_mut(&self.tenant) {
            *ours = ours.saturating_sub(1);
            if *ours == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_cannot_take_every_place() {
        let places = Places::default();
        let tenant = |n: u32| format!("{n:08}-0000-0000-0000-000000000000").parse::<TenantId>().unwrap();
        let held: Vec<Taken> = (0..MOST_OF_ONE).map(|_| places.take(tenant(1)).unwrap()).collect();
        assert!(matches!(places.take(tenant(1)), Err(Error::Unavailable { .. })));
        let others: Vec<Taken> = (2..5).flat_map(|n| (0..MOST_OF_ONE).map(move |_| n)).map(|n| places.take(tenant(n)).unwrap()).collect();
        assert!(places.take(tenant(9)).is_err(), "full");
        drop(held);
        let again = places.take(tenant(1)).unwrap();
        drop((others, again));
        assert!(places.0.lock().is_empty(), "given back");
    }
}
