//! Device authorization (RFC 8628): a device without a browser shows a short code, its user types it into one that has, and says yes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::{Client, Error, Grant, SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use store::{DeviceRecord, OAuthSession};
use uuid::Uuid;

use super::authorize::granted_scope;
use super::client_auth::KnownClient;
use super::token::{Answer, seconds};
use super::{ClientAuth, Decision, Login, OAuthError, OAuthErrorCode as Code, Params, Realm, TokenRequest, TokenResponse};
use crate::{AuditEvent, Identity, Origin, secret};

/// How long the user may take.
const LIFETIME: Duration = Duration::from_mins(10);
/// How long the device waits between two questions.
const INTERVAL: Duration = Duration::from_secs(5);
/// Letters that neither spell words nor look like digits (RFC 8628 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What a device is told (RFC 8628 3.2); the addresses are the face's to add.
#[derive(Debug, Serialize)]
pub struct DeviceAuthorization {
    /// What the device redeems.
    pub device_code: String,
    /// What the user types: `BDGH-KLMN`.
    pub user_code: String,
    /// Seconds until both end.
    pub expires_in: i64,
    /// Seconds between two questions.
    pub interval: i64,
}

/// What the user is asked about a device.
#[derive(Clone, Debug)]
pub struct DeviceAsked {
    /// The code, as it is shown on the device.
    pub user_code: String,
    /// The client the device runs.
    pub client: Client,
    /// For what.
    pub scope: Vec<String>,
    /// In which tenant: those of the user where the client may be used.
    pub tenants: Vec<(TenantId, String)>,
    /// Who is asked (e-mail).
    pub email: String,
}

/// What the user said.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    allow: bool,
    user: UserId,
    tenant: TenantId,
    login: Uuid,
    auth_time: Timestamp,
    #[serde(default = "super::authorize::by_password")]
    methods: String,
}

fn new_user_code() -> String {
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        if code.len() == 4 {
            code.push('-');
        }
        let [byte] = secret::random::<1>();
        // 240 is the largest multiple of 20 below 256.
        if let Some(letter) = LETTERS.get(usize::from(byte % 20)).filter(|_| byte < 240) {
            code.push(char::from(*letter));
        }
    }
    code
}

/// A code as typed: any case, with or without the dash.
fn normalize(typed: &str) -> Option<String> {
    let letters: String = typed.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    let good = letters.len() == 8 && letters.bytes().all(|b| LETTERS.contains(&b));
    good.then(|| format!("{}-{}", letters.get(..4).unwrap_or_default(), letters.get(4..).unwrap_or_default()))
}

impl Identity {
    /// A device asks (RFC 8628 3.1).
    pub async fn authorize_device(
        &self,
        realm: &Realm,
        auth: ClientAuth<'_>,
        params: &Params,
        origin: &Origin,
    ) -> Result<DeviceAuthorization, OAuthError> {
        let known = self.oauth_client(realm, auth, params, origin).await?;
        if !known.client.grants.contains(&Grant::DeviceCode) {
            return Err(OAuthError::new(Code::UnauthorizedClient, "this client may not use the grant device_code"));
        }
        let scope = granted_scope(&known.client, params.get("scope"))?;
        let now = self.clock().now();
        let device_code = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        let record = DeviceRecord {
            user_code: new_user_code(),
            client: known.client.id,
            realm: realm.name().to_owned(),
            scope: scope.join(" "),
            decision: None,
            polled: now,
            expires: now + LIFETIME,
        };
        let mut tx = self.inner.db.begin().await?;
        // A public client is anybody: what is asked for must not pile up faster than upkeep clears it away.
        tx.prune_devices(now - LIFETIME).await?;
        tx.insert_device(&secret::sha256(device_code.as_bytes()), &record).await?;
        tx.commit().await?;
        Ok(DeviceAuthorization { device_code, user_code: record.user_code, expires_in: seconds(LIFETIME), interval: seconds(INTERVAL) })
    }

