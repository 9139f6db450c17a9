//! Carries a provisioning file out: checked whole against what exists, then entry by entry; twice changes nothing.

use std::collections::{HashMap, HashSet};

use identity::{ExposeSecret as _, Identity, NewApiKey, NewClient, NewTenant, NewUser, Outcome, hash_secret, same_hash};
use model::{Caller, Error, PageRequest, PlanName, QuotaKind, TenantId, Thing, UserId, normalize_email};
use native::{Report, ReportOutcome};
use things::{Credentials, NewThing, ThingChange};

use super::file::{ClientEntry, Fleet, Known, TenantEntry, ThingEntry, UserEntry};
use crate::{House, Problem};

/// Applies the text of a file called `name`. A mistake in it, or a clash with what exists, is found before anything is changed.
pub async fn apply(house: &House, caller: &Caller, name: &str, text: &str) -> Result<Report, Problem> {
    caller.require(model::Permission::Operate)?;
    // References need what they name looked up first, so the file is read twice: once for its shape, once against what is known.
    let known = known(house, caller, &Fleet::read(name, text)?).await?;
    let fleet = Fleet::parse(name, text, &known)?;
    let apply = Apply { house, caller, name, text };
    apply.check(&fleet, &known).await?;
    apply.run(&fleet).await
}

async fn known(house: &House, caller: &Caller, fleet: &Fleet) -> Result<Known, Problem> {
    let mut known = Known::default();
    let mut page = PageRequest::max();
    loop {
        let found = house.identity.tenants(caller, &page).await?;
        known.tenants.extend(found.items.into_iter().map(|tenant| (tenant.name, tenant.id)));
        page.cursor = found.next;
        if page.cursor.is_none() {
            break;
        }
    }
    for entry in &fleet.api_key {
        let email = normalize_email(entry.get_ref().user.get_ref()).unwrap_or_default();
        if user_named(&house.identity, caller, &email).await?.is_some() {
            known.users.insert(email);
        }
    }
    Ok(known)
}

