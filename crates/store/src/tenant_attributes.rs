//! What tenants say of themselves, and the code that lets a device in.

use jiff::Timestamp;
use model::TenantId;
use serde_json::{Map, Value};

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    GET = "select attributes, settings, code, code_expires, updated from tenant_attributes where tenant = $1";
    SET = "insert into tenant_attributes (tenant, attributes, settings, code, code_expires, updated) values ($1, $2, $3, $4, $5, $6) \
           on conflict (tenant) do update set attributes = excluded.attributes, settings = excluded.settings, code = excluded.code, \
           code_expires = excluded.code_expires, updated = excluded.updated";
}

row! {
    struct AttributesRow { attributes: String, settings: String, code: Option<Vec<u8>>, code_expires: Option<i64>, updated: i64 }
}

/// What a tenant says of itself.
#[derive(Clone, Debug)]
pub struct TenantAttributes {
    /// Anything, by name.
    pub attributes: Map<String, Value>,
    /// What else a face keeps of its accounts.
    pub settings: Map<String, Value>,
    /// The activation code, sealed, and when it ends.
    pub code: Option<(Vec<u8>, Timestamp)>,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Tx {
    /// What the tenant says of itself, if anything.
    pub async fn tenant_attributes(&mut self, tenant: TenantId) -> Result<Option<TenantAttributes>, Error> {
        let Some(row) = fetch_optional!(self, AttributesRow, sql::GET, tenant.uuid())? else { return Ok(None) };
        let expires = row.code_expires.map(|at| timestamp("tenant_attributes", "code_expires", at)).transpose()?;
        Ok(Some(TenantAttributes {
            attributes: from_json("tenant_attributes", "attributes", &row.attributes)?,
            settings: from_json("tenant_attributes", "settings", &row.settings)?,
            code: row.code.zip(expires),
            updated: timestamp("tenant_attributes", "updated", row.updated)?,
        }))
    }

    /// Keeps what the tenant says of itself.
    pub async fn set_tenant_attributes(&mut self, tenant: TenantId, a: &TenantAttributes) -> Result<(), Error> {
        let (code, expires) = a.code.as_ref().map(|(code, at)| (code.as_slice(), micros(*at))).unzip();
        execute!(self, sql::SET, tenant.uuid(), to_json(&a.attributes), to_json(&a.settings), code, expires, micros(a.updated))?;
        Ok(())
    }
}
