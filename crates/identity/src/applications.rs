//! Applications as their developers see them: an OAuth client that proves itself, perhaps a public one beside it, the tenants that
//! may install it, what it wants to be allowed, and permissions of its own making.

use model::{Caller, Client, Error, Grant, Permission, Result, TenantId, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use store::{AllowedRecord, ApplicationRecord, ClientReach, CustomPermissionRecord, Grants, Tx};
use uuid::Uuid;

use crate::clients::check_redirect_uri;
use crate::reach::for_applications;
use crate::{Change, Identity, Listing, Span, access, secret};

/// Applications a tenant may develop.
const APPLICATIONS_MAX: u64 = 500;
/// Tenants that may install one.
const ALLOWED_MAX: u64 = 10_000;
/// Permissions an application may define.
const CUSTOM_MAX: u64 = 500;
const URIS_MAX: usize = 50;
const WORDS_MAX: usize = 200;
const SECRET_LENGTH: usize = 16;
const TEASER_MAX: usize = 170;
const URL_MAX: usize = 2_000;
const COMMENT_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 2_000;
/// What an application's clients may be given. The last is what the platform calls an application's own tokens.
const SCOPES: [&str; 5] = ["openid", "email", "profile", "offline_access", "olt-applications"];
pub(crate) const ABSENT: Error = Error::NotFound { what: "application" };
const NO_PERMISSION: Error = Error::NotFound { what: "permission" };

/// An application as its developer sees it.
#[derive(Clone, Debug)]
pub struct Application {
    /// Name, wants and the like.
    pub record: ApplicationRecord,
    /// The client that proves itself; its id is the application's.
    pub client: String,
    /// The public client.
    pub public_client: Option<String>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// In how many tenants it is installed.
    pub installations: u64,
}

/// An application to be.
#[derive(Clone, Debug, Default)]
pub struct NewApplication {
    /// Its name, unique in the tenant.
    pub name: String,
    /// One line about it.
    pub teaser: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// With a public client?
    pub public: bool,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// The tenants that may install it, with a remark.
    pub allowed: Vec<(TenantId, String)>,
    /// What it wants to be allowed on its own behalf.
    pub wants_client: Grants,
    /// On its users' behalf; absent: all that a user may.
    pub wants_user: Option<Grants>,
}

/// What to change; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct ApplicationChange {
    /// A new name.
    pub name: Option<String>,
    /// A new line about it, or none.
    pub teaser: Option<Option<String>>,
    /// A new address, or none.
    pub url: Option<Option<String>>,
    /// With a public client?
    pub public: Option<bool>,
    /// May it be used at all?
    pub active: Option<bool>,
    /// Where codes may be sent, as a whole.
    pub redirect_uris: Option<Vec<String>>,
    /// What it wants to be allowed on its own and on its users' behalf, as a whole.
    pub wants: Option<(Grants, Grants)>,
}

/// A tenant that may install an application.
#[derive(Clone, Debug)]
pub struct AllowedTenant {
    /// Which, and the developer's remark.
    pub record: AllowedRecord,
    /// Its name, once it has installed the application.
    pub name: Option<String>,
}

/// A permission an application defines.
#[derive(Clone, Debug, Default)]
pub struct NewCustomPermission {
    /// What the application calls it; unique there.
    pub alias: String,
    /// For people.
    pub name: String,
    /// For people: where it belongs.
    pub category: String,
    /// For people.
    pub description: Option<String>,
}

impl Identity {
    /// Makes an application that the caller's tenant develops; its secret is told this once. Error: Conflict(name).
    pub async fn create_application(&self, caller: &Caller, new: NewApplication) -> Result<(Application, SecretString)> {
        let outcome = self.do_create_application(caller, new).await;
        let target = outcome.as_ref().ok().map(|(a, _)| format!("application:{}", a.record.id));
        self.audited(caller, "application.created", target, outcome)
    }

