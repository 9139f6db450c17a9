//! Who listens to what: tenant, then path or event name, then what the selector demands. A fact that nobody listens to costs one
//! look-up; one that somebody listens to costs those who do.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use model::{Condition, Notification, NotificationId, Rule, RuleId, Selector, Subject, TenantId, ThingId, ThingTypeId};

/// Active rules and notifications by what they listen to.
#[derive(Debug, Default)]
pub struct Index {
    tenants: HashMap<TenantId, Tenant>,
}

/// A rule, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) rule: Rule,
    /// Met for moments only: some part waits for an event.
    pub(crate) momentary: bool,
    /// Paths that the condition names itself.
    pub(crate) fixed: Vec<String>,
    events: Vec<String>,
    /// Longest window over each path, where there is one.
    windows: Vec<(String, u32)>,
    /// More than the fact at hand decides: what came before must be known.
    remembers: bool,
}

#[derive(Debug, Default)]
struct Tenant {
    rules: HashMap<RuleId, Arc<Compiled>>,
    paths: HashMap<String, Path>,
    events: HashMap<String, Listeners<Compiled>>,
    notifications: HashMap<NotificationId, Arc<Notification>>,
    told: HashMap<String, Listeners<Notification>>,
}

#[derive(Debug, Default)]
struct Path {
    listeners: Listeners<Compiled>,
    /// The longest window that any rule has over it, in seconds.
    window: Option<u32>,
}

/// Listeners, by the narrowest thing their selector demands.
#[derive(Debug)]
struct Listeners<T> {
    by_thing: HashMap<ThingId, Vec<Arc<T>>>,
    by_type: HashMap<ThingTypeId, Vec<Arc<T>>>,
    by_tag: HashMap<String, Vec<Arc<T>>>,
    rest: Vec<Arc<T>>,
}

/// Something with a selector.
pub trait Listens {
    /// Its selector.
    fn selector(&self) -> &Selector;
}

impl Listens for Compiled {
    fn selector(&self) -> &Selector {
        &self.rule.draft.selector
    }
}

impl Listens for Notification {
    fn selector(&self) -> &Selector {
        &self.filter.selector
    }
}

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Self { by_thing: HashMap::new(), by_type: HashMap::new(), by_tag: HashMap::new(), rest: Vec::new() }
    }
}

fn leave<K: Hash + Eq + Clone, T>(map: &mut HashMap<K, Vec<Arc<T>>>, keys: &[K], one: &Arc<T>) {
    for key in keys {
        if let Some(list) = map.get_mut(key) {
            list.retain(|other| !Arc::ptr_eq(other, one));
            if list.is_empty() {
                map.remove(key);
            }
        }
    }
}

/// Tags by which things can be looked up: exact ones, in lower case.
fn tags(selector: &Selector) -> Option<Vec<String>> {
    let exact = !selector.tags.is_empty() && !selector.tags.iter().any(|tag| tag.contains('*'));
    exact.then(|| selector.tags.iter().map(|tag| tag.to_lowercase()).collect())
}

impl<T: Listens> Listeners<T> {
    fn enter(&mut self, one: &Arc<T>) {
        let selector = one.selector();
        if !selector.things.is_empty() {
            for id in unique(&selector.things) {
                self.by_thing.entry(id).or_default().push(one.clone());
            }
        } else if !selector.types.is_empty() {
            for id in unique(&selector.types) {
                self.by_type.entry(id).or_default().push(one.clone());
            }
        } else if let Some(tags) = tags(selector) {
            for tag in unique(&tags) {
                self.by_tag.entry(tag).or_default().push(one.clone());
            }
        } else {
            self.rest.push(one.clone());
        }
    }

    fn leave(&mut self, one: &Arc<T>) {
        let selector = one.selector();
        if !selector.things.is_empty() {
            leave(&mut self.by_thing, &selector.things, one);
        } else if !selector.types.is_empty() {
            leave(&mut self.by_type, &selector.types, one);
        } else if let Some(tags) = tags(selector) {
            leave(&mut self.by_tag, &tags, one);
        } else {
            self.rest.retain(|other| !Arc::ptr_eq(other, one));
        }
    }

