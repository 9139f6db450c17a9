//! What is looked at when a message is understood: things, their types and aliases, in memory.
//!
//! Every change made here shows at once; one made by another node on the same database within two seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Error, Result, TenantId, Thing, ThingId, ThingType, ThingTypeId, Twin};
use parking_lot::RwLock;

use crate::Things;
use crate::schema::Compiled;

/// How much of each sort is remembered; beyond that, it begins anew.
const REMEMBERED: usize = 1 << 16;
/// Compiled types are larger.
const TYPES: usize = 4_096;
/// Where other nodes write to the same database, their changes are seen after this long.
const SHARED_FRESH: Duration = Duration::from_secs(2);

/// A thing as it is remembered.
#[derive(Clone, Debug)]
pub struct Known {
    /// The thing.
    pub thing: Thing,
    /// What it has beyond; none: it has no twin.
    pub twin: Option<Twin>,
    /// Its type.
    pub thing_type: Option<Arc<ThingType>>,
    pub(crate) compiled: Option<Arc<Compiled>>,
}

/// A thing as selectors see it; owned, so that it can be kept.
#[derive(Clone, Debug)]
pub struct Subject(pub Arc<Known>);

impl Subject {
    /// What a selector looks at.
    #[must_use]
    pub fn view(&self) -> model::Subject<'_> {
        let known = &*self.0;
        let twin = known.twin.as_ref();
        let title = twin.map_or("", |twin| twin.title.as_str());
        model::Subject {
            id: known.thing.id,
            name: if title.is_empty() { &known.thing.name } else { title },
            tags: &known.thing.tags,
            thing_type: twin.and_then(|twin| twin.thing_type),
            type_name: known.thing_type.as_ref().map_or("", |t| t.name.as_str()),
            categories: known.thing_type.as_ref().map_or(&[], |t| t.categories.as_slice()),
            connected_by: twin.and_then(|twin| twin.connected_by),
            aliases: twin.map_or(&[], |twin| twin.aliases.as_slice()),
        }
    }
}

impl Known {
    /// Is the thing behind this one?
    pub(crate) fn is_behind(&self, gateway: ThingId) -> bool {
        self.twin.as_ref().is_some_and(|twin| twin.connected_by == Some(gateway))
    }
}

/// What was looked up of late.
#[derive(Debug)]
pub(crate) struct Cache {
    shared: bool,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    things: HashMap<(TenantId, ThingId), Aged<Option<Arc<Known>>>>,
    types: HashMap<(TenantId, ThingTypeId), Aged<Arc<Compiled>>>,
    aliases: HashMap<(TenantId, String), Aged<Option<ThingId>>>,
    /// Tenants that have twins, and those that have none.
    twins: HashMap<TenantId, Aged<bool>>,
    /// Grows with every change: what was read before a change must not be remembered after it.
    generation: u64,
}

#[derive(Clone, Debug)]
struct Aged<T> {
    value: T,
    read: Instant,
}

impl Cache {
    pub(crate) fn new(shared: bool) -> Self {
        Self { shared, entries: RwLock::default() }
    }

    fn look<T: Clone>(&self, find: impl Fn(&Entries) -> Option<&Aged<T>>) -> (Option<T>, u64) {
        let entries = self.entries.read();
        let fresh = |aged: &&Aged<T>| !self.shared || aged.read.elapsed() < SHARED_FRESH;
        (find(&entries).filter(fresh).map(|aged| aged.value.clone()), entries.generation)
    }

    fn keep<K: Eq + std::hash::Hash, T>(
        &self,
        generation: u64,
        limit: usize,
        map: impl Fn(&mut Entries) -> &mut HashMap<K, Aged<T>>,
        key: K,
        value: T,
    ) {
        let mut entries = self.entries.write();
        if entries.generation == generation {
            let map = map(&mut entries);
            if map.len() >= limit {
                map.clear();
            }
            map.insert(key, Aged { value, read: Instant::now() });
        }
    }

    /// The thing is new, or something about it changed, perhaps its aliases.
    pub(crate) fn forget_thing(&self, tenant: TenantId, thing: ThingId) {
        let mut entries = self.entries.write();
        entries.generation += 1;
        entries.things.remove(&(tenant, thing));
        entries.aliases.retain(|(owner, _), _| *owner != tenant);
        entries.twins.remove(&tenant);
    }