    async fn do_create_application(&self, caller: &Caller, new: NewApplication) -> Result<(Application, SecretString)> {
        caller.require(Permission::ClientWrite)?;
        check_uris(&new.redirect_uris)?;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        let record = ApplicationRecord {
            id: Uuid::new_v4(),
            tenant: caller.tenant,
            name: free_name(&mut tx, caller.tenant, &new.name, None).await?,
            teaser: line("teaserDescription", new.teaser.as_deref(), TEASER_MAX)?,
            url: web_address(new.url.as_deref())?,
            active: true,
            wants_client: wanted(new.wants_client)?,
            wants_user: new.wants_user.map(wanted).transpose()?,
            created: now,
            updated: now,
        };
        if tx.count_applications(caller.tenant).await? >= APPLICATIONS_MAX {
            return Err(Error::invalid("name", format!("a tenant develops at most {APPLICATIONS_MAX} applications")));
        }
        tx.insert_application(&record).await?;
        let secret = secret::random_letters(SECRET_LENGTH);
        let hash = secret::hash_secret(secret.expose_secret());
        add_client(&mut tx, &record, record.id, false, &new.redirect_uris, Some(&hash), now).await?;
        if new.public {
            add_client(&mut tx, &record, Uuid::new_v4(), true, &new.redirect_uris, None, now).await?;
        }
        if new.allowed.len() > 1_000 {
            return Err(Error::invalid("allowedTenants", "at most 1000 at once"));
        }
        for (tenant, comment) in &new.allowed {
            let comment = line("comment", Some(comment), COMMENT_MAX)?.unwrap_or_default();
            tx.allow_tenant(record.id, &AllowedRecord { tenant: *tenant, comment, created: now }).await?;
        }
        let application = seen(&mut tx, record).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok((application, secret))
    }

    /// The applications the caller's tenant develops, newest first.
    pub async fn applications(&self, caller: &Caller, span: Span) -> Result<Listing<Application>> {
        caller.require(Permission::ClientRead)?;
        let mut tx = self.inner.db.read().await?;
        let total = tx.count_applications(caller.tenant).await?;
        let mut items = Vec::new();
        for record in tx.applications(caller.tenant, span.skip, span.take).await? {
            items.push(seen(&mut tx, record).await?);
        }
        Ok(Listing { items, total })
    }

    /// One of them.
    pub async fn application(&self, caller: &Caller, id: Uuid) -> Result<Application> {
        caller.require(Permission::ClientRead)?;
        let mut tx = self.inner.db.read().await?;
        let record = own(&mut tx, caller, id).await?;
        seen(&mut tx, record).await
    }

    /// Changes an application. Where it is installed, what was agreed to stays what it was.
    pub async fn update_application(&self, caller: &Caller, id: Uuid, change: ApplicationChange) -> Result<Application> {
        let outcome = self.do_update_application(caller, id, change).await;
        self.audited(caller, "application.updated", Some(format!("application:{id}")), outcome)
    }

    async fn do_update_application(&self, caller: &Caller, id: Uuid, change: ApplicationChange) -> Result<Application> {
        caller.require(Permission::ClientWrite)?;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let mut record = own(&mut tx, caller, id).await?;
        if let Some(name) = &change.name {
            record.name = free_name(&mut tx, caller.tenant, name, Some(id)).await?;
        }
        if let Some(teaser) = &change.teaser {
            record.teaser = line("teaserDescription", teaser.as_deref(), TEASER_MAX)?;
        }
        if let Some(url) = &change.url {
            record.url = web_address(url.as_deref())?;
        }
        if let Some((client, user)) = change.wants {
            record.wants_client = wanted(client)?;
            record.wants_user = Some(wanted(user)?);
        }
        record.active = change.active.unwrap_or(record.active);
        record.updated = now;
        tx.update_application(&record).await?;
        let clients = tx.clients_of_application(id).await?;
        let mut uris = Vec::new();
        let mut ended = Vec::new();
        for (client, _) in &clients {
            let Some(mut known) = tx.client(client).await? else { continue };
            if let Some(new) = &change.redirect_uris {
                check_uris(new)?;
                known.client.redirect_uris.clone_from(new);
            }
            known.client.name.clone_from(&record.name);
            uris.clone_from(&known.client.redirect_uris);
            tx.update_client(&known.client, known.secret_hash.as_deref()).await?;
        }
        let public = clients.iter().find(|(_, public)| *public);
        match (change.public, public) {
            (Some(true), None) => add_client(&mut tx, &record, Uuid::new_v4(), true, &uris, None, now).await?,
            (Some(false), Some((client, _))) => {
                tx.delete_client(caller.tenant, client).await?;
                ended.push(client.clone());
            }
            _ => {}
        }
        if !record.active {
            ended = clients.into_iter().map(|(client, _)| client).collect();
        }
        let application = seen(&mut tx, record).await?;
        tx.commit().await?;
        self.tell_of_clients(ended);
        Ok(application)
    }

