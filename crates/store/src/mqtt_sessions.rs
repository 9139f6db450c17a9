//! Persistent MQTT sessions: opaque state, written by the broker's host.

use model::{TenantId, Timestamp};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    PAGE = "select tenant, client_id, state, expires from mqtt_session \
            where (tenant, client_id) > ($1, $2) order by tenant, client_id limit $3";
    SAVE = "insert into mqtt_session (tenant, client_id, state, expires) values ($1, $2, $3, $4) \
            on conflict (tenant, client_id) do update set state = excluded.state, expires = excluded.expires";
    DELETE = "delete from mqtt_session where tenant = $1 and client_id = $2";
    DELETE_TENANT = "delete from mqtt_session where tenant = $1";
}

row! { struct SessionRow { tenant: Uuid, client_id: String, state: Vec<u8>, expires: Option<i64> } }

/// A persistent session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMqttSession {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its client id.
    pub client_id: String,
    /// Subscriptions and whatever else its writer needs; opaque here.
    pub state: Vec<u8>,
    /// When it ends, unless its client comes back; never when absent.
    pub expires: Option<Timestamp>,
}

impl Tx {
    /// Sessions in the order of tenant and client id, from behind `after`; at most `limit`.
    pub async fn mqtt_sessions(&mut self, after: Option<(TenantId, &str)>, limit: u32) -> Result<Vec<StoredMqttSession>, Error> {
        let (tenant, client) = after.map_or((Uuid::nil(), ""), |(tenant, client)| (tenant.uuid(), client));
        let rows = fetch_all!(self, SessionRow, sql::PAGE, tenant, client, i64::from(limit))?;
        rows.into_iter()
            .map(|row| {
                let expires = row.expires.map(|e| timestamp("mqtt_session", "expires", e)).transpose()?;
                Ok(StoredMqttSession { tenant: TenantId(row.tenant), client_id: row.client_id, state: row.state, expires })
            })
            .collect()
    }

    /// Adds or replaces a session.
    pub async fn save_mqtt_session(&mut self, s: &StoredMqttSession) -> Result<(), Error> {
        execute!(self, sql::SAVE, s.tenant.uuid(), &s.client_id, &s.state, s.expires.map(micros))?;
        Ok(())
    }

    /// Removes a session; false when there is none.
    pub async fn delete_mqtt_session(&mut self, tenant: TenantId, client_id: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), client_id)? == 1)
    }

    /// Removes every session of a tenant.
    pub async fn delete_mqtt_sessions_of(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(execute!(self, sql::DELETE_TENANT, tenant.uuid())?)
    }
}
