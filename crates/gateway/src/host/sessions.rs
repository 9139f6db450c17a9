//! Persistent sessions as rows of the store: JSON, because a later version must be able to read them.

use journal::InboxId;
use model::{Result, TenantId};
use mqtt::{SavedSession, SavedSubscription};
use serde::{Deserialize, Serialize};
use store::StoredMqttSession;
use uuid::Uuid;

use crate::House;

/// Sessions read at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    principal: String,
    expiry: u32,
    subscriptions: Vec<Sub>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sub {
    filter: String,
    options: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inbox: Option<(Uuid, u32)>,
}

pub(super) async fn save(house: &House, tenant: TenantId, session: &SavedSession) -> Result<()> {
    let subscriptions = session.subscriptions.iter().map(|s| Sub {
        filter: s.filter.clone(),
        options: s.options,
        identifier: s.identifier,
        inbox: s.inbox.map(|(id, form)| (id.0, form)),
    });
    let state = State { principal: session.principal.clone(), expiry: session.expiry, subscriptions: subscriptions.collect() };
    let state = serde_json::to_vec(&state).map_err(model::Error::internal)?;
    // The broker counts a session's time itself, from its last connection or from the start.
    let stored = StoredMqttSession { tenant, client_id: key(&session.principal, &session.client_id), state, expires: None };
    let mut tx = house.db.begin().await?;
    tx.save_mqtt_session(&stored).await?;
    Ok(tx.commit().await?)
}

/// A client id is its principal's own, so both are the row's key; the length tells where one ends.
fn key(principal: &str, client_id: &str) -> String {
    format!("{}:{principal}{client_id}", principal.len())
}

pub(super) async fn remove(house: &House, tenant: TenantId, principal: &str, client_id: &str) -> Result<()> {
    let mut tx = house.db.begin().await?;
    tx.delete_mqtt_session(tenant, &key(principal, client_id)).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn load(house: &House) -> Result<Vec<SavedSession>> {
    let mut sessions = Vec::new();
    let mut after: Option<(TenantId, String)> = None;
    loop {
        let page = house.db.read().await?.mqtt_sessions(after.as_ref().map(|(t, c)| (*t, c.as_str())), PAGE).await?;
        let full = page.len() == PAGE as usize;
        after = page.last().map(|s| (s.tenant, s.client_id.clone()));
        for stored in page {
            match serde_json::from_slice::<State>(&stored.state) {
                Ok(state) => match stored.client_id.strip_prefix(&key(&state.principal, "")).map(str::to_owned) {
                    Some(client_id) => sessions.push(restored(StoredMqttSession { client_id, ..stored }, state)),
                    // Kept by a version that knew one session for each client id.
                    None => {
                        let mut tx = house.db.begin().await?;
                        tx.delete_mqtt_session(stored.tenant, &stored.client_id).await?;
                        tx.commit().await?;
                        let session = restored(stored, state);
                        save(house, session.tenant, &session).await?;
                        sessions.push(session);
                    }
                },
                Err(error) => tracing::warn!(%error, client = stored.client_id, "a kept session is not readable and is passed over"),
            }
        }
        if !full {
            return Ok(sessions);
        }
    }
}

fn restored(stored: StoredMqttSession, state: State) -> SavedSession {
    let subscriptions = state.subscriptions.into_iter().map(|s| SavedSubscription {
        filter: s.filter,
        options: s.options,
        identifier: s.identifier,
        inbox: s.inbox.map(|(id, form)| (InboxId(id), form)),
    });
    SavedSession {
        tenant: stored.tenant,
        client_id: stored.client_id,
        principal: state.principal,
        expiry: state.expiry,
        subscriptions: subscriptions.collect(),
    }
}