    /// Ends an application: its clients, their tokens, its installations.
    pub async fn delete_application(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let outcome = self.do_delete_application(caller, id).await;
        self.audited(caller, "application.deleted", Some(format!("application:{id}")), outcome)
    }

    async fn do_delete_application(&self, caller: &Caller, id: Uuid) -> Result<()> {
        caller.require(Permission::ClientWrite)?;
        let mut tx = self.inner.db.begin().await?;
        own(&mut tx, caller, id).await?;
        let clients = tx.clients_of_application(id).await?;
        tx.delete_application(caller.tenant, id).await?;
        tx.commit().await?;
        self.tell_of_clients(clients.into_iter().map(|(client, _)| client));
        Ok(())
    }

    /// What these clients hold has changed, or is over.
    pub(crate) fn tell_of_clients(&self, clients: impl IntoIterator<Item = String>) {
        self.inner.directory.changed();
        for client in clients {
            self.inner.announce(Change::ClientRemoved(client));
        }
    }

    /// A new secret; the old one proves nothing from now on.
    pub async fn renew_application_secret(&self, caller: &Caller, id: Uuid) -> Result<SecretString> {
        let outcome = self.do_renew_secret(caller, id).await;
        self.audited(caller, "application.secret_renewed", Some(format!("application:{id}")), outcome)
    }

    async fn do_renew_secret(&self, caller: &Caller, id: Uuid) -> Result<SecretString> {
        caller.require(Permission::ClientWrite)?;
        let mut tx = self.inner.db.begin().await?;
        own(&mut tx, caller, id).await?;
        let known = tx.client(&id.to_string()).await?.ok_or(ABSENT)?;
        let secret = secret::random_letters(SECRET_LENGTH);
        tx.update_client(&known.client, Some(&secret::hash_secret(secret.expose_secret()))).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(secret)
    }

    /// The tenants that may install an application, newest first.
    pub async fn allowed_tenants(&self, caller: &Caller, id: Uuid, span: Span) -> Result<Listing<AllowedTenant>> {
        caller.require(Permission::ClientRead)?;
        let mut tx = self.inner.db.read().await?;
        own(&mut tx, caller, id).await?;
        let total = tx.count_allowed_tenants(id).await?;
        let mut items = Vec::new();
        for record in tx.allowed_tenants(id, span.skip, span.take).await? {
            items.push(known(&mut tx, id, record).await?);
        }
        Ok(Listing { items, total })
    }

    /// Lets a tenant install an application, or changes the remark. Whether there is such a tenant is not told.
    pub async fn allow_tenant(&self, caller: &Caller, id: Uuid, tenant: TenantId, comment: Option<&str>) -> Result<AllowedTenant> {
        let outcome = self.do_allow_tenant(caller, id, tenant, comment).await;
        let target = Some(format!("application:{id}"));
        self.audited(caller, "application.tenant_allowed", target, outcome)
    }

    async fn do_allow_tenant(&self, caller: &Caller, id: Uuid, tenant: TenantId, comment: Option<&str>) -> Result<AllowedTenant> {
        caller.require(Permission::ClientWrite)?;
        let comment = line("comment", comment, COMMENT_MAX)?;
        let mut tx = self.inner.db.begin().await?;
        own(&mut tx, caller, id).await?;
        let old = tx.allowed_tenant(id, tenant).await?;
        if old.is_none() && tx.count_allowed_tenants(id).await? >= ALLOWED_MAX {
            return Err(Error::invalid("tenantId", format!("an application may be installed by at most {ALLOWED_MAX} tenants")));
        }
        let created = old.as_ref().map_or(self.clock().now(), |o| o.created);
        let comment = comment.or(old.map(|o| o.comment)).unwrap_or_default();
        let record = AllowedRecord { tenant, comment, created };
        tx.allow_tenant(id, &record).await?;
        let allowed = known(&mut tx, id, record).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(allowed)
    }

    /// Lets a tenant neither install nor use an application any longer; tokens there end at once.
    pub async fn disallow_tenant(&self, caller: &Caller, id: Uuid, tenant: TenantId) -> Result<()> {
        let outcome = self.do_disallow_tenant(caller, id, tenant).await;
        self.audited(caller, "application.tenant_disallowed", Some(format!("application:{id}")), outcome)
    }

