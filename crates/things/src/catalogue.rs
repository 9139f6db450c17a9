//! The catalogue: things come, change and go.

use std::collections::BTreeMap;

use identity::{IssuedCertificate, KeyKind};
use model::{Caller, Denial, Error, Page, PageRequest, Permission, Principal, Quota, QuotaKind, Result, Thing, ThingId, ThingStatus};
use secrecy::{ExposeSecret as _, SecretString};
use store::{ThingSelection, Tx};

use crate::certificates::issued_row;
use crate::{Credentials, Ended, NewThing, Provisioned, ThingChange, ThingFilter, ThingKeys, Things, Usage};

/// The longest kind, distribution and attribute name, in bytes.
const WORD: usize = 128;
/// The longest tag, in bytes.
const TAG: usize = 256;
/// Most tags, most attributes.
const MANY: usize = 64;
/// The longest attribute value, in bytes.
const VALUE: usize = 1_024;
/// What a secret of one's own choosing has at least, in bytes: it is stored as a plain SHA-256.
const SECRET_MIN: usize = 16;
/// And at most.
const SECRET_MAX: usize = 256;

impl Things {
    /// Provisions a thing with its credentials, all or nothing.
    ///
    /// Errors: Forbidden(quota) when the plan allows no more things, Conflict(key) or Conflict(name) when the tenant has one such,
    /// Invalid. Permission: `thing:write`.
    pub async fn provision(&self, caller: &Caller, new: NewThing) -> Result<Provisioned> {
        let id: ThingId = self.inner.identity.clock().new_id();
        let result = self.provision_as(caller, id, new).await;
        self.audit(caller, "thing.provisioned", &format!("thing:{id}"), &result);
        result
    }

    async fn provision_as(&self, caller: &Caller, id: ThingId, new: NewThing) -> Result<Provisioned> {
        caller.require(Permission::ThingWrite)?;
        let now = self.now();
        let key = new.key.unwrap_or_else(|| id.to_string());
        let name = new.name.unwrap_or_else(|| key.clone());
        let thing = Thing {
            id,
            tenant: caller.tenant,
            key,
            name,
            kind: new.kind,
            distribution: new.distribution,
            tags: tidy_tags(new.tags),
            attributes: new.attributes,
            status: ThingStatus::Created,
            owner: caller.user(),
            created: now,
            updated: now,
        };
        check(&thing)?;
        let secret = match (new.secret, new.credentials) {
            (Some(chosen), _) => Some(check_secret(caller, chosen)?),
            (None, Credentials::Secret) => Some(identity::random_secret("hgt_")),
            (None, _) => None,
        };
        let kind = match new.credentials {
            Credentials::RsaCertificate => Some(KeyKind::Rsa2048),
            Credentials::EcdsaCertificate => Some(KeyKind::EcdsaP256),
            Credentials::Secret | Credentials::None => None,
        };
        // A key pair costs much more than a look: who has no room, or takes what is taken, is told before.
        self.check_room(&mut self.inner.db.read().await?, &thing).await?;
        let issued = match kind {
            Some(kind) => Some(self.inner.identity.issue_certificate(kind).await?),
            None => None,
        };
        self.insert(&thing, secret.as_ref(), issued.as_ref()).await?;
        let keys = issued.map(|issued| ThingKeys {
            fingerprint: issued.fingerprint,
            certificate_pem: issued.certificate_pem,
            private_key_pem: Some(issued.private_key_pem),
            public_key_pem: issued.public_key_pem,
            not_before: issued.not_before,
            not_after: issued.not_after,
        });
        Ok(Provisioned { thing, keys, secret })
    }

    async fn insert(&self, thing: &Thing, secret: Option<&SecretString>, issued: Option<&IssuedCertificate>) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        // From here on the tenant's other provisionings wait, so the room that is seen is there.
        if !tx.lock_tenant(thing.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        self.check_room(&mut tx, thing).await?;
        let hash = secret.map(|s| identity::hash_secret(s.expose_secret()));
        tx.insert_thing(thing, hash.as_ref().map(<[u8; 32]>::as_slice)).await?;
        if let Some(issued) = issued {
            let sealed = self.seal_key(thing.id, &issued.private_key_pem);
            tx.insert_certificate(&issued_row(thing.tenant, thing.id, issued, thing.created), Some(&sealed)).await?;
        }
        self.commit_named(tx, None, Some(thing)).await
    }

