//! Applications as the tenants that use them see them: what is to be had, what was agreed to, and its end.

use model::{Caller, Error, Permission, Result};
use store::{ApplicationRecord, InstallationRecord, Tx};
use uuid::Uuid;

use crate::access::may_allow;
use crate::applications::ABSENT;
use crate::{Identity, Listing, Span};

/// Can an application be used in a tenant, and if not, why?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Available,
    /// Its developer has switched it off.
    Inactive,
    /// Its developer does not allow it there any more.
    Denied,
}

/// An application as a tenant sees it.
#[derive(Clone, Debug)]
pub struct OfferedApplication {
    /// The application.
    pub record: ApplicationRecord,
    /// Can it be used?
    pub availability: Availability,
    /// What was agreed to, where it is installed.
    pub installation: Option<InstallationRecord>,
}

impl OfferedApplication {
    /// Does the installation allow what the application wants by now?
    #[must_use]
    pub fn up_to_date(&self) -> bool {
        self.installation.as_ref().is_none_or(|i| {
            same_words(&i.client.words, &self.record.wants_client.words)
                && match (&i.user, &self.record.wants_user) {
                    (Some(had), Some(wants)) => same_words(&had.words, &wants.words),
                    (None, None) => true,
                    _ => false,
                }
        })
    }
}

/// What the installing tenant says it agrees to, in the face's words; it has to be all that is wanted.
#[derive(Clone, Debug, Default)]
pub struct Agreed {
    /// On the application's own behalf.
    pub client: Vec<String>,
    /// On its users' behalf.
    pub user: Vec<String>,
}

/// May there be an installation already?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installing {
    /// There is none.
    Anew,
    /// There is one, and it is agreed to again.
    Again,
    /// Whichever.
    Either,
}

fn same_words(a: &[String], b: &[String]) -> bool {
    a.iter().all(|word| b.contains(word)) && b.iter().all(|word| a.contains(word))
}

impl Identity {
    /// The applications the caller's tenant has installed, and (unless `installed`) may install; newest first.
    pub async fn offered_applications(&self, caller: &Caller, installed: bool, span: Span) -> Result<Listing<OfferedApplication>> {
        caller.require(Permission::InstallationRead)?;
        let mut tx = self.inner.db.read().await?;
        let mut records = tx.applications_for(caller.tenant).await?;
        records.sort_by_key(|a| std::cmp::Reverse((a.created, a.id)));
        records.dedup_by_key(|a| a.id);
        let mut all = Vec::new();
        for record in records {
            let offer = offer(&mut tx, caller, record).await?;
            let to_be_had = offer.availability == Availability::Available && !installed;
            if offer.installation.is_some() || to_be_had {
                all.push(offer);
            }
        }
        Ok(Listing::cut(all, span))
    }

    /// One of them. One that the tenant may not have is not there.
    pub async fn offered_application(&self, caller: &Caller, id: Uuid) -> Result<OfferedApplication> {
        caller.require(Permission::InstallationRead)?;
        offered(&mut self.inner.db.read().await?, caller, id).await
    }

    /// Installs an application in the caller's tenant, with all it wants; no `agreed` agrees to that unseen. Error: NotFound for one
    /// the tenant may not have, Conflict when installed already, Invalid(permissions) when something else was agreed to, Forbidden
    /// when it wants more than the caller may.
    pub async fn install(&self, caller: &Caller, id: Uuid, agreed: Option<&Agreed>, how: Installing) -> Result<OfferedApplication> {
        let outcome = self.do_install(caller, id, agreed, how).await;
        self.audited(caller, "application.installed", Some(format!("application:{id}")), outcome)
    }