    fn is_empty(&self) -> bool {
        self.by_thing.is_empty() && self.by_type.is_empty() && self.by_tag.is_empty() && self.rest.is_empty()
    }

    /// Those whose selector chooses the thing, each once.
    fn of(&self, thing: &Subject<'_>) -> Vec<Arc<T>> {
        let mut found: Vec<Arc<T>> = Vec::new();
        let mut add = |list: &[Arc<T>]| found.extend(list.iter().filter(|one| one.selector().matches(thing)).cloned());
        add(self.by_thing.get(&thing.id).map_or(&[], Vec::as_slice));
        add(thing.thing_type.and_then(|id| self.by_type.get(&id)).map_or(&[], Vec::as_slice));
        add(&self.rest);
        if !self.by_tag.is_empty() {
            let start = found.len();
            for tag in thing.tags {
                for one in self.by_tag.get(&tag.to_lowercase()).map_or(&[][..], Vec::as_slice) {
                    let known = found.iter().skip(start).any(|other| Arc::ptr_eq(other, one));
                    if !known && one.selector().matches(thing) {
                        found.push(one.clone());
                    }
                }
            }
        }
        found
    }
}

fn unique<K: Clone + PartialEq>(list: &[K]) -> Vec<K> {
    let mut seen: Vec<K> = Vec::with_capacity(list.len());
    for one in list {
        if !seen.contains(one) {
            seen.push(one.clone());
        }
    }
    seen
}

impl Compiled {
    fn new(rule: Rule) -> Self {
        let (mut fixed, mut events, mut windows) = (Vec::new(), Vec::new(), Vec::new());
        let mut parts = 0;
        rule.draft.condition.walk(&mut |one, _| match one {
            Condition::Compare(comparison) => {
                parts += 1;
                fixed.extend(comparison.path.clone());
                if let Some(window) = comparison.window {
                    match &comparison.path {
                        Some(path) => windows.push((path.clone(), window.seconds)),
                        None => windows.extend(rule.draft.each.iter().map(|path| (path.clone(), window.seconds))),
                    }
                }
            }
            Condition::Event(event) => {
                parts += 1;
                events.push(event.name.clone());
            }
            Condition::All(_) | Condition::Any(_) | Condition::Not(_) => {}
        });
        for list in [&mut fixed, &mut events] {
            list.sort_unstable();
            list.dedup();
        }
        let momentary = !events.is_empty();
        let remembers = parts > 1 || !windows.is_empty();
        Self { rule, momentary, fixed, events, windows, remembers }
    }

