//! What is looked at when a message is understood: the things of the tenants that speak, in memory.

use std::sync::Arc;

use model::{Result, TenantId, Thing, ThingId, ThingType, Twin};

use crate::Things;

/// A thing as it is remembered.
#[derive(Clone, Debug)]
pub struct Known {
    /// The thing.
    pub thing: Thing,
    /// What it has beyond; none: it has no twin.
    pub twin: Option<Twin>,
    /// Its type.
    pub thing_type: Option<Arc<ThingType>>,
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

impl Things {
    /// These things of the tenant as selectors see them, in the same order; things that are not there are left out. From memory where
    /// they were seen before; a change shows at once, one made by another node within two seconds.
    pub async fn subjects(&self, tenant: TenantId, things: &[ThingId]) -> Result<Vec<Subject>> {
        let _ = (tenant, things);
        Ok(Vec::new())
    }

    /// Has the tenant a thing with a twin, so that its messages leave state, points and events? From memory, as [`Things::subjects`].
    pub async fn projects(&self, tenant: TenantId) -> Result<bool> {
        let _ = tenant;
        Ok(false)
    }
}
