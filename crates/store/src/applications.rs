//! Applications: who develops them, who may install them, where they are installed, the permissions they define.

use model::{TenantId, Timestamp};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;
use crate::roles::Grants;

sql! {
    BY_ID = "select id, tenant, name, teaser, url, active, wants_client, wants_user, created, updated from application where id = $1";
    NAMED = "select id, tenant, name, teaser, url, active, wants_client, wants_user, created, updated from application \
             where tenant = $1 and name = $2";
    OF_TENANT = "select id, tenant, name, teaser, url, active, wants_client, wants_user, created, updated from application \
                 where tenant = $1 order by created desc, id desc limit $2 offset $3";
    COUNT = "select count(*) as n from application where tenant = $1";
    INSERT = "insert into application (id, tenant, name, teaser, url, active, wants_client, wants_user, created, updated) \
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    UPDATE = "update application set name = $3, teaser = $4, url = $5, active = $6, wants_client = $7, wants_user = $8, updated = $9 \
              where id = $1 and tenant = $2";
    DELETE = "delete from application where id = $1 and tenant = $2";
    ALLOWED_TO = "select a.id, a.tenant, a.name, a.teaser, a.url, a.active, a.wants_client, a.wants_user, a.created, a.updated \
                  from application_allowed t join application a on a.id = t.application where t.tenant = $1 limit 1000";
    INSTALLED_IN = "select a.id, a.tenant, a.name, a.teaser, a.url, a.active, a.wants_client, a.wants_user, a.created, a.updated \
                    from installation i join application a on a.id = i.application where i.tenant = $1 limit 1000";
    REACH = "select application, everywhere from client where id = $1";
    SET_REACH = "update client set application = $2, everywhere = $3 where id = $1";
    CLIENTS_OF = "select id, is_public from client where application = $1 order by id limit 10";
    ALLOWED = "select tenant, comment, created from application_allowed where application = $1 and tenant = $2";
    ALL_ALLOWED = "select tenant, comment, created from application_allowed where application = $1 \
                   order by created desc, tenant desc limit $2 offset $3";
    COUNT_ALLOWED = "select count(*) as n from application_allowed where application = $1";
    ALLOW = "insert into application_allowed (application, tenant, comment, created) values ($1, $2, $3, $4) \
             on conflict (application, tenant) do update set comment = excluded.comment";
    DISALLOW = "delete from application_allowed where application = $1 and tenant = $2";
    INSTALLATION = "select tenant, grants_client, grants_user, created, updated from installation where application = $1 and tenant = $2";
    INSTALLATIONS = "select tenant, grants_client, grants_user, created, updated from installation where application = $1 \
                     order by created desc, tenant desc limit $2 offset $3";
    COUNT_INSTALLATIONS = "select count(*) as n from installation where application = $1";
    INSTALL = "insert into installation (application, tenant, grants_client, grants_user, created, updated) values ($1, $2, $3, $4, $5, $6) \
               on conflict (application, tenant) do update set grants_client = excluded.grants_client, grants_user = excluded.grants_user, \
               updated = excluded.updated";
    UNINSTALL = "delete from installation where application = $1 and tenant = $2";
    END_SESSIONS = "delete from oauth_session where tenant = $1 and client = $2";
    PERMISSION = "select id, application, alias, name, category, description, created, updated from custom_permission where id = $1";
    PERMISSIONS = "select id, application, alias, name, category, description, created, updated from custom_permission \
                   where application = $1 order by created desc, id desc limit $2 offset $3";
    COUNT_PERMISSIONS = "select count(*) as n from custom_permission where application = $1";
    ALIAS = "select count(*) as n from custom_permission where application = $1 and alias = $2";
    INSERT_PERMISSION = "insert into custom_permission (id, application, alias, name, category, description, created, updated) \
                         values ($1, $2, $3, $4, $5, $6, $7, $8)";
    UPDATE_PERMISSION = "update custom_permission set category = $2, description = $3, updated = $4 where id = $1";
    DELETE_PERMISSION = "delete from custom_permission where id = $1";
    CONTRACT = "select contract from tenant_contract where tenant = $1";
    SET_CONTRACT = "insert into tenant_contract (tenant, contract) values ($1, $2) on conflict (tenant) do update set contract = excluded.contract";
}