async fn user_named(identity: &Identity, caller: &Caller, login: &str) -> Result<Option<UserId>, Problem> {
    match identity.user_named(caller, login).await {
        Ok(user) => Ok(Some(user.id)),
        Err(Error::NotFound { .. } | Error::Invalid { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Apply<'a> {
    house: &'a House,
    caller: &'a Caller,
    name: &'a str,
    text: &'a str,
}

impl Apply<'_> {
    fn at(&self, offset: usize, message: impl std::fmt::Display) -> Problem {
        Problem::at(self.name, self.text, offset, message)
    }

    /// Clashes with what exists, which the file alone does not show.
    async fn check(&self, fleet: &Fleet, known: &Known) -> Result<(), Problem> {
        for entry in &fleet.user {
            let (at, user) = (entry.span().start, entry.get_ref());
            self.check_user(user).await.map_err(|clash| self.at(at, format!("user {}: {clash}", user.email)))?;
        }
        for entry in &fleet.client {
            let (at, client) = (entry.span().start, entry.get_ref());
            if let Some(other) = self.house.db.read().await.map_err(Error::from)?.client(&client.id).await.map_err(Error::from)?
                && known.tenants.get(client.tenant.get_ref()) != Some(&other.client.tenant)
            {
                return Err(self.at(at, format!("client {} belongs to another tenant", client.id)));
            }
        }
        let mut more: HashMap<&str, u64> = HashMap::new();
        for entry in &fleet.thing {
            let thing = entry.get_ref();
            let tenant = thing.tenant.get_ref().as_str();
            match known.tenants.get(tenant) {
                Some(id) => {
                    let there = self.house.identity.operator_caller(*id);
                    self.house.things.prepare(*id).await?;
                    let present = self.thing(&there, thing.id.get_ref()).await?;
                    let named = self.house.things.thing_named(*id, &thing.topic_name());
                    let renamed = fleet
                        .thing
                        .iter()
                        .any(|other| other.get_ref().tenant.get_ref() == tenant && self.is_thing(named, other.get_ref(), *id));
                    if named.is_some() && named != present.as_ref().map(|p| p.id) && !renamed {
                        return Err(self.at(entry.span().start, format!("another thing has the name {}", thing.topic_name())));
                    }
                    if present.is_none() {
                        *more.entry(tenant).or_default() += 1;
                    }
                }
                None => *more.entry(tenant).or_default() += 1,
            }
            if let Some(pem) = &thing.certificate {
                self.house
                    .identity
                    .read_certificate(pem.get_ref())
                    .map_err(|e| self.at(pem.span().start, format!("thing {}: certificate: {e}", thing.id.get_ref())))?;
            }
        }
        self.check_quota(fleet, known, &more).await
    }

    /// Is this entry the thing of that id? By key alone: an entry that renames it frees its name.
    fn is_thing(&self, id: Option<model::ThingId>, entry: &ThingEntry, tenant: TenantId) -> bool {
        let Some(id) = id else { return false };
        // Names and keys are often the same text; what matters is that the entry gives the holder of the name another one.
        entry.id.get_ref() != &entry.topic_name() && self.house.things.thing_named(tenant, entry.id.get_ref()) == Some(id)
    }

    async fn check_user(&self, user: &UserEntry) -> Result<(), String> {
        let look = |e: Problem| e.to_string();
        let email = normalize_email(&user.email).map_err(|e| e.to_string())?;
        let present = user_named(&self.house.identity, self.caller, &email).await.map_err(look)?;
        if let (Some(wanted), Some(present)) = (user.id, present)
            && wanted != present
        {
            return Err(format!("exists with the id {present}; its id cannot be changed"));
        }
        if let (Some(wanted), None) = (user.id, present)
            && self.house.identity.user(self.caller, wanted).await.is_ok()
        {
            return Err(format!("the id {wanted} is another user's"));
        }
        if let Some(username) = &user.username {
            let holder = user_named(&self.house.identity, self.caller, username).await.map_err(look)?;
            if holder.is_some() && holder != present {
                return Err(format!("the username {username} is another user's"));
            }
        }
        Ok(())
    }

    async fn check_quota(&self, fleet: &Fleet, known: &Known, more: &HashMap<&str, u64>) -> Result<(), Problem> {
        for (tenant, more) in more {
            let entry = fleet.tenant.iter().find(|t| t.get_ref().name == *tenant);
            let planned = entry.and_then(|t| t.get_ref().plan);
            let (plan, there) = match known.tenants.get(*tenant) {
                Some(id) => {
                    let usage = self.house.things.usage(&self.house.identity.operator_caller(*id)).await?;
                    (planned.unwrap_or(usage.plan.name), usage.things.actual)
                }
                None => (planned.unwrap_or(PlanName::Amber), 0),
            };
            let allowed = plan.plan().things;
            if there + more > allowed {
                let at = fleet.thing.iter().find(|t| t.get_ref().tenant.get_ref() == tenant).map_or(0, |t| t.span().start);
                let what = QuotaKind::Things.name();
                return Err(self.at(
                    at,
                    format!("tenant {tenant} would have {} {what}, its plan {plan} allows {allowed}; give it a larger plan", there + more),
                ));
            }
        }
        Ok(())
    }

    async fn run(&self, fleet: &Fleet) -> Result<Report, Problem> {
        let mut report = Report::default();
        let mut tenants = HashMap::new();
        for entry in &fleet.tenant {
            let tenant = entry.get_ref();
            let (id, outcome) =
                self.tenant(tenant).await.map_err(|e| self.at(entry.span().start, format!("tenant {}: {e}", tenant.name)))?;
            tenants.insert(tenant.name.clone(), id);
            report.add("tenant", &tenant.name, outcome);
        }
        for entry in &fleet.user {
            let user = entry.get_ref();
            let at = |e: Error| self.at(entry.span().start, format!("user {}: {e}", user.email));
            let (id, outcome) = self.user(user).await.map_err(at)?;
            report.add("user", &user.email, outcome);
            for membership in &user.memberships {
                let tenant = membership.tenant.get_ref();
                let there = self.there(&mut tenants, tenant).await.map_err(at)?;
                let (_, outcome) = self.house.identity.ensure_membership(&there, id, membership.role).await.map_err(at)?;
                report.add("membership", format!("{} in {tenant}", user.email), outcome);
            }
        }
        for entry in &fleet.client {
            let client = entry.get_ref();
            let at = |e: Error| self.at(entry.span().start, format!("client {}: {e}", client.id));
            let there = self.there(&mut tenants, client.tenant.get_ref()).await.map_err(at)?;
            let (_, outcome) = self.house.identity.ensure_client(&there, new_client(client)).await.map_err(at)?;
            report.add("client", &client.id, outcome);
        }
        for entry in &fleet.api_key {
            let key = entry.get_ref();
            let of = key.user.get_ref();
            let at = |e: Error| self.at(entry.span().start, format!("api_key of {of}: {e}"));
            let there = self.there(&mut tenants, key.tenant.get_ref()).await.map_err(at)?;
            let user = self.house.identity.user_named(&there, &normalize_email(of).map_err(at)?).await.map_err(at)?.id;
            let label = key.label.clone().unwrap_or_else(|| "provisioned".to_owned());
            let new = NewApiKey { user, label, key: Some(key.key.clone()), expires: None };
            let (key, outcome) = self.house.identity.ensure_api_key(&there, new).await.map_err(at)?;
            report.add("api_key", format!("{}… of {of}", key.hint), outcome);
        }
        for entry in &fleet.thing {
            let thing = entry.get_ref();
            let at = |e: Error| self.at(entry.span().start, format!("thing {}: {e}", thing.id.get_ref()));
            let there = self.there(&mut tenants, thing.tenant.get_ref()).await.map_err(at)?;
            let outcome = self.ensure_thing(&there, thing).await.map_err(at)?;
            report.add("thing", thing.id.get_ref(), outcome);
        }
        Ok(report)
    }

    /// The operator in the tenant of that name.
    async fn there(&self, seen: &mut HashMap<String, TenantId>, name: &str) -> model::Result<Caller> {
        let id = match seen.get(name) {
            Some(id) => *id,
            None => {
                let id = self.house.identity.tenant_named(self.caller, name).await?.id;
                seen.insert(name.to_owned(), id);
                id
            }
        };
        self.caller.in_tenant(id)
    }

    async fn tenant(&self, entry: &TenantEntry) -> model::Result<(TenantId, Outcome)> {
        let new = NewTenant { id: entry.id, name: entry.name.clone(), affiliation: entry.affiliation.clone(), plan: entry.plan };
        let (tenant, outcome) = self.house.identity.ensure_tenant(self.caller, new).await?;
        // Only what the file says is changed.
        let Some(level) = entry.durability.map(Into::into) else { return Ok((tenant.id, outcome)) };
        let things = &self.house.things;
        if things.durability(self.caller, tenant.id).await? == Some(level) {
            return Ok((tenant.id, outcome));
        }
        things.set_durability(self.caller, tenant.id, Some(level)).await?;
        Ok((tenant.id, if matches!(outcome, Outcome::Unchanged) { Outcome::Updated } else { outcome }))
    }

    async fn user(&self, entry: &UserEntry) -> model::Result<(UserId, Outcome)> {
        let new = NewUser {
            id: entry.id,
            email: entry.email.clone(),
            username: entry.username.clone(),
            password: entry.password.clone(),
            given_name: entry.given_name.clone(),
            family_name: entry.family_name.clone(),
            verified: entry.verified,
            operator: entry.operator,
            membership: None,
        };
        let (user, outcome) = self.house.identity.ensure_user(self.caller, new).await?;
        Ok((user.id, outcome))
    }

    async fn thing(&self, there: &Caller, key: &str) -> Result<Option<Thing>, Error> {
        match self.house.things.thing(there, key).await {
            Ok(thing) => Ok(Some(thing)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ensure_thing(&self, there: &Caller, entry: &ThingEntry) -> model::Result<ReportOutcome> {
        let (things, key, name) = (&self.house.things, entry.id.get_ref().as_str(), entry.topic_name());
        let Some(old) = self.thing(there, key).await? else {
            let new = NewThing {
                key: Some(key.to_owned()),
                name: Some(name),
                kind: entry.kind.clone().unwrap_or_default(),
                distribution: entry.distribution.clone().unwrap_or_default(),
                tags: entry.tags.clone(),
                attributes: entry.attributes.clone(),
                // A certificate with an RSA key opens every dialect: MQTT, and the token a FlashLex thing signs by itself.
                credentials: if entry.certificate.is_some() { Credentials::None } else { Credentials::RsaCertificate },
                secret: entry.secret.clone(),
            };
            things.provision(there, new).await?;
            if let Some(pem) = &entry.certificate {
                things.register_certificate(there, key, pem.get_ref()).await?;
            }
            return Ok(ReportOutcome::Created);
        };
        let differs = |wanted: &Option<String>, is: &str| wanted.clone().filter(|wanted| wanted != is);
        let change = ThingChange {
            key: None,
            name: (name != old.name && entry.name.is_some()).then_some(name),
            kind: differs(&entry.kind, &old.kind),
            distribution: differs(&entry.distribution, &old.distribution),
            tags: (!entry.tags.is_empty() && !same_set(&entry.tags, &old.tags)).then(|| entry.tags.clone()),
            attributes: (!entry.attributes.is_empty() && entry.attributes != old.attributes).then(|| entry.attributes.clone()),
        };
        let mut outcome = ReportOutcome::Unchanged;
        if change != ThingChange::default() {
            things.update(there, key, change).await?;
            outcome = ReportOutcome::Updated;
        }
        if let Some(secret) = &entry.secret {
            let stored = self.house.db.read().await?.thing_credential(old.id).await?.and_then(|c| c.secret_hash);
            let wanted = hash_secret(secret.expose_secret());
            if !stored.is_some_and(|stored| same_hash(&stored, &wanted)) {
                things.set_secret(there, key, Some(secret.clone())).await?;
                outcome = ReportOutcome::Updated;
            }
        }
        if let Some(pem) = &entry.certificate {
            let facts = self.house.identity.read_certificate(pem.get_ref())?;
            if !things.certificates(there, key).await?.iter().any(|c| c.fingerprint == facts.fingerprint) {
                things.register_certificate(there, key, pem.get_ref()).await?;
                outcome = ReportOutcome::Updated;
            }
        }
        Ok(outcome)
    }
}

fn new_client(entry: &ClientEntry) -> NewClient {
    NewClient {
        id: Some(entry.id.clone()),
        name: entry.name.clone(),
        public: entry.public,
        secret: entry.secret.clone(),
        grants: entry.grants.clone(),
        redirect_uris: entry.redirect_uris.clone(),
        scopes: entry.scopes.clone(),
        everywhere: entry.everywhere,
        auth_method: entry.auth_method,
        jwks: entry.jwks.clone(),
        certificates: entry.certificates.clone(),
        certificate_bound_tokens: entry.certificate_bound_tokens,
        dpop_bound_tokens: entry.dpop_bound_tokens,
        require_pushed_requests: entry.require_pushed_requests,
        resources: entry.resources.clone(),
    }
}

fn same_set(a: &[String], b: &[String]) -> bool {
    a.iter().collect::<HashSet<_>>() == b.iter().collect::<HashSet<_>>()
}
