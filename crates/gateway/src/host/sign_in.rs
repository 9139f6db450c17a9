//! CONNECT: certificate, token, thing secret, API key, or nothing.

use std::sync::atomic::AtomicBool;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Credential, Origin, SignedIn, TenantChoice};
use model::{
    ApiKeyId, Caller, CertificateFingerprint, Denial, Error, Permission, Permissions, Principal, TenantId, Thing, ThingId, ThingStatus,
    Timestamp,
};
use mqtt::{ConnectRequest, Refusal};
use uuid::Uuid;

use super::topics::{Context, Kind, MqttHost};

/// The connection, the certificate it rests on, and when its credential ends.
type Recognised = (Context, Option<CertificateFingerprint>, Option<Timestamp>);

const WRONG: Error = Error::Unauthenticated { reason: "the credentials are not valid" };
/// The face that anonymous clients wear in logs and the audit trail.
const ANONYMOUS: &str = "mqtt-anonymous";

/// Who is this? A certificate speaks first; a user name without a password says nothing (`?SDK=Python…`, contracts/flashlex.md 3.1).
pub(super) async fn recognise(host: &MqttHost, request: &ConnectRequest<'_>) -> Result<Recognised, Refusal> {
    let origin = Origin {
        address: request.address.map(|a| a.ip().to_canonical()),
        label: Some(request.client_id.chars().filter(|c| !c.is_control()).take(100).collect()),
        request: host.house.identity.clock().new_id(),
    };
    let recognised = match (request.certificate, secret(request)?) {
        (Some(der), None) => by_certificate(host, der, &origin).await,
        // A certificate we don't know beside a password we may know.
        (Some(der), Some(password)) => match by_certificate(host, der, &origin).await {
            Err(Error::Unauthenticated { .. }) => by_password(host, request.username.unwrap_or_default(), password, &origin).await,
            other => other,
        },
        (None, Some(password)) => by_password(host, request.username.unwrap_or_default(), password, &origin).await,
        (None, None) => match request.token {
            Some(token) if is_token(token) => by_token(host, None, token, &origin).await,
            Some(key) => by_key(host, None, key, &origin).await,
            None => anonymous(host, &origin),
        },
    };
    recognised.map_err(|error| {
        if let Error::Internal { .. } = &error {
            tracing::error!(%error, client = request.client_id, "an MQTT client could not be recognised");
        } else {
            tracing::debug!(%error, client = request.client_id, address = ?origin.address, "an MQTT client was refused");
        }
        refusal(&error)
    })
}

fn secret<'a>(request: &ConnectRequest<'a>) -> Result<Option<&'a str>, Refusal> {
    match request.password {
        None | Some(b"") => Ok(None),
        Some(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| Refusal::BadCredentials),
    }
}

async fn by_certificate(host: &MqttHost, der: &[u8], origin: &Origin) -> Result<Recognised, Error> {
    let (caller, thing) = host.house.things.recognise_certificate(der).await?;
    let caller = Caller { request: origin.request, address: origin.address, ..caller };
    let context = Context {
        kind: thing_kind(thing),
        api_key: None,
        token: None,
        by_secret: false,
        self_signed: false,
        endings: 0,
        durability: None,
        caller,
    };
    // Of several certificates each is known by itself, so that revoking one ends only its own sessions.
    let fingerprint = identity::certificate_fingerprint(der);
    let ends = host.house.identity.read_certificate_der(der).ok().map(|facts| facts.not_after);
    Ok((context, Some(fingerprint), ends))
}

async fn by_password(host: &MqttHost, username: &str, password: &str, origin: &Origin) -> Result<Recognised, Error> {
    if is_token(password) {
        return by_token(host, Some(username).filter(|name| !name.is_empty()), password, origin).await;
    }
    // Asked first, so that a key's owner does not count as a thing's failed try, nor a thing as a key's.
    if !username.contains('@') && is_thing(host, username).await? {
        let credential = Credential::Thing { handle: username, secret: password };
        let signed_in = host.house.identity.sign_in(credential, TenantChoice::Home, origin).await?;
        return from_thing(host, signed_in.caller, Shown::Secret, None).await;
    }
    by_key(host, Some(username).filter(|name| name.contains('@')), password, origin).await
}

async fn by_key(host: &MqttHost, login: Option<&str>, key: &str, origin: &Origin) -> Result<Recognised, Error> {
    let credential = match login {
        Some(login) => Credential::ApiKeyOf { login, key },
        None => Credential::ApiKey { key },
    };
    let SignedIn { caller, api_key, .. } = host.house.identity.sign_in(credential, TenantChoice::Home, origin).await?;
    let ends = key_ends(host, caller.tenant, api_key).await?;
    Ok((member(caller, api_key, None), None, ends))
}

/// When an API key ends, if ever.
async fn key_ends(host: &MqttHost, tenant: TenantId, key: Option<ApiKeyId>) -> Result<Option<Timestamp>, Error> {
    let Some(key) = key else { return Ok(None) };
    Ok(host.house.db.read().await?.api_key(tenant, key).await?.ok_or(WRONG)?.expires)
}