    fn paths(&self) -> Vec<&String> {
        let mut paths: Vec<&String> = self.fixed.iter().chain(&self.rule.draft.each).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

impl Tenant {
    fn remove_rule(&mut self, id: RuleId) {
        let Some(old) = self.rules.remove(&id) else { return };
        for path in old.paths() {
            let Some(entry) = self.paths.get_mut(path) else { continue };
            entry.listeners.leave(&old);
            if entry.listeners.is_empty() {
                self.paths.remove(path);
            }
        }
        // A window that is longer than needed only costs memory, and only until its path is listened to no more.
        for name in &old.events {
            if let Some(listeners) = self.events.get_mut(name) {
                listeners.leave(&old);
                if listeners.is_empty() {
                    self.events.remove(name);
                }
            }
        }
    }

    fn remove_notification(&mut self, id: NotificationId) {
        let Some(old) = self.notifications.remove(&id) else { return };
        for name in unique(&old.filter.events) {
            if let Some(listeners) = self.told.get_mut(&name) {
                listeners.leave(&old);
                if listeners.is_empty() {
                    self.told.remove(&name);
                }
            }
        }
    }
}

impl Index {
    /// Takes in a rule as it is now; one that is not active leaves.
    pub fn put_rule(&mut self, rule: Rule) {
        let tenant = self.tenants.entry(rule.tenant).or_default();
        tenant.remove_rule(rule.id);
        if rule.draft.active {
            let compiled = Arc::new(Compiled::new(rule));
            for path in compiled.paths() {
                tenant.paths.entry(path.clone()).or_default().listeners.enter(&compiled);
            }
            for (path, seconds) in &compiled.windows {
                if let Some(entry) = tenant.paths.get_mut(path) {
                    entry.window = entry.window.max(Some(*seconds));
                }
            }
            for name in &compiled.events {
                tenant.events.entry(name.clone()).or_default().enter(&compiled);
            }
            tenant.rules.insert(compiled.rule.id, compiled);
        }
    }

    /// A rule leaves.
    pub fn remove_rule(&mut self, tenant: TenantId, id: RuleId) {
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.remove_rule(id);
        }
    }

    /// Takes in a notification as it is now; one that is not active leaves.
    pub fn put_notification(&mut self, notification: Notification) {
        let tenant = self.tenants.entry(notification.tenant).or_default();
        tenant.remove_notification(notification.id);
        if notification.active {
            let one = Arc::new(notification);
            for name in unique(&one.filter.events) {
                tenant.told.entry(name).or_default().enter(&one);
            }
            tenant.notifications.insert(one.id, one);
        }
    }

    /// A notification leaves.
    pub fn remove_notification(&mut self, tenant: TenantId, id: NotificationId) {
        if let Some(tenant) = self.tenants.get_mut(&tenant) {
            tenant.remove_notification(id);
        }
    }

    /// The tenant's rules and notifications leave.
    pub fn remove_tenant(&mut self, tenant: TenantId) {
        self.tenants.remove(&tenant);
    }

    /// Does anybody of the tenant listen to anything?
    #[must_use]
    pub fn listens(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).is_some_and(|t| !t.rules.is_empty() || !t.notifications.is_empty())
    }

    /// Does nobody listen to anything?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.values().all(|t| t.rules.is_empty() && t.notifications.is_empty())
    }

    /// How far back the tenant's rules look, in seconds; none: the message at hand decides.
    #[must_use]
    pub fn looks_back(&self, tenant: TenantId) -> Option<u32> {
        let tenant = self.tenants.get(&tenant)?;
        let remembers = tenant.rules.values().any(|rule| rule.remembers);
        remembers.then(|| tenant.paths.values().filter_map(|path| path.window).max().unwrap_or(0))
    }

    pub(crate) fn rules_of(&self, tenant: TenantId) -> Vec<RuleId> {
        self.tenants.get(&tenant).map_or_else(Vec::new, |t| t.rules.keys().copied().collect())
    }

    pub(crate) fn rule(&self, tenant: TenantId, id: RuleId) -> Option<&Arc<Compiled>> {
        self.tenants.get(&tenant)?.rules.get(&id)
    }

    /// Is the path listened to? And how long a window is kept of it?
    pub(crate) fn window(&self, tenant: TenantId, path: &str) -> Option<Option<u32>> {
        Some(self.tenants.get(&tenant)?.paths.get(path)?.window)
    }

    pub(crate) fn on_path(&self, tenant: TenantId, path: &str, thing: &Subject<'_>) -> Vec<Arc<Compiled>> {
        let found = self.tenants.get(&tenant).and_then(|t| t.paths.get(path));
        found.map_or_else(Vec::new, |path| path.listeners.of(thing))
    }

    pub(crate) fn on_event(&self, tenant: TenantId, name: &str, thing: &Subject<'_>) -> Vec<Arc<Compiled>> {
        let found = self.tenants.get(&tenant).and_then(|t| t.events.get(name));
        found.map_or_else(Vec::new, |listeners| listeners.of(thing))
    }

    pub(crate) fn told(&self, tenant: TenantId, name: &str, thing: &Subject<'_>) -> Vec<Arc<Notification>> {
        let found = self.tenants.get(&tenant).and_then(|t| t.told.get(name));
        found.map_or_else(Vec::new, |listeners| listeners.of(thing))
    }
}