row! {
    struct ApplicationRow {
        id: Uuid, tenant: Uuid, name: String, teaser: Option<String>, url: Option<String>, active: bool,
        wants_client: String, wants_user: Option<String>, created: i64, updated: i64,
    }
}
row! {
    struct CountRow { n: i64 }
}
row! {
    struct ReachRow { application: Option<Uuid>, everywhere: bool }
}
row! {
    struct ClientRow { id: String, is_public: bool }
}
row! {
    struct AllowedRow { tenant: Uuid, comment: String, created: i64 }
}
row! {
    struct InstallationRow { tenant: Uuid, grants_client: String, grants_user: Option<String>, created: i64, updated: i64 }
}
row! {
    struct PermissionRow {
        id: Uuid, application: Uuid, alias: String, name: String, category: String, description: Option<String>, created: i64, updated: i64,
    }
}
row! {
    struct ContractRow { contract: String }
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationRecord {
    /// Its id.
    pub id: Uuid,
    /// The tenant that develops it.
    pub tenant: TenantId,
    /// Its name, unique among those of that tenant.
    pub name: String,
    /// One line about it.
    pub teaser: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// May it be used at all?
    pub active: bool,
    /// What it wants to be allowed on its own behalf.
    pub wants_client: Grants,
    /// What it wants to be allowed on its users' behalf; absent: all that a user may.
    pub wants_user: Option<Grants>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// How far a client reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientReach {
    /// The application whose client it is.
    pub application: Option<Uuid>,
    /// One of the gateway's own: good in every tenant of its user.
    pub everywhere: bool,
}

/// A tenant that may install an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRecord {
    /// The tenant, which may not exist.
    pub tenant: TenantId,
    /// The developer's remark.
    pub comment: String,
    /// Since when.
    pub created: Timestamp,
}

/// An application in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// What it is allowed on its own behalf.
    pub client: Grants,
    /// What it is allowed on its users' behalf; absent: all that a user may.
    pub user: Option<Grants>,
    /// Since when.
    pub created: Timestamp,
    /// When that was last agreed to.
    pub updated: Timestamp,
}

/// A permission that means something to its application alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomPermissionRecord {
    /// Its id.
    pub id: Uuid,
    /// The application.
    pub application: Uuid,
    /// What the application calls it; unique there.
    pub alias: String,
    /// For people.
    pub name: String,
    /// For people: where it belongs.
    pub category: String,
    /// For people.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl ApplicationRow {
    fn model(self) -> Result<ApplicationRecord, Error> {
        Ok(ApplicationRecord {
            id: self.id,
            tenant: TenantId(self.tenant),
            name: self.name,
            teaser: self.teaser,
            url: self.url,
            active: self.active,
            wants_client: from_json("application", "wants_client", &self.wants_client)?,
            wants_user: self.wants_user.map(|text| from_json("application", "wants_user", &text)).transpose()?,
            created: timestamp("application", "created", self.created)?,
            updated: timestamp("application", "updated", self.updated)?,
        })
    }
}

impl AllowedRow {
    fn model(self) -> Result<AllowedRecord, Error> {
        let created = timestamp("application_allowed", "created", self.created)?;
        Ok(AllowedRecord { tenant: TenantId(self.tenant), comment: self.comment, created })
    }
}

impl InstallationRow {
    fn model(self) -> Result<InstallationRecord, Error> {
        Ok(InstallationRecord {
            tenant: TenantId(self.tenant),
            client: from_json("installation", "grants_client", &self.grants_client)?,
            user: self.grants_user.map(|text| from_json("installation", "grants_user", &text)).transpose()?,
            created: timestamp("installation", "created", self.created)?,
            updated: timestamp("installation", "updated", self.updated)?,
        })
    }
}

impl PermissionRow {
    fn model(self) -> Result<CustomPermissionRecord, Error> {
        Ok(CustomPermissionRecord {
            id: self.id,
            application: self.application,
            alias: self.alias,
            name: self.name,
            category: self.category,
            description: self.description,
            created: timestamp("custom_permission", "created", self.created)?,
            updated: timestamp("custom_permission", "updated", self.updated)?,
        })
    }
}

impl Tx {
    /// The application, whoever develops it.
    pub async fn application(&mut self, id: Uuid) -> Result<Option<ApplicationRecord>, Error> {
        fetch_optional!(self, ApplicationRow, sql::BY_ID, id)?.map(ApplicationRow::model).transpose()
    }

    /// The application of that name that a tenant develops.
    pub async fn application_named(&mut self, tenant: TenantId, name: &str) -> Result<Option<ApplicationRecord>, Error> {
        fetch_optional!(self, ApplicationRow, sql::NAMED, tenant.uuid(), name)?.map(ApplicationRow::model).transpose()
    }