/// Our own tokens, the dialects' tokens, and the token a thing signs by itself (then the user name is the thing's key or id).
async fn by_token(host: &MqttHost, username: Option<&str>, token: &str, origin: &Origin) -> Result<Recognised, Error> {
    let identity = &host.house.identity;
    for profile in [&native::TOKENS, &flashlex::TOKENS] {
        match identity.verify(token, profile).await {
            Ok(caller) => {
                let caller = Caller { request: origin.request, address: origin.address, ..caller };
                let facts = facts(token);
                if let Principal::Thing(_) = caller.principal {
                    return from_thing(host, caller, Shown::Token(facts.token), facts.ends).await;
                }
                // It ends with the key it was issued for.
                let key_ends = key_ends(host, caller.tenant, facts.key).await?;
                let ends = facts.ends.into_iter().chain(key_ends).min();
                return Ok((member(caller, facts.key, facts.token), None, ends));
            }
            Err(Error::Unauthenticated { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(handle) = username else { return Err(WRONG) };
    let (caller, certificate_ends) = identity.verify_thing_token_until(handle, token).await?;
    // No longer than the certificate whose key signed it, whatever the thing wrote into it.
    let ends = facts(token).ends.into_iter().chain(certificate_ends).min();
    from_thing(host, Caller { request: origin.request, address: origin.address, ..caller }, Shown::SelfSigned, ends).await
}

fn anonymous(host: &MqttHost, origin: &Origin) -> Result<Recognised, Error> {
    let tenant = host.anonymous.ok_or(WRONG)?;
    let caller = Caller {
        tenant,
        principal: Principal::Client(ANONYMOUS.to_owned()),
        permissions: Permissions::of(&[Permission::MessageRead, Permission::MessageWrite]),
        request: origin.request,
        address: origin.address,
    };
    Ok((
        Context {
            caller,
            kind: Kind::Anonymous,
            api_key: None,
            token: None,
            by_secret: false,
            self_signed: false,
            endings: 0,
            durability: None,
        },
        None,
        None,
    ))
}

fn member(caller: Caller, api_key: Option<ApiKeyId>, token: Option<Uuid>) -> Context {
    Context { caller, kind: Kind::Member, api_key, token, by_secret: false, self_signed: false, endings: 0, durability: None }
}

/// What a thing showed.
enum Shown {
    Secret,
    /// One of ours, by `jti`.
    Token(Option<Uuid>),
    SelfSigned,
}

async fn from_thing(host: &MqttHost, caller: Caller, shown: Shown, ends: Option<Timestamp>) -> Result<Recognised, Error> {
    let Principal::Thing(id) = caller.principal else { return Err(WRONG) };
    let thing = host.house.things.thing(&caller, &id.to_string()).await?;
    let (by_secret, self_signed) = (matches!(shown, Shown::Secret), matches!(shown, Shown::SelfSigned));
    let token = if let Shown::Token(id) = shown { id } else { None };
    Ok((
        Context { kind: thing_kind(thing), caller, api_key: None, token, by_secret, self_signed, endings: 0, durability: None },
        None,
        ends,
    ))
}

fn thing_kind(thing: Thing) -> Kind {
    let verified = AtomicBool::new(thing.status == ThingStatus::Verified);
    Kind::Thing { thing: Box::new(thing), verified }
}

/// Does any tenant have a thing of this key or id? Told to nobody.
async fn is_thing(host: &MqttHost, handle: &str) -> Result<bool, Error> {
    if handle.is_empty() || handle.len() > Thing::NAME_MAX {
        return Ok(false);
    }
    let mut tx = host.house.db.read().await?;
    if let Ok(id) = handle.parse::<ThingId>()
        && tx.thing_credential(id).await?.is_some()
    {
        return Ok(true);
    }
    Ok(!tx.thing_credentials(handle).await?.is_empty())
}

/// A JWT (RFC 7519 3), or an API key or secret?
fn is_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|b| *b == b'.').count() == 2
}

struct TokenFacts {
    token: Option<Uuid>,
    ends: Option<Timestamp>,
    key: Option<ApiKeyId>,
}

/// `jti`, `exp` and the API key of a token that was verified.
fn facts(token: &str) -> TokenFacts {
    #[derive(serde::Deserialize)]
    struct Claims {
        jti: Option<Uuid>,
        exp: Option<i64>,
        heliograph: Option<Own>,
    }
    #[derive(serde::Deserialize)]
    struct Own {
        key: Option<ApiKeyId>,
    }
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Claims> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    TokenFacts {
        token: claims.as_ref().and_then(|c| c.jti),
        key: claims.as_ref().and_then(|c| c.heliograph.as_ref()?.key),
        ends: claims.and_then(|c| c.exp).and_then(|exp| Timestamp::from_second(exp).ok()),
    }
}

/// A verb's error as CONNACK says it.
pub(super) fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Unauthenticated { .. } | Error::NotFound { .. } | Error::Invalid { .. } => Refusal::BadCredentials,
        Error::Forbidden(Denial::Quota(_)) => Refusal::QuotaExceeded,
        Error::Forbidden(_) => Refusal::NotAuthorized,
        Error::TooMany { retry_after } => Refusal::RetryAfter(*retry_after),
        Error::Conflict { .. } | Error::TooLarge { .. } | Error::Unavailable { .. } | Error::Internal { .. } => Refusal::ServerUnavailable,
    }
}