    /// The thing is gone: what was behind it is behind nothing any more.
    pub(crate) fn thing_gone(&self, tenant: TenantId, thing: ThingId) {
        self.forget_thing(tenant, thing);
        let behind = |known: &Known| known.is_behind(thing);
        self.entries.write().things.retain(|_, known| !known.value.as_deref().is_some_and(behind));
    }

    pub(crate) fn forget_type(&self, tenant: TenantId, thing_type: ThingTypeId) {
        let mut entries = self.entries.write();
        entries.generation += 1;
        entries.types.remove(&(tenant, thing_type));
        let is_of = |known: &Known| known.twin.as_ref().is_some_and(|twin| twin.thing_type == Some(thing_type));
        entries.things.retain(|_, known| !known.value.as_ref().is_some_and(|known| is_of(known)));
    }
}

impl Things {
    /// These things of the tenant as selectors see them, in the same order; things that are not there are left out. From memory where
    /// they were seen before; a change shows at once, one made by another node within two seconds.
    pub async fn subjects(&self, tenant: TenantId, things: &[ThingId]) -> Result<Vec<Subject>> {
        let mut found = Vec::with_capacity(things.len());
        for thing in things {
            found.extend(self.known(tenant, *thing).await?.map(Subject));
        }
        Ok(found)
    }

    /// Has the tenant a thing with a twin, so that its messages leave state, points and events? From memory, as [`Things::subjects`].
    pub async fn projects(&self, tenant: TenantId) -> Result<bool> {
        let cache = &self.inner.subjects;
        let (known, generation) = cache.look(|entries| entries.twins.get(&tenant));
        if let Some(known) = known {
            return Ok(known);
        }
        let has = self.inner.db.read().await?.has_twins(tenant).await?;
        cache.keep(generation, REMEMBERED, |entries| &mut entries.twins, tenant, has);
        Ok(has)
    }

    /// One thing of the tenant.
    pub(crate) async fn known(&self, tenant: TenantId, thing: ThingId) -> Result<Option<Arc<Known>>> {
        let cache = &self.inner.subjects;
        let (known, generation) = cache.look(|entries| entries.things.get(&(tenant, thing)));
        if let Some(known) = known {
            return Ok(known);
        }
        let mut tx = self.inner.db.read().await?;
        let known = self.known_in(&mut tx, tenant, thing).await?;
        cache.keep(generation, REMEMBERED, |entries| &mut entries.things, (tenant, thing), known.clone());
        Ok(known)
    }

    /// The same, as this transaction sees it.
    pub(crate) async fn known_in(&self, tx: &mut store::Tx, tenant: TenantId, thing: ThingId) -> Result<Option<Arc<Known>>> {
        let Some(thing) = tx.thing(tenant, thing).await? else { return Ok(None) };
        let twin = tx.twin(thing.id).await?;
        let compiled = match twin.as_ref().and_then(|twin| twin.thing_type) {
            Some(id) => self.compiled(tx, tenant, id).await?,
            None => None,
        };
        let thing_type = compiled.as_ref().map(|compiled| Arc::clone(&compiled.thing_type));
        Ok(Some(Arc::new(Known { thing, twin, thing_type, compiled })))
    }

    /// A type with its validators.
    pub(crate) async fn compiled(&self, tx: &mut store::Tx, tenant: TenantId, id: ThingTypeId) -> Result<Option<Arc<Compiled>>> {
        let cache = &self.inner.subjects;
        let (known, generation) = cache.look(|entries| entries.types.get(&(tenant, id)));
        if let Some(known) = known {
            return Ok(Some(known));
        }
        let Some(thing_type) = tx.thing_type(tenant, id).await? else { return Ok(None) };
        // It was compiled before it was stored.
        let compiled = Compiled::new(thing_type).map_err(|error| Error::internal(format!("thing type {id}: {error}")))?;
        let compiled = Arc::new(compiled);
        cache.keep(generation, TYPES, |entries| &mut entries.types, (tenant, id), Arc::clone(&compiled));
        Ok(Some(compiled))
    }

    /// The tenant's thing of this alias.
    pub(crate) async fn aliased(&self, tenant: TenantId, alias: &str) -> Result<Option<ThingId>> {
        if alias.contains('\0') {
            return Ok(None);
        }
        let cache = &self.inner.subjects;
        let key = (tenant, alias.to_owned());
        let (known, generation) = cache.look(|entries| entries.aliases.get(&key));
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.inner.db.read().await?.thing_by_alias(tenant, alias).await?;
        cache.keep(generation, REMEMBERED, |entries| &mut entries.aliases, key, found);
        Ok(found)
    }
}