    /// Room in the plan, and key and name free?
    pub(crate) async fn check_room(&self, tx: &mut Tx, thing: &Thing) -> Result<()> {
        let plan = self.state(tx, thing.tenant).await?.plan();
        let quota = Quota { kind: QuotaKind::Things, allowed: plan.things, actual: tx.count_things(thing.tenant).await? };
        if !quota.allows() {
            return Err(Error::Forbidden(Denial::Quota(quota)));
        }
        self.check_free(tx, thing).await
    }

    async fn check_free(&self, tx: &mut Tx, thing: &Thing) -> Result<()> {
        // A key may be no other thing's id either, or the handle would mean two.
        let keyed = tx.thing_by_handle(thing.tenant, &thing.key).await?;
        if keyed.is_some_and(|other| other.id != thing.id) {
            return Err(Error::conflict("key", format!("'{}' is taken", thing.key)));
        }
        let named = tx.thing_by_name(thing.tenant, &thing.name).await?;
        if named.is_some_and(|other| other.id != thing.id) {
            return Err(Error::conflict("name", format!("'{}' is taken", thing.name)));
        }
        Ok(())
    }

    /// Commits and keeps names and keys in memory in step; none as `was`: the thing is new, none as `is`: it is gone.
    pub(crate) async fn commit_named(&self, tx: Tx, was: Option<&Thing>, is: Option<&Thing>) -> Result<()> {
        let state = was.or(is).and_then(|thing| self.known_state(thing.tenant));
        let Some(state) = state else { return Ok(tx.commit().await?) };
        let _change = state.names_change.lock().await;
        tx.commit().await?;
        if let Some(names) = state.names.write().as_mut() {
            if let Some(thing) = was {
                names.ids.remove(thing.name.as_str());
                names.keys.remove(thing.key.as_str());
            }
            if let Some(thing) = is {
                names.ids.insert(thing.name.as_str().into(), thing.id);
                names.keys.insert(thing.key.as_str().into(), thing.id);
            }
        }
        Ok(())
    }

    /// A thing by its key or id. Permission: `thing:read`; a thing sees itself without.
    pub async fn thing(&self, caller: &Caller, handle: &str) -> Result<Thing> {
        Ok(self.find(caller, handle, Permission::ThingRead, true).await?.thing)
    }

