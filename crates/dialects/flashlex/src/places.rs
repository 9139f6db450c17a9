//! How many event streams may be open: none closes by itself, so there must be an end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Error, Result, TenantId};

/// Streams on the whole.
const MOST: usize = 1_024;
/// Streams of one tenant.
const MOST_OF_ONE: usize = 256;

/// The open streams of each tenant; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<TenantId, usize>>>);

/// One open stream's place, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    tenant: TenantId,
}

impl Places {
    pub(crate) fn take(&self, tenant: TenantId) -> Result<Place> {
        let mut open = self.lock();
        let all: usize = open.values().sum();
        if all >= MOST || open.get(&tenant).is_some_and(|ours| *ours >= MOST_OF_ONE) {
            return Err(Error::unavailable("too many streams are open"));
        }
        *open.entry(tenant).or_default() += 1;
        Ok(Place { places: self.clone(), tenant })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.lock();
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
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_tenant_cannot_take_every_place() {
        let places = Places::default();
        let tenant = |n: u128| TenantId(Uuid::from_u128(n));
        let mut held: Vec<Place> = (0..MOST_OF_ONE).map(|_| places.take(tenant(1)).unwrap()).collect();
        assert!(matches!(places.take(tenant(1)), Err(Error::Unavailable { .. })));
        for other in 2..=4 {
            held.extend((0..MOST_OF_ONE).map(|_| places.take(tenant(other)).unwrap()));
        }
        assert!(places.take(tenant(5)).is_err(), "full");
        held.remove(0);
        held.push(places.take(tenant(5)).unwrap());
        drop(held);
        assert!(places.lock().is_empty(), "given back");
    }
}