    /// The applications a tenant develops, newest first.
    pub async fn applications(&mut self, tenant: TenantId, skip: u32, take: u32) -> Result<Vec<ApplicationRecord>, Error> {
        fetch_all!(self, ApplicationRow, sql::OF_TENANT, tenant.uuid(), i64::from(take), i64::from(skip))?
            .into_iter()
            .map(ApplicationRow::model)
            .collect()
    }

    /// How many applications a tenant develops.
    pub async fn count_applications(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?.n.unsigned_abs())
    }

    /// The applications a tenant may install, and those it has installed; in no order, 1,000 of each at most.
    pub async fn applications_for(&mut self, tenant: TenantId) -> Result<Vec<ApplicationRecord>, Error> {
        let mut rows = fetch_all!(self, ApplicationRow, sql::ALLOWED_TO, tenant.uuid())?;
        rows.extend(fetch_all!(self, ApplicationRow, sql::INSTALLED_IN, tenant.uuid())?);
        rows.into_iter().map(ApplicationRow::model).collect()
    }

    /// Adds an application.
    pub async fn insert_application(&mut self, a: &ApplicationRecord) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            a.id,
            a.tenant.uuid(),
            &a.name,
            &a.teaser,
            &a.url,
            a.active,
            to_json(&a.wants_client),
            a.wants_user.as_ref().map(to_json),
            micros(a.created),
            micros(a.updated)
        )?;
        Ok(())
    }

    /// Changes an application of that tenant; false when there is none.
    pub async fn update_application(&mut self, a: &ApplicationRecord) -> Result<bool, Error> {
        let done = execute!(
            self,
            sql::UPDATE,
            a.id,
            a.tenant.uuid(),
            &a.name,
            &a.teaser,
            &a.url,
            a.active,
            to_json(&a.wants_client),
            a.wants_user.as_ref().map(to_json),
            micros(a.updated)
        )?;
        Ok(done == 1)
    }

    /// Removes an application with its clients and installations; false when there is none.
    pub async fn delete_application(&mut self, tenant: TenantId, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id, tenant.uuid())? == 1)
    }

    /// How far a client reaches; absent when there is no such client.
    pub async fn client_reach(&mut self, client: &str) -> Result<Option<ClientReach>, Error> {
        let row = fetch_optional!(self, ReachRow, sql::REACH, client)?;
        Ok(row.map(|row| ClientReach { application: row.application, everywhere: row.everywhere }))
    }

    /// Says how far a client reaches.
    pub async fn set_client_reach(&mut self, client: &str, reach: ClientReach) -> Result<(), Error> {
        execute!(self, sql::SET_REACH, client, reach.application, reach.everywhere)?;
        Ok(())
    }

    /// An application's clients: id, and whether it is the public one.
    pub async fn clients_of_application(&mut self, application: Uuid) -> Result<Vec<(String, bool)>, Error> {
        Ok(fetch_all!(self, ClientRow, sql::CLIENTS_OF, application)?.into_iter().map(|row| (row.id, row.is_public)).collect())
    }

    /// May that tenant install the application?
    pub async fn allowed_tenant(&mut self, application: Uuid, tenant: TenantId) -> Result<Option<AllowedRecord>, Error> {
        fetch_optional!(self, AllowedRow, sql::ALLOWED, application, tenant.uuid())?.map(AllowedRow::model).transpose()
    }

    /// The tenants that may install the application, newest first.
    pub async fn allowed_tenants(&mut self, application: Uuid, skip: u32, take: u32) -> Result<Vec<AllowedRecord>, Error> {
        fetch_all!(self, AllowedRow, sql::ALL_ALLOWED, application, i64::from(take), i64::from(skip))?
            .into_iter()
            .map(AllowedRow::model)
            .collect()
    }

    /// How many tenants may install the application.
    pub async fn count_allowed_tenants(&mut self, application: Uuid) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT_ALLOWED, application)?.n.unsigned_abs())
    }

    /// Lets a tenant install the application, or changes the remark.
    pub async fn allow_tenant(&mut self, application: Uuid, a: &AllowedRecord) -> Result<(), Error> {
        execute!(self, sql::ALLOW, application, a.tenant.uuid(), &a.comment, micros(a.created))?;
        Ok(())
    }

    /// Lets a tenant install the application no longer; false when it might not.
    pub async fn disallow_tenant(&mut self, application: Uuid, tenant: TenantId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DISALLOW, application, tenant.uuid())? == 1)
    }

    /// The application's installation in that tenant.
    pub async fn installation(&mut self, application: Uuid, tenant: TenantId) -> Result<Option<InstallationRecord>, Error> {
        fetch_optional!(self, InstallationRow, sql::INSTALLATION, application, tenant.uuid())?.map(InstallationRow::model).transpose()
    }

    /// The application's installations, newest first.
    pub async fn installations(&mut self, application: Uuid, skip: u32, take: u32) -> Result<Vec<InstallationRecord>, Error> {
        fetch_all!(self, InstallationRow, sql::INSTALLATIONS, application, i64::from(take), i64::from(skip))?
            .into_iter()
            .map(InstallationRow::model)
            .collect()
    }

    /// In how many tenants it is installed.
    pub async fn count_installations(&mut self, application: Uuid) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT_INSTALLATIONS, application)?.n.unsigned_abs())
    }

    /// Installs an application, or changes what was agreed to.
    pub async fn install(&mut self, application: Uuid, i: &InstallationRecord) -> Result<(), Error> {
        let user = i.user.as_ref().map(to_json);
        let (created, updated) = (micros(i.created), micros(i.updated));
        execute!(self, sql::INSTALL, application, i.tenant.uuid(), to_json(&i.client), user, created, updated)?;
        Ok(())
    }

    /// Removes an application from a tenant; false when it was not installed.
    pub async fn uninstall(&mut self, application: Uuid, tenant: TenantId) -> Result<bool, Error> {
        Ok(execute!(self, sql::UNINSTALL, application, tenant.uuid())? == 1)
    }

    /// Ends what was granted to a client in a tenant.
    pub async fn end_sessions_in(&mut self, tenant: TenantId, client: &str) -> Result<u64, Error> {
        Ok(execute!(self, sql::END_SESSIONS, tenant.uuid(), client)?)
    }

    /// A custom permission, whatever its application.
    pub async fn custom_permission(&mut self, id: Uuid) -> Result<Option<CustomPermissionRecord>, Error> {
        fetch_optional!(self, PermissionRow, sql::PERMISSION, id)?.map(PermissionRow::model).transpose()
    }

    /// An application's custom permissions, newest first.
    pub async fn custom_permissions(&mut self, application: Uuid, skip: u32, take: u32) -> Result<Vec<CustomPermissionRecord>, Error> {
        fetch_all!(self, PermissionRow, sql::PERMISSIONS, application, i64::from(take), i64::from(skip))?
            .into_iter()
            .map(PermissionRow::model)
            .collect()
    }

    /// How many custom permissions an application has.
    pub async fn count_custom_permissions(&mut self, application: Uuid) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT_PERMISSIONS, application)?.n.unsigned_abs())
    }

    /// Has the application a custom permission of that alias?
    pub async fn has_custom_permission(&mut self, application: Uuid, alias: &str) -> Result<bool, Error> {
        Ok(fetch_one!(self, CountRow, sql::ALIAS, application, alias)?.n > 0)
    }

    /// Adds a custom permission.
    pub async fn insert_custom_permission(&mut self, p: &CustomPermissionRecord) -> Result<(), Error> {
        let (created, updated) = (micros(p.created), micros(p.updated));
        execute!(self, sql::INSERT_PERMISSION, p.id, p.application, &p.alias, &p.name, &p.category, &p.description, created, updated)?;
        Ok(())
    }

    /// Changes category and description.
    pub async fn update_custom_permission(&mut self, p: &CustomPermissionRecord) -> Result<bool, Error> {
        Ok(execute!(self, sql::UPDATE_PERMISSION, p.id, &p.category, &p.description, micros(p.updated))? == 1)
    }

    /// Removes a custom permission, also from the roles that carry it.
    pub async fn delete_custom_permission(&mut self, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_PERMISSION, id)? == 1)
    }

    /// What a tenant's owner said when it was made.
    pub async fn tenant_contract(&mut self, tenant: TenantId) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Error> {
        let row = fetch_optional!(self, ContractRow, sql::CONTRACT, tenant.uuid())?;
        row.map(|row| from_json("tenant_contract", "contract", &row.contract)).transpose()
    }

    /// Keeps what a tenant's owner says of billing.
    pub async fn set_tenant_contract(
        &mut self,
        tenant: TenantId,
        contract: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Error> {
        execute!(self, sql::SET_CONTRACT, tenant.uuid(), to_json(contract))?;
        Ok(())
    }
}
