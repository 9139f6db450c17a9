//! What ends elsewhere ends here too: revoked certificates, removed members, deprovisioned things close their connections at once.

use std::sync::Arc;

use identity::Change;
use model::{CertificateFingerprint, Principal, TenantId, ThingId};
use mqtt::{Broker, Peer, Reason};
use things::Ended;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::topics::{Context, Kind, MqttHost, context};
use crate::House;

/// Ends connections and sessions as things and identity say, until `stop`.
pub async fn follow(house: House, broker: Arc<Broker<MqttHost>>, stop: CancellationToken) {
    let (mut ended, mut changes) = (house.things.ended(), house.identity.changes());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            what = ended.recv() => match what {
                Ok(what) => end(&house, &broker, what).await,
                Err(RecvError::Lagged(missed)) => end_all(&broker, missed),
                Err(RecvError::Closed) => return,
            },
            change = changes.recv() => match change {
                Ok(change) => changed(&house, &broker, &change).await,
                Err(RecvError::Lagged(missed)) => end_all(&broker, missed),
                Err(RecvError::Closed) => return,
            },
        }
    }
}

async fn end(house: &House, broker: &Arc<Broker<MqttHost>>, what: Ended) {
    broker.host().something_ended();
    match what {
        Ended::Thing(id) => {
            broker.host().heard.forget(id);
            let mut tenants: Vec<TenantId> = Vec::new();
            broker.end(|peer| peer.thing == Some(id), Reason::AdministrativeAction);
            // Gone or renamed: what it had subscribed to is not its own any more.
            match tenants_of(house).await {
                Ok(all) => tenants.extend(all),
                Err(error) => tracing::warn!(%error, "sessions of a thing that is gone could not be looked up"),
            }
            let gone = matches!(thing_is_there(house, id).await, Ok(false));
            for tenant in tenants {
                broker.discard(tenant, &Principal::Thing(id)).await;
                if gone {
                    broker.forget_retained(tenant, |record| record.thing == id);
                }
            }
        }
        Ended::Certificate(fingerprint) => {
            broker.end(|peer| peer.certificate.as_ref() == Some(&fingerprint), Reason::NotAuthorized);
            // Its key signs the thing's own tokens, too; with another key of the same thing it may come back.
            match thing_of(house, &fingerprint).await {
                Ok(Some(id)) => {
                    broker.end(|peer| peer.thing == Some(id) && with(peer, |c| c.self_signed), Reason::NotAuthorized);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "whose certificate was revoked could not be looked up; all who signed their tokens sign in again");
                    broker.end(|peer| with(peer, |c| c.self_signed), Reason::NotAuthorized);
                }
            }
        }
        Ended::Keys(id) => {
            broker.end(|peer| peer.thing == Some(id) && with(peer, |c| c.self_signed), Reason::NotAuthorized);
        }
        Ended::Secret(id) => {
            let by_secret = |peer: &Peer| context(peer).is_some_and(|c| c.by_secret && matches!(&c.kind, Kind::Thing { .. }));
            broker.end(|peer| peer.thing == Some(id) && by_secret(peer), Reason::NotAuthorized);
        }
    }
}

async fn thing_of(house: &House, fingerprint: &CertificateFingerprint) -> Result<Option<ThingId>, store::Error> {
    Ok(house.db.read().await?.certificate(fingerprint).await?.map(|row| row.certificate.thing))
}

async fn thing_is_there(house: &House, id: ThingId) -> Result<bool, store::Error> {
    Ok(house.db.read().await?.thing_credential(id).await?.is_some())
}

/// Tenants that may hold a session of a thing.
async fn tenants_of(house: &House) -> model::Result<Vec<TenantId>> {
    let caller = house.operator().await;
    let mut page = model::PageRequest::max();
    let mut all = Vec::new();
    loop {
        let found = house.identity.tenants(&caller, &page).await?;
        all.extend(found.items.into_iter().map(|t| t.id));
        page.cursor = found.next;
        if page.cursor.is_none() {
            return Ok(all);
        }
    }
}

async fn changed(house: &House, broker: &Arc<Broker<MqttHost>>, change: &Change) {
    broker.host().something_ended();
    match change {
        Change::TenantRemoved(tenant) => {
            broker.end(|peer| peer.tenant == *tenant, Reason::AdministrativeAction);
            broker.forget_retained(*tenant, |_| true);
            let removed = async {
                let mut tx = house.db.begin().await?;
                tx.delete_mqtt_sessions_of(*tenant).await?;
                tx.commit().await
            };
            if let Err(error) = removed.await {
                tracing::warn!(%error, "sessions of a tenant that is gone were not removed");
            }
        }
        Change::ClientRemoved(id) => {
            broker.end(|peer| matches!(&peer.principal, Principal::Client(mine) if mine == id && is_member(peer)), Reason::NotAuthorized);
        }
        Change::UserChanged(user) => {
            broker.end(|peer| peer.principal == Principal::User(*user), Reason::NotAuthorized);
        }
        Change::MemberChanged { tenant, user, .. } => {
            broker.end(|peer| peer.tenant == *tenant && peer.principal == Principal::User(*user), Reason::NotAuthorized);
        }
        Change::TokenRevoked(id) => {
            broker.end(|peer| with(peer, |c| c.token == Some(*id)), Reason::NotAuthorized);
        }
        Change::KeyRemoved(id) => {
            broker.end(|peer| with(peer, |c| c.api_key == Some(*id)), Reason::NotAuthorized);
        }
    }
}

fn with(peer: &Peer, check: impl Fn(&Context) -> bool) -> bool {
    context(peer).is_some_and(check)
}

fn is_member(peer: &Peer) -> bool {
    with(peer, |c| matches!(c.kind, Kind::Member))
}

/// Something was missed, so nobody can be sure of anybody: everyone signs in again.
fn end_all(broker: &Arc<Broker<MqttHost>>, missed: u64) {
    tracing::warn!(missed, "changes came faster than they could be followed; every MQTT client signs in again");
    broker.host().something_ended();
    broker.end(|_| true, Reason::ServerBusy);
}