    async fn do_disallow_tenant(&self, caller: &Caller, id: Uuid, tenant: TenantId) -> Result<()> {
        caller.require(Permission::ClientWrite)?;
        let mut tx = self.inner.db.begin().await?;
        own(&mut tx, caller, id).await?;
        if !tx.disallow_tenant(id, tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        let clients = tx.clients_of_application(id).await?;
        for (client, _) in &clients {
            tx.end_sessions_in(tenant, client).await?;
        }
        tx.commit().await?;
        self.tell_of_clients(clients.into_iter().map(|(client, _)| client));
        Ok(())
    }

    /// Defines a permission. Error: Conflict(alias).
    pub async fn create_custom_permission(&self, caller: &Caller, id: Uuid, new: NewCustomPermission) -> Result<CustomPermissionRecord> {
        let outcome = self.do_create_custom_permission(caller, id, new).await;
        self.audited(caller, "application.permission_created", Some(format!("application:{id}")), outcome)
    }

    async fn do_create_custom_permission(&self, caller: &Caller, id: Uuid, new: NewCustomPermission) -> Result<CustomPermissionRecord> {
        caller.require(Permission::ClientWrite)?;
        let now = self.clock().now();
        let required = |field, value: &str, most| line(field, Some(value), most)?.ok_or_else(|| Error::invalid(field, "is missing"));
        let record = CustomPermissionRecord {
            id: self.clock().new_id(),
            application: id,
            alias: required("alias", &new.alias, 255)?,
            name: required("name", &new.name, 255)?,
            category: required("category", &new.category, 32)?,
            description: prose(new.description.as_deref())?,
            created: now,
            updated: now,
        };
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        own(&mut tx, caller, id).await?;
        if tx.has_custom_permission(id, &record.alias).await? {
            return Err(Error::conflict("alias", "another permission of this application has it"));
        }
        if tx.count_custom_permissions(id).await? >= CUSTOM_MAX {
            return Err(Error::invalid("alias", format!("an application defines at most {CUSTOM_MAX} permissions")));
        }
        tx.insert_custom_permission(&record).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// The permissions an application defines, newest first.
    pub async fn custom_permissions(&self, caller: &Caller, id: Uuid, span: Span) -> Result<Listing<CustomPermissionRecord>> {
        caller.require(Permission::ClientRead)?;
        let mut tx = self.inner.db.read().await?;
        own(&mut tx, caller, id).await?;
        let total = tx.count_custom_permissions(id).await?;
        Ok(Listing { items: tx.custom_permissions(id, span.skip, span.take).await?, total })
    }

    /// One of them.
    pub async fn custom_permission(&self, caller: &Caller, id: Uuid, permission: Uuid) -> Result<CustomPermissionRecord> {
        caller.require(Permission::ClientRead)?;
        let mut tx = self.inner.db.read().await?;
        own(&mut tx, caller, id).await?;
        own_permission(&mut tx, id, permission).await
    }

    /// Changes category and description; absent ones stay.
    pub async fn update_custom_permission(
        &self,
        caller: &Caller,
        id: Uuid,
        permission: Uuid,
        category: Option<&str>,
        description: Option<Option<&str>>,
    ) -> Result<CustomPermissionRecord> {
        let outcome = async {
            caller.require(Permission::ClientWrite)?;
            let mut tx = self.inner.db.begin().await?;
            own(&mut tx, caller, id).await?;
            let mut record = own_permission(&mut tx, id, permission).await?;
            if let Some(category) = category {
                record.category = line("category", Some(category), 32)?.ok_or_else(|| Error::invalid("category", "is missing"))?;
            }
            if let Some(text) = description {
                record.description = prose(text)?;
            }
            record.updated = self.clock().now();
            tx.update_custom_permission(&record).await?;
            tx.commit().await?;
            Ok(record)
        };
        let outcome = outcome.await;
        self.audited(caller, "application.permission_updated", Some(format!("application:{id}")), outcome)
    }

    /// Removes a permission, also from the roles that carry it.
    pub async fn delete_custom_permission(&self, caller: &Caller, id: Uuid, permission: Uuid) -> Result<()> {
        let outcome = async {
            caller.require(Permission::ClientWrite)?;
            let mut tx = self.inner.db.begin().await?;
            own(&mut tx, caller, id).await?;
            own_permission(&mut tx, id, permission).await?;
            tx.delete_custom_permission(permission).await?;
            tx.commit().await?;
            Ok(())
        };
        let outcome = outcome.await;
        self.audited(caller, "application.permission_deleted", Some(format!("application:{id}")), outcome)
    }
}

/// The application, if the caller's tenant develops it.
async fn own(tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<ApplicationRecord> {
    tx.application(id).await?.filter(|a| a.tenant == caller.tenant).ok_or(ABSENT)
}

async fn own_permission(tx: &mut Tx, application: Uuid, id: Uuid) -> Result<CustomPermissionRecord> {
    tx.custom_permission(id).await?.filter(|p| p.application == application).ok_or(NO_PERMISSION)
}

async fn seen(tx: &mut Tx, record: ApplicationRecord) -> Result<Application> {
    let clients = tx.clients_of_application(record.id).await?;
    let client = record.id.to_string();
    let redirect_uris = tx.client(&client).await?.map(|c| c.client.redirect_uris).unwrap_or_default();
    let installations = tx.count_installations(record.id).await?;
    let public_client = clients.into_iter().find(|(_, public)| *public).map(|(id, _)| id);
    Ok(Application { record, client, public_client, redirect_uris, installations })
}

async fn known(tx: &mut Tx, application: Uuid, record: AllowedRecord) -> Result<AllowedTenant> {
    let installed = tx.installation(application, record.tenant).await?.is_some();
    let name = if installed { tx.tenant(record.tenant).await?.map(|t| t.name) } else { None };
    Ok(AllowedTenant { record, name })
}

async fn add_client(
    tx: &mut Tx,
    application: &ApplicationRecord,
    id: Uuid,
    public: bool,
    redirect_uris: &[String],
    hash: Option<&[u8; 32]>,
    now: Timestamp,
) -> Result<()> {
    let mut grants = vec![Grant::AuthorizationCode, Grant::RefreshToken];
    if !public {
        grants.push(Grant::ClientCredentials);
    }
    let client = Client {
        id: id.to_string(),
        tenant: application.tenant,
        name: application.name.clone(),
        public,
        grants,
        redirect_uris: redirect_uris.to_vec(),
        scopes: SCOPES.iter().map(|s| (*s).to_owned()).collect(),
        security: model::ClientSecurity::default(),
        created: now,
    };
    tx.insert_client(&client, hash.map(<[u8; 32]>::as_slice)).await?;
    tx.set_client_reach(&client.id, ClientReach { application: Some(application.id), everywhere: false }).await?;
    Ok(())
}

async fn free_name(tx: &mut Tx, tenant: TenantId, name: &str, own: Option<Uuid>) -> Result<String> {
    let name = access::text("name", name)?;
    let taken = tx.application_named(tenant, &name).await?.is_some_and(|other| Some(other.id) != own);
    if taken { Err(Error::conflict("name", "another application of this tenant has it")) } else { Ok(name) }
}

fn check_uris(uris: &[String]) -> Result<()> {
    if uris.len() > URIS_MAX {
        return Err(Error::invalid("redirectUris", format!("at most {URIS_MAX}")));
    }
    uris.iter().try_for_each(|uri| check_redirect_uri(uri))
}

/// What is wanted, without what no application gets.
fn wanted(grants: Grants) -> Result<Grants> {
    if grants.words.len() > WORDS_MAX {
        return Err(Error::invalid("permissions", format!("at most {WORDS_MAX}")));
    }
    Ok(Grants { permissions: for_applications(grants.permissions), words: grants.words })
}

/// One line, or none; shorter than `most` characters.
fn line(field: &'static str, text: Option<&str>, most: usize) -> Result<Option<String>> {
    let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) else { return Ok(None) };
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("must be at most {most} characters on one line")));
    }
    Ok(Some(text.to_owned()))
}

fn prose(text: Option<&str>) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > DESCRIPTION_MAX || text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Error::invalid("description", format!("must be at most {DESCRIPTION_MAX} printable characters")));
    }
    Ok(Some(text.to_owned()))
}

/// An address people may be sent to.
fn web_address(text: Option<&str>) -> Result<Option<String>> {
    let Some(url) = line("url", text, URL_MAX)? else { return Ok(None) };
    let web = ["http://", "https://"].iter().any(|scheme| url.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    if web && !url.contains(char::is_whitespace) { Ok(Some(url)) } else { Err(Error::invalid("url", "must be an http or https address")) }
}