    /// The tenant's things, oldest first. Permission: `thing:read`.
    pub async fn things(&self, caller: &Caller, filter: &ThingFilter, page: &PageRequest) -> Result<Page<Thing>> {
        caller.require(Permission::ThingRead)?;
        let after = match page.cursor.as_deref().map(str::parse::<ThingId>) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(Error::invalid("cursor", "is not one that was handed out")),
        };
        for (field, text) in [("name", &filter.name_contains), ("tag", &filter.tag), ("kind", &filter.kind)] {
            check_text(field, text.as_deref().unwrap_or_default(), TAG)?;
        }
        let selection = ThingSelection {
            name_contains: filter.name_contains.clone().unwrap_or_default(),
            tag: filter.tag.clone().unwrap_or_default(),
            kind: filter.kind.clone().unwrap_or_default(),
            status: filter.status,
        };
        let rows = self.inner.db.read().await?.things(caller.tenant, &selection, after, page).await?;
        Ok(Page::cut(rows, page.limit, |thing| thing.id.to_string()))
    }

    /// Changes a thing. Under a new name it has new topics: its sessions end, and it comes back.
    /// Errors: as for provisioning. Permission: `thing:write`.
    pub async fn update(&self, caller: &Caller, handle: &str, change: ThingChange) -> Result<Thing> {
        let result = self.update_inner(caller, handle, change).await;
        let target = result.as_ref().map_or_else(|_| format!("thing:{handle:.64}"), |t| format!("thing:{}", t.id));
        self.audit(caller, "thing.changed", &target, &result);
        result
    }

    async fn update_inner(&self, caller: &Caller, handle: &str, change: ThingChange) -> Result<Thing> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let mut thing = self.find_in(&mut tx, caller, handle).await?.thing;
        let was = thing.clone();
        let ThingChange { key, name, kind, distribution, tags, attributes } = change;
        thing.key = key.unwrap_or(thing.key);
        thing.name = name.unwrap_or(thing.name);
        thing.kind = kind.unwrap_or(thing.kind);
        thing.distribution = distribution.unwrap_or(thing.distribution);
        thing.tags = tags.map_or(thing.tags, tidy_tags);
        thing.attributes = attributes.unwrap_or(thing.attributes);
        thing.updated = self.now();
        check(&thing)?;
        self.check_free(&mut tx, &thing).await?;
        tx.update_thing(&thing).await?;
        self.commit_named(tx, Some(&was), Some(&thing)).await?;
        self.inner.certificates.forget(thing.id);
        self.inner.subjects.forget_thing(caller.tenant, thing.id);
        if was.name != thing.name || was.key != thing.key {
            self.end(Ended::Thing(thing.id));
        }
        Ok(thing)
    }

    /// Deprovisions a thing: its sessions end, its certificates and secret open nothing any more, its messages and inbox are gone and
    /// its place in the plan is free. Permission: `thing:write`.
    pub async fn deprovision(&self, caller: &Caller, handle: &str) -> Result<()> {
        let result = self.deprovision_inner(caller, handle).await;
        let target = result.as_ref().map_or_else(|_| format!("thing:{handle:.64}"), |id| format!("thing:{id}"));
        self.audit(caller, "thing.deprovisioned", &target, &result);
        result.map(|_| ())
    }

    async fn deprovision_inner(&self, caller: &Caller, handle: &str) -> Result<ThingId> {
        caller.require(Permission::ThingWrite)?;
        // Its messages stay counted.
        self.count_up().await?;
        let mut tx = self.inner.db.begin().await?;
        let thing = self.find_in(&mut tx, caller, handle).await?.thing;
        tx.delete_thing(caller.tenant, thing.id).await?;
        // With the row goes a note that its messages must be forgotten; whoever finds it, now or after a crash, does that.
        self.commit_named(tx, Some(&thing), None).await?;
        self.mark_gone(thing.id);
        self.inner.certificates.forget(thing.id);
        self.inner.subjects.thing_gone(caller.tenant, thing.id);
        self.inner.identity.thing_removed(thing.id);
        // Before the journal forgets it, which may take a while.
        self.end(Ended::Thing(thing.id));
        if let Err(error) = self.forget(caller.tenant, thing.id).await {
            tracing::warn!(%error, thing = %thing.id, "the messages of a deprovisioned thing are not yet cleared away; tried again within a minute");
        }
        Ok(thing.id)
    }

    /// Sets the secret by which the thing may sign in: the one given, or a fresh one. Sessions opened with the old one end.
    /// Permission: `thing:write`.
    pub async fn set_secret(&self, caller: &Caller, handle: &str, secret: Option<SecretString>) -> Result<SecretString> {
        let result = self.set_secret_inner(caller, handle, secret).await;
        self.audit(caller, "thing.secret_set", &format!("thing:{handle:.64}"), &result);
        result
    }

    async fn set_secret_inner(&self, caller: &Caller, handle: &str, secret: Option<SecretString>) -> Result<SecretString> {
        caller.require(Permission::ThingWrite)?;
        let secret = match secret {
            Some(chosen) => check_secret(caller, chosen)?,
            None => identity::random_secret("hgt_"),
        };
        let mut tx = self.inner.db.begin().await?;
        let thing = self.find_in(&mut tx, caller, handle).await?.thing;
        let hash = identity::hash_secret(secret.expose_secret());
        tx.set_thing_secret(caller.tenant, thing.id, Some(&hash), self.now()).await?;
        tx.commit().await?;
        self.end(Ended::Secret(thing.id));
        Ok(secret)
    }

    /// The thing's test message arrived. For the broker's host, which knows the thing; nothing happens when it was verified before.
    pub async fn mark_verified(&self, thing: ThingId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let changed = tx.set_thing_status(thing, ThingStatus::Verified, self.now()).await?;
        tx.commit().await?;
        if changed {
            self.inner.certificates.forget(thing);
        }
        Ok(())
    }

    /// What the tenant has used of its plan. Permission: `tenant:read`.
    pub async fn usage(&self, caller: &Caller) -> Result<Usage> {
        caller.require(Permission::TenantRead)?;
        let mut tx = self.inner.db.read().await?;
        let state = self.state(&mut tx, caller.tenant).await?;
        let things = tx.count_things(caller.tenant).await?;
        let (plan, period, used) = state.usage(self.now());
        Ok(Usage {
            plan,
            period_start: period.start,
            period_end: period.end,
            things: Quota { kind: QuotaKind::Things, allowed: plan.things, actual: things },
            collected: Quota { kind: QuotaKind::Collected, allowed: plan.collected, actual: used.collected },
            published: Quota { kind: QuotaKind::Published, allowed: plan.published, actual: used.published },
        })
    }
}