    async fn do_install(&self, caller: &Caller, id: Uuid, agreed: Option<&Agreed>, how: Installing) -> Result<OfferedApplication> {
        caller.require(Permission::InstallationWrite)?;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let offer = offered(&mut tx, caller, id).await?;
        if offer.availability != Availability::Available {
            return Err(ABSENT);
        }
        match (&offer.installation, how) {
            (Some(_), Installing::Anew) => return Err(Error::conflict("installation", "it is installed already")),
            (None, Installing::Again) => return Err(Error::not_found("installation")),
            _ => {}
        }
        let wants = &offer.record;
        if let Some(agreed) = agreed {
            let client = same_words(&agreed.client, &wants.wants_client.words);
            let user = wants.wants_user.as_ref().is_none_or(|user| same_words(&agreed.user, &user.words));
            if !client || !user {
                return Err(Error::invalid("permissions", "must be exactly what the application wants"));
            }
        }
        may_allow(caller, wants.wants_client.permissions)?;
        let installation = InstallationRecord {
            tenant: caller.tenant,
            client: wants.wants_client.clone(),
            user: wants.wants_user.clone(),
            created: offer.installation.as_ref().map_or(now, |i| i.created),
            updated: now,
        };
        tx.install(id, &installation).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(OfferedApplication { installation: Some(installation), ..offer })
    }

    /// Removes an application from the caller's tenant; its tokens there end at once.
    pub async fn uninstall(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let outcome = self.do_uninstall(caller, id).await;
        self.audited(caller, "application.uninstalled", Some(format!("application:{id}")), outcome)
    }

    async fn do_uninstall(&self, caller: &Caller, id: Uuid) -> Result<()> {
        caller.require(Permission::InstallationWrite)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.uninstall(id, caller.tenant).await? {
            return Err(ABSENT);
        }
        let clients = tx.clients_of_application(id).await?;
        for (client, _) in &clients {
            tx.end_sessions_in(caller.tenant, client).await?;
        }
        tx.commit().await?;
        self.tell_of_clients(clients.into_iter().map(|(client, _)| client));
        Ok(())
    }

    /// The tenants that have the calling application installed and may: id and name, newest first.
    /// `token` is what the caller was verified by.
    pub async fn installed_tenants(&self, caller: &Caller, token: &str, span: Span) -> Result<Listing<model::Tenant>> {
        if !matches!(caller.principal, model::Principal::Client(_)) {
            return Err(Error::Forbidden(model::Denial::Rule("only an application asks this, by a token of its own")));
        }
        let application = self.calling_application(token).await?;
        let mut tx = self.inner.db.read().await?;
        let total = tx.count_installations(application).await?;
        let mut items = Vec::new();
        for installation in tx.installations(application, span.skip, span.take).await? {
            items.extend(tx.tenant(installation.tenant).await?);
        }
        Ok(Listing { items, total })
    }

    /// The calling application's installation in the tenant its token names; `token` is what the caller was verified by.
    pub async fn own_installation(&self, caller: &Caller, token: &str) -> Result<OfferedApplication> {
        let application = self.calling_application(token).await?;
        let mut tx = self.inner.db.read().await?;
        let offer = offered(&mut tx, caller, application).await?;
        if offer.installation.is_none() { Err(Error::not_found("installation")) } else { Ok(offer) }
    }

    /// Is what was agreed to in a tenant of the caller's all that the calling application wants by now? A client that is no
    /// application wants nothing.
    pub async fn agreed_to_in(&self, caller: &Caller, token: &str, tenant: model::TenantId) -> Result<bool> {
        let application = match self.calling_application(token).await {
            Ok(application) => application,
            Err(Error::Forbidden(_)) => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut tx = self.inner.db.read().await?;
        match offered(&mut tx, &Caller { tenant, ..caller.clone() }, application).await {
            Ok(offer) => Ok(offer.installation.is_some() && offer.up_to_date()),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

async fn offer(tx: &mut Tx, caller: &Caller, record: ApplicationRecord) -> Result<OfferedApplication> {
    let installation = tx.installation(record.id, caller.tenant).await?;
    let allowed = tx.allowed_tenant(record.id, caller.tenant).await?.is_some();
    let availability = match (record.active, allowed) {
        (_, false) => Availability::Denied,
        (false, true) => Availability::Inactive,
        (true, true) => Availability::Available,
    };
    Ok(OfferedApplication { record, availability, installation })
}

async fn offered(tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<OfferedApplication> {
    let record = tx.application(id).await?.ok_or(ABSENT)?;
    let offer = offer(tx, caller, record).await?;
    let seen = offer.installation.is_some() || offer.availability == Availability::Available;
    if seen { Ok(offer) } else { Err(ABSENT) }
}
