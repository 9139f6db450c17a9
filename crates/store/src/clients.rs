//! OAuth clients and the hashes of their secrets.

use model::{Client, PageRequest, TenantId};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, name, is_public, secret_hash, grants, redirect_uris, scopes, security, registration_hash, created from client where id = $1";
    PAGE = "select id, tenant, name, is_public, secret_hash, grants, redirect_uris, scopes, security, registration_hash, created from client \
            where tenant = $1 and id > $2 order by id limit $3";
    INSERT = "insert into client (id, tenant, name, is_public, secret_hash, grants, redirect_uris, scopes, created, security) \
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    UPDATE = "update client set name = $3, is_public = $4, secret_hash = $5, grants = $6, redirect_uris = $7, scopes = $8, security = $9 \
              where id = $1 and tenant = $2";
    SET_REGISTRATION = "update client set registration_hash = $2 where id = $1";
    DELETE = "delete from client where id = $1 and tenant = $2";
}

row! {
    struct ClientRow {
        id: String, tenant: Uuid, name: String, is_public: bool, secret_hash: Option<Vec<u8>>,
        grants: String, redirect_uris: String, scopes: String, security: String, registration_hash: Option<Vec<u8>>, created: i64,
    }
}

/// A client with what proves it.
#[derive(Clone, Debug)]
pub struct ClientRecord {
    /// The client.
    pub client: Client,
    /// SHA-256 of its secret; absent for a public client.
    pub secret_hash: Option<Vec<u8>>,
    /// SHA-256 of its registration access token (RFC 7592); absent: it did not register itself.
    pub registration_hash: Option<Vec<u8>>,
}

impl ClientRow {
    fn model(self) -> Result<ClientRecord, Error> {
        Ok(ClientRecord {
            client: Client {
                tenant: TenantId(self.tenant),
                name: self.name,
                public: self.is_public,
                grants: from_json("client", "grants", &self.grants)?,
                redirect_uris: from_json("client", "redirect_uris", &self.redirect_uris)?,
                scopes: from_json("client", "scopes", &self.scopes)?,
                security: from_json("client", "security", &self.security)?,
                created: timestamp("client", "created", self.created)?,
                id: self.id,
            },
            secret_hash: self.secret_hash,
            registration_hash: self.registration_hash,
        })
    }
}

impl Tx {
    /// The client, whatever its tenant: sign-in knows no tenant yet.
    pub async fn client(&mut self, id: &str) -> Result<Option<ClientRecord>, Error> {
        fetch_optional!(self, ClientRow, sql::BY_ID, id)?.map(ClientRow::model).transpose()
    }

    /// A tenant's clients by id, one more than the page holds.
    pub async fn clients(&mut self, tenant: TenantId, after: &str, page: &PageRequest) -> Result<Vec<ClientRecord>, Error> {
        fetch_all!(self, ClientRow, sql::PAGE, tenant.uuid(), after, i64::from(page.limit) + 1)?.into_iter().map(ClientRow::model).collect()
    }

    /// Adds a client.
    pub async fn insert_client(&mut self, c: &Client, secret_hash: Option<&[u8]>) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            &c.id,
            c.tenant.uuid(),
            &c.name,
            c.public,
            secret_hash,
            to_json(&c.grants),
            to_json(&c.redirect_uris),
            to_json(&c.scopes),
            micros(c.created),
            to_json(&c.security)
        )?;
        Ok(())
    }

    /// Changes a client of that tenant; false when there is none.
    pub async fn update_client(&mut self, c: &Client, secret_hash: Option<&[u8]>) -> Result<bool, Error> {
        let done = execute!(
            self,
            sql::UPDATE,
            &c.id,
            c.tenant.uuid(),
            &c.name,
            c.public,
            secret_hash,
            to_json(&c.grants),
            to_json(&c.redirect_uris),
            to_json(&c.scopes),
            to_json(&c.security)
        )?;
        Ok(done == 1)
    }

    /// The hash of the token by which a client that registered itself is managed.
    pub async fn set_client_registration(&mut self, id: &str, hash: &[u8]) -> Result<(), Error> {
        execute!(self, sql::SET_REGISTRATION, id, hash)?;
        Ok(())
    }

    /// Removes a client of that tenant; false when there is none.
    pub async fn delete_client(&mut self, tenant: TenantId, id: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id, tenant.uuid())? == 1)
    }
}
