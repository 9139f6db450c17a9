//! Things, their keys, certificates and secrets.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use identity::ExposeSecret;
use model::CertificateFingerprint;
use things::{Credentials, ThingChange, ThingFilter};

use super::Created;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params};
use crate::wire::{
    Certificate, CreatedThing, CredentialKind, NewCertificate, NewSecret, NewThing, Page, Paging, Thing, ThingKeys, ThingPatch, ThingQuery,
    ThingSecret, merge,
};
use crate::{App, Failure};

/// List things
#[utoipa::path(
    get, path = "/things", tag = "things", params(ThingQuery),
    responses((status = 200, description = "Things by id", body = Page<Thing>))
)]
pub async fn list_things(State(app): State<App>, Auth(caller): Auth, Params(query): Params<ThingQuery>) -> Result<Json<Page<Thing>>> {
    let filter = ThingFilter { name_contains: query.name, tag: query.tag, kind: query.kind, status: query.status };
    let page = Paging { limit: query.limit, cursor: query.cursor }.request()?;
    Ok(Json(Page::of(app.things.things(&caller, &filter, &page).await?)))
}

/// Create a thing
///
/// With the credentials it shall be recognised by. A secret is in the answer this once; keys made here can be had again at
/// `/things/{thing}/keys`.
#[utoipa::path(
    post, path = "/things", tag = "things", request_body = NewThing,
    responses((status = 201, description = "The thing, and what it needs to connect", body = CreatedThing, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn create_thing(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewThing>) -> Result<Created<CreatedThing>> {
    if new.secret.is_some() && new.credentials != CredentialKind::Secret {
        return Err(Failure::input("secret", "goes with credentials \"secret\""));
    }
    let new = things::NewThing {
        key: new.key,
        name: new.name,
        kind: new.kind,
        distribution: new.distribution,
        tags: new.tags,
        attributes: new.attributes,
        credentials: match new.credentials {
            CredentialKind::None => Credentials::None,
            CredentialKind::RsaCertificate => Credentials::RsaCertificate,
            CredentialKind::EcdsaCertificate => Credentials::EcdsaCertificate,
            CredentialKind::Secret => Credentials::Secret,
        },
        secret: new.secret.map(|s| s.0),
    };
    let made = app.things.provision(&caller, new).await?;
    let key = made.thing.key.clone();
    let body = CreatedThing {
        thing: made.thing.into(),
        keys: made.keys.map(|keys| wire_keys(&app, keys)),
        secret: made.secret.map(|s| s.expose_secret().to_owned()),
    };
    Ok(Created::at(["things", &key], body))
}

/// Get a thing
#[utoipa::path(
    get, path = "/things/{thing}", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    responses((status = 200, description = "The thing", body = Thing))
)]
pub async fn get_thing(State(app): State<App>, Auth(caller): Auth, At(handle): At<String>) -> Result<Json<Thing>> {
    Ok(Json(app.things.thing(&caller, &handle).await?.into()))
}

/// Change a thing
///
/// A merge patch (RFC 7396): absent members stay; attributes are merged pair by pair.
#[utoipa::path(
    patch, path = "/things/{thing}", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    request_body = ThingPatch, responses((status = 200, description = "The thing", body = Thing))
)]
pub async fn update_thing(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Body(patch): Body<ThingPatch>,
) -> Result<Json<Thing>> {
    let attributes = match patch.attributes {
        Some(pairs) => Some(merge(app.things.thing(&caller, &handle).await?.attributes, pairs)),
        None => None,
    };
    let change = ThingChange {
        key: patch.key,
        name: patch.name,
        kind: patch.kind.map(Option::unwrap_or_default),
        distribution: patch.distribution.map(Option::unwrap_or_default),
        tags: patch.tags.map(Option::unwrap_or_default),
        attributes,
    };
    Ok(Json(app.things.update(&caller, &handle, change).await?.into()))
}