/// Without repetitions; the order is the giver's.
pub(crate) fn tidy_tags(tags: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    tags.into_iter().filter(|tag| seen.insert(tag.clone())).collect()
}

pub(crate) fn check(thing: &Thing) -> Result<()> {
    Thing::check_name("key", &thing.key)?;
    check_thing_name(&thing.name)?;
    check_text("kind", &thing.kind, WORD)?;
    check_text("distribution", &thing.distribution, WORD)?;
    if thing.tags.len() > MANY {
        return Err(Error::invalid("tags", format!("are more than {MANY}")));
    }
    for tag in &thing.tags {
        if tag.is_empty() {
            return Err(Error::invalid("tags", "must not be empty"));
        }
        check_text("tags", tag, TAG)?;
    }
    check_attributes(&thing.attributes)
}

/// A name is a key that may have single blanks inside ("truck 1").
fn check_thing_name(name: &str) -> Result<()> {
    let outside = name.starts_with(' ') || name.ends_with(' ') || name.contains("  ");
    if outside {
        return Err(Error::invalid("name", "may have single blanks inside only"));
    }
    Thing::check_name("name", &name.replace(' ', "_"))
}

fn check_attributes(attributes: &BTreeMap<String, String>) -> Result<()> {
    if attributes.len() > MANY {
        return Err(Error::invalid("attributes", format!("are more than {MANY}")));
    }
    for (name, value) in attributes {
        check_word("attributes", name)?;
        check_text("attributes", value, VALUE)?;
    }
    Ok(())
}

fn check_word(field: &'static str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    check_text(field, text, WORD)
}

fn check_text(field: &'static str, text: &str, max: usize) -> Result<()> {
    if text.len() > max || text.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("must have at most {max} bytes and no control characters")));
    }
    Ok(())
}

fn check_secret(caller: &Caller, secret: SecretString) -> Result<SecretString> {
    let length = secret.expose_secret().len();
    // The operator may bring over a fleet whose secrets are what they are.
    let min = if caller.principal == Principal::Operator { 1 } else { SECRET_MIN };
    if (min..=SECRET_MAX).contains(&length) {
        Ok(secret)
    } else {
        Err(Error::invalid("secret", format!("must have {min} to {SECRET_MAX} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_single_blanks_inside() {
        for good in ["truck 1", "a b c", "x"] {
            assert!(check_thing_name(good).is_ok(), "{good}");
        }
        for bad in ["", " ", " a", "a ", "a  b", "a/b", "a\tb", "a+", "#"] {
            assert!(check_thing_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_are_told_once() {
        assert_eq!(tidy_tags(vec!["b".into(), "a".into(), "b".into()]), ["b", "a"]);
    }
}
