//! What a thing proves itself by, for whoever checks credentials; things themselves are written elsewhere.

use model::{TenantId, ThingId};
use uuid::Uuid;

use crate::db::Tx;
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, secret_hash from thing where id = $1";
    BY_KEY = "select id, tenant, secret_hash from thing where thing_key = $1 limit 32";
    PUBLIC_KEYS = "select public_key, not_after from certificate where tenant = $1 and thing = $2 and status = 'active' \
                   and not_before <= $3 and not_after >= $3 order by created desc limit 16";
}

row! {
    struct CredentialRow { id: Uuid, tenant: Uuid, secret_hash: Option<Vec<u8>> }
}

row! {
    struct PublicKeyRow { public_key: String, not_after: i64 }
}

/// A thing and the hash of its shared secret.
#[derive(Clone, Debug)]
pub struct ThingCredential {
    /// The thing.
    pub thing: ThingId,
    /// Its tenant.
    pub tenant: TenantId,
    /// SHA-256 of its secret, if it has one.
    pub secret_hash: Option<Vec<u8>>,
}

impl CredentialRow {
    fn model(self) -> ThingCredential {
        ThingCredential { thing: ThingId(self.id), tenant: TenantId(self.tenant), secret_hash: self.secret_hash }
    }
}

impl Tx {
    /// The thing of that id.
    pub async fn thing_credential(&mut self, id: ThingId) -> Result<Option<ThingCredential>, Error> {
        Ok(fetch_optional!(self, CredentialRow, sql::BY_ID, id.uuid())?.map(CredentialRow::model))
    }

    /// Things of that key, one per tenant at most, 32 in all: who knows the secret is meant.
    pub async fn thing_credentials(&mut self, key: &str) -> Result<Vec<ThingCredential>, Error> {
        Ok(fetch_all!(self, CredentialRow, sql::BY_KEY, key)?.into_iter().map(CredentialRow::model).collect())
    }

    /// Public keys (SPKI PEM) of the thing's certificates that are active and valid at that moment, newest first, and when each ends.
    pub async fn thing_public_keys(
        &mut self,
        tenant: TenantId,
        thing: ThingId,
        at: jiff::Timestamp,
    ) -> Result<Vec<(String, Option<jiff::Timestamp>)>, Error> {
        let rows = fetch_all!(self, PublicKeyRow, sql::PUBLIC_KEYS, tenant.uuid(), thing.uuid(), crate::db::micros(at))?;
        Ok(rows.into_iter().map(|row| (row.public_key, jiff::Timestamp::from_microsecond(row.not_after).ok())).collect())
    }
}