/// Delete a thing
///
/// Its sessions end, its certificates are revoked, its messages are gone.
#[utoipa::path(
    delete, path = "/things/{thing}", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_thing(State(app): State<App>, Auth(caller): Auth, At(handle): At<String>) -> Result<StatusCode> {
    app.things.deprovision(&caller, &handle).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get a thing's keys
///
/// The newest key pair the gateway made for it that is still active. The private key only for those who may change the thing.
#[utoipa::path(
    get, path = "/things/{thing}/keys", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    responses((status = 200, description = "Certificate and keys", body = ThingKeys))
)]
pub async fn get_thing_keys(State(app): State<App>, Auth(caller): Auth, At(handle): At<String>) -> Result<Json<ThingKeys>> {
    let keys = app.things.keys(&caller, &handle).await?.ok_or(model::Error::not_found("key pair"))?;
    Ok(Json(wire_keys(&app, keys)))
}

fn wire_keys(app: &App, keys: things::ThingKeys) -> ThingKeys {
    ThingKeys {
        fingerprint: keys.fingerprint.as_str().to_owned(),
        certificate: keys.certificate_pem,
        private_key: keys.private_key_pem.map(|pem| pem.as_str().to_owned()),
        public_key: keys.public_key_pem,
        not_before: keys.not_before,
        not_after: keys.not_after,
        ca: app.identity.ca_certificate_pem(),
    }
}

/// List a thing's certificates
///
/// Revoked ones too.
#[utoipa::path(
    get, path = "/things/{thing}/certificates", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    responses((status = 200, description = "Certificates, all on one page", body = Page<Certificate>))
)]
pub async fn list_certificates(State(app): State<App>, Auth(caller): Auth, At(handle): At<String>) -> Result<Json<Page<Certificate>>> {
    let list = app.things.certificates(&caller, &handle).await?;
    Ok(Json(list.into_iter().map(Certificate::from).collect::<Vec<_>>().into()))
}

/// Register a certificate
///
/// The thing is then recognised by its fingerprint. Any issuer is good, also the thing itself; possession of the key is proved in
/// each TLS handshake.
#[utoipa::path(
    post, path = "/things/{thing}/certificates", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    request_body = NewCertificate,
    responses((status = 201, description = "The certificate", body = Certificate, headers(("Location" = String, description = "Where to revoke it"))))
)]
pub async fn register_certificate(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Body(new): Body<NewCertificate>,
) -> Result<Created<Certificate>> {
    let certificate = Certificate::from(app.things.register_certificate(&caller, &handle, &new.pem).await?);
    let fingerprint = certificate.fingerprint.clone();
    Ok(Created::at(["things", &handle, "certificates", &fingerprint], certificate))
}

/// Revoke a certificate
///
/// Sessions opened with it end within a second. It cannot be undone.
#[utoipa::path(
    delete, path = "/things/{thing}/certificates/{fingerprint}", tag = "things",
    params(
        ("thing" = String, Path, description = "Its key or id"),
        ("fingerprint" = String, Path, description = "SHA-256 of the DER form, hexadecimal")
    ),
    responses((status = 204, description = "It is revoked"))
)]
pub async fn revoke_certificate(
    State(app): State<App>,
    Auth(caller): Auth,
    At((handle, fingerprint)): At<(String, String)>,
) -> Result<StatusCode> {
    let fingerprint = CertificateFingerprint::parse(&fingerprint).ok_or(model::Error::not_found("certificate"))?;
    app.things.revoke_certificate(&caller, &handle, &fingerprint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set a thing's secret
///
/// Sessions opened with the old one end. The secret is in the answer, this once.
#[utoipa::path(
    put, path = "/things/{thing}/secret", tag = "things", params(("thing" = String, Path, description = "Its key or id")),
    request_body = Option<NewSecret>, responses((status = 200, description = "The secret", body = ThingSecret))
)]
pub async fn set_thing_secret(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Body(new): Body<NewSecret>,
) -> Result<Json<ThingSecret>> {
    let secret = app.things.set_secret(&caller, &handle, new.secret.map(|s| s.0)).await?;
    Ok(Json(ThingSecret { secret: secret.expose_secret().to_owned() }))
}