    /// What the device of a typed code asks for. Guesses are counted against the user and the address (RFC 8628 5.1).
    pub async fn device_asked(&self, typed: &str, login: &Login, origin: &Origin) -> model::Result<DeviceAsked> {
        let charge = self.inner.limiter.charge(&format!("device:{}", login.user), origin.address)?;
        let unknown = || Error::not_found("code");
        let code = normalize(typed).ok_or_else(unknown)?;
        let now = self.clock().now();
        let record = self.inner.db.read().await?.device_by_user_code(&code).await?;
        let record = record.filter(|r| r.expires > now && r.decision.is_none()).ok_or_else(unknown)?;
        charge.give_back();
        let client = self.inner.directory.client(&record.client).await?.ok_or_else(unknown)?.client.clone();
        let standing = self.inner.directory.user(login.user).await?.ok_or_else(unknown)?;
        let tenants = self.tenants_for(&client, &standing.memberships).await?;
        if tenants.is_empty() {
            return Err(Error::Forbidden(model::Denial::Rule("you are no member of a tenant in which this application is installed")));
        }
        let scope = record.scope.split(' ').map(str::to_owned).collect();
        Ok(DeviceAsked { user_code: record.user_code, client, scope, tenants, email: standing.record.user.email.clone() })
    }

    /// The user says yes or no.
    pub async fn decide_device(&self, typed: &str, decision: Decision, login: &Login, origin: &Origin) -> model::Result<()> {
        let asked = self.device_asked(typed, login, origin).await?;
        let tenant = match (decision.tenant, asked.tenants.as_slice()) {
            (Some(chosen), all) if all.iter().any(|(id, _)| *id == chosen) => chosen,
            (None, [only]) => only.0,
            _ => return Err(Error::invalid("tenant", "is not one of yours")),
        };
        let said = Said {
            allow: decision.allow,
            user: login.user,
            tenant,
            login: login.id,
            auth_time: login.auth_time,
            methods: login.methods.clone(),
        };
        let json = serde_json::to_string(&said).map_err(Error::internal)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.decide_device(&asked.user_code, &json, self.clock().now()).await? {
            return Err(Error::not_found("code"));
        }
        tx.commit().await?;
        self.record(AuditEvent {
            tenant: Some(tenant),
            actor: format!("user:{}", login.user),
            action: "oauth.device_authorized",
            target: Some(format!("client:{}", asked.client.id)),
            allowed: decision.allow,
            detail: Some(asked.scope.join(" ")),
            address: origin.address,
        });
        Ok(())
    }

    /// The device asks whether its user has said something (RFC 8628 3.4, 3.5).
    pub(super) async fn redeem_device(
        &self,
        realm: &Realm,
        known: &KnownClient,
        request: &TokenRequest<'_>,
    ) -> Result<TokenResponse, OAuthError> {
        let hash = secret::sha256(request.params.need("device_code")?.as_bytes());
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        let record = tx.device(&hash).await?.filter(|r| r.client == known.client.id && r.realm == realm.name());
        let record = record.ok_or_else(|| OAuthError::invalid_grant("this device code is not known"))?;
        if record.expires <= now {
            return Err(OAuthError::new(Code::ExpiredToken, "the codes have expired; ask for new ones"));
        }
        let Some(json) = record.decision else {
            let early = now.duration_since(record.polled).unsigned_abs() < INTERVAL;
            tx.device_polled(&hash, now).await?;
            tx.commit().await?;
            return Err(if early {
                OAuthError::new(Code::SlowDown, "ask less often")
            } else {
                OAuthError::new(Code::AuthorizationPending, "the user has not said anything yet")
            });
        };
        let said: Said = serde_json::from_str(&json).map_err(Error::internal)?;
        let resources = self.asked_resources(&known.client, request.params)?;
        if !tx.delete_device(&hash).await? {
            return Err(OAuthError::invalid_grant("this device code is not known"));
        }
        if !said.allow {
            tx.commit().await?;
            return Err(OAuthError::new(Code::AccessDenied, "the user said no"));
        }
        let session = OAuthSession {
            id: SessionId(Uuid::new_v4()),
            tenant: said.tenant,
            user: said.user,
            client: record.client,
            realm: record.realm,
            scope: record.scope,
            // The browser only lent a hand: signing out there does not stop the device.
            login: None,
            auth_time: said.auth_time,
            nonce: None,
            created: now,
            expires: now + realm.refresh_lifetime,
            methods: said.methods,
            cnf: known.refresh_binding()?,
            resources: resources.join(" "),
        };
        tx.insert_oauth_session(&session).await?;
        self.answer_session(realm, known, Answer::first(session, resources), tx, request.origin).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_codes_are_typed_as_they_come() {
        let code = new_user_code();
        assert_eq!(code.len(), 9);
        assert_eq!(normalize(&code), Some(code.clone()));
        assert_eq!(normalize(&code.to_lowercase().replace('-', " ")), Some(code.clone()));
        assert_eq!(normalize(&code.replace('-', "")), Some(code));
        for bad in ["", "AAAA-AAAA", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJ\u{130}"] {
            assert_eq!(normalize(bad), None, "{bad}");
        }
    }
}
