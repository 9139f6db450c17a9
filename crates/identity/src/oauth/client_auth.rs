//! How a client proves itself: secret, signed assertion, certificate, or not at all (RFC 6749 2.3, RFC 7523 2.2, RFC 8705 2).

use model::{AuthMethod, Caller, Client, Principal};
use serde_json::Value;
use store::ClientRecord;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::binding::{Cnf, Shown};
use super::jws::{JWT_MAX, Jwt, PublicKey};
use super::{OAuthError, OAuthErrorCode as Code, Params, Realm};
use crate::directory::client_permissions;
use crate::{AuditEvent, Credential, Identity, Origin, SignedIn, TenantChoice, certificate_fingerprint, secret};

/// The one type of client assertion (RFC 7523 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead an assertion's end may lie, in seconds.
const ASSERTION_LIFE: i64 = 300;
/// Clocks differ.
const LEEWAY: i64 = 30;
const JTI_MAX: usize = 256;

/// What a client shows.
#[derive(Clone, Copy, Default)]
pub struct ClientAuth<'a> {
    /// User and password of the `Authorization: Basic` header, if there is one.
    pub basic: Option<(&'a str, &'a str)>,
    /// Where it sent its request, over which certificate, with which DPoP proof.
    pub shown: Shown<'a>,
}

/// A client that proved itself, or is public and only says who it is.
pub(super) struct KnownClient {
    pub(super) client: Client,
    pub(super) signed_in: Option<SignedIn>,
    /// To what its tokens are bound.
    pub(super) cnf: Option<Cnf>,
}

impl KnownClient {
    /// To what its refresh tokens are bound: those of a public client to its key, a confidential one proves itself anyway
    /// (RFC 9449 5, RFC 8705 4).
    pub(super) fn refresh_binding(&self) -> Result<Option<String>, OAuthError> {
        let cnf = self.cnf.as_ref().filter(|_| self.client.public);
        cnf.map(|cnf| serde_json::to_string(cnf).map_err(|e| model::Error::internal(e).into())).transpose()
    }
}

fn refused() -> OAuthError {
    OAuthError::new(Code::InvalidClient, "Invalid client credentials")
}

/// What was shown, by its kind; a client shows one.
enum Evidence<'a> {
    Secret { id: String, secret: String, method: AuthMethod },
    Assertion(&'a str),
    Nothing(&'a str),
}

fn evidence<'a>(auth: ClientAuth<'_>, params: &'a Params) -> Result<Evidence<'a>, OAuthError> {
    let (id, secret, assertion) = (params.get("client_id"), params.get("client_secret"), params.get("client_assertion"));
    if [auth.basic.is_some(), secret.is_some(), assertion.is_some()].iter().filter(|shown| **shown).count() > 1 {
        return Err(OAuthError::invalid_request("the client proves itself in two ways at once"));
    }
    match (assertion, params.get("client_assertion_type")) {
        (Some(assertion), Some(JWT_BEARER)) => return Ok(Evidence::Assertion(assertion)),
        (Some(_), Some(_)) => return Err(OAuthError::new(Code::InvalidClient, "client_assertion_type is not jwt-bearer")),
        (Some(_), None) => return Err(OAuthError::invalid_request("client_assertion_type is missing")),
        (None, Some(_)) => return Err(OAuthError::invalid_request("client_assertion is missing")),
        (None, None) => {}
    }
    match (auth.basic, id, secret) {
        (Some((id, given)), named, _) => {
            let id = form_decode(id);
            if named.is_some_and(|named| named != id) {
                return Err(OAuthError::invalid_request("client_id differs between header and form"));
            }
            Ok(Evidence::Secret { id, secret: form_decode(given), method: AuthMethod::ClientSecretBasic })
        }
        (None, Some(id), Some(given)) => {
            Ok(Evidence::Secret { id: id.to_owned(), secret: given.to_owned(), method: AuthMethod::ClientSecretPost })
        }
        (None, Some(id), None) => Ok(Evidence::Nothing(id)),
        (None, None, _) => Err(OAuthError::new(Code::InvalidClient, "client_id is missing")),
    }
}

impl Identity {
    /// Who asks? A confidential client has to prove it, in the way it registered; a public one says its name.
    pub(super) async fn oauth_client(
        &self,
        realm: &Realm,
        auth: ClientAuth<'_>,
        params: &Params,
        origin: &Origin,
    ) -> Result<KnownClient, OAuthError> {
        let known = |client, signed_in| Ok(KnownClient { client, signed_in, cnf: None });
        match evidence(auth, params)? {
            Evidence::Secret { id, secret, method } if !secret.is_empty() => {
                let signed_in = self
                    .sign_in(Credential::Client { id: &id, secret: &secret }, TenantChoice::Home, origin)
                    .await
                    .map_err(|error| if matches!(error, model::Error::Unauthenticated { .. }) { refused() } else { error.into() })?;
                let client = signed_in.client.clone().ok_or_else(refused)?;
                // A client that registered one way proves itself in no weaker one.
                if client.security.auth_method.is_some_and(|registered| registered != method) {
                    return Err(OAuthError::new(Code::InvalidClient, "this client registered another authentication method"));
                }
                known(client, Some(signed_in))
            }
            // A public client may send its name by Basic with an empty password.
            Evidence::Secret { id, .. } => known(self.public_client(&id).await?, None),
            Evidence::Assertion(assertion) => {
                let record = self.assertion_client(realm, auth, params, assertion, origin).await?;
                let signed_in = self.client_signed_in(&record, "client assertion", origin);
                known(record.client, Some(signed_in))
            }
            Evidence::Nothing(id) => {
                let record = self.inner.directory.client(id).await?.ok_or_else(refused)?;
                if record.client.security.auth_method != Some(AuthMethod::SelfSignedTlsClientAuth) {
                    return known(self.public_client(id).await?, None);
                }
                self.certificate_fits(&record, auth.shown.certificate, origin)?;
                let signed_in = self.client_signed_in(&record, "client certificate", origin);
                known(record.client.clone(), Some(signed_in))
            }
        }
    }

    /// The same, and what its tokens are to be bound to.
    pub(super) async fn token_client(
        &self,
        realm: &Realm,
        auth: ClientAuth<'_>,
        params: &Params,
        origin: &Origin,
    ) -> Result<KnownClient, OAuthError> {
        let known = self.oauth_client(realm, auth, params, origin).await?;
        let cnf = self.binding(&known.client, &auth.shown)?;
        Ok(KnownClient { cnf, ..known })
    }

    async fn public_client(&self, id: &str) -> Result<Client, OAuthError> {
        let record = self.inner.directory.client(id).await?.filter(|record| record.client.public).ok_or_else(refused)?;
        Ok(record.client.clone())
    }

    /// RFC 7523 3: signed by a registered key, by and about the client, for this provider, short-lived, used once.
    async fn assertion_client(
        &self,
        realm: &Realm,
        auth: ClientAuth<'_>,
        params: &Params,
        assertion: &str,
        origin: &Origin,
    ) -> Result<ClientRecord, OAuthError> {
        if assertion.len() > JWT_MAX {
            return Err(refused());
        }
        let jwt = Jwt::read(assertion).ok_or_else(refused)?;
        let id = jwt.text("sub").filter(|id| id.len() <= 128).ok_or_else(refused)?;
        if params.get("client_id").is_some_and(|named| named != id) {
            return Err(OAuthError::invalid_request("client_id differs between assertion and form"));
        }
        let charge = self.inner.limiter.charge(&format!("client:{id}"), origin.address)?;
        let record = self.inner.directory.client(id).await?;
        let record = record.filter(|r| r.client.security.auth_method == Some(AuthMethod::PrivateKeyJwt));
        let keys = record.as_ref().and_then(|r| r.client.security.jwks.as_ref()).and_then(|set| PublicKey::read_set(set).ok());
        let now = self.clock().now().as_second();
        let wrong = match (&record, keys) {
            (None, _) => Some("unknown client, or one that does not sign assertions"),
            (_, None) => Some("the client has no keys"),
            (_, Some(keys)) if !jwt.signed_by_any(&keys) => Some("wrong signature"),
            _ if jwt.text("iss") != Some(id) => Some("iss is not the client"),
            _ if !self.for_us(realm, auth.shown.path, jwt.claims.get("aud")) => Some("aud is neither the issuer nor this endpoint"),
            _ => match (jwt.seconds("exp"), jwt.seconds("nbf"), jwt.seconds("iat")) {
                (None, ..) => Some("exp is missing"),
                (Some(exp), ..) if exp <= now - LEEWAY => Some("expired"),
                (Some(exp), ..) if exp > now + ASSERTION_LIFE + LEEWAY => Some("exp is too far ahead"),
                (_, Some(at), _) | (_, _, Some(at)) if at > now + LEEWAY => Some("not valid yet"),
                _ => None,
            },
        };
        let jti = jwt.text("jti").filter(|jti| (1..=JTI_MAX).contains(&jti.len()));
        let (Some(record), None, Some(jti)) = (record, wrong, jti) else {
            self.assertion_refused(id, wrong.unwrap_or("jti is missing"), origin);
            return Err(refused());
        };
        let once = secret::sha256_of(&[b"client assertion\0", id.as_bytes(), b"\0", jti.as_bytes()]);
        let end = jiff::Timestamp::from_second(now + ASSERTION_LIFE + 2 * LEEWAY).unwrap_or(jiff::Timestamp::MAX);
        let mut tx = self.inner.db.begin().await?;
        let first = tx.once(&once, end).await?;
        tx.commit().await?;
        if !first {
            self.assertion_refused(id, "used before", origin);
            return Err(refused());
        }
        charge.give_back();
        Ok(ClientRecord::clone(&record))
    }

    /// The issuer, the token endpoint, or where it was sent (RFC 7523 3, RFC 9126 2).
    fn for_us(&self, realm: &Realm, path: &str, aud: Option<&Value>) -> bool {
        let mut names = self.addresses(realm.token_path);
        names.extend(self.addresses(path));
        names.push(realm.issuer(&self.public_url()));
        let named = |value: &Value| value.as_str().is_some_and(|text| names.iter().any(|name| name == text));
        match aud {
            Some(Value::Array(all)) => all.iter().any(named),
            Some(one) => named(one),
            None => false,
        }
    }

    fn assertion_refused(&self, id: &str, why: &'static str, origin: &Origin) {
        self.record(AuditEvent {
            tenant: None,
            actor: format!("client:{id}"),
            action: "sign_in.refused",
            target: None,
            allowed: false,
            detail: Some(format!("client assertion: {why}")),
            address: origin.address,
        });
    }

    /// RFC 8705 2.2: the handshake proved the key of a registered certificate that is valid now.
    fn certificate_fits(&self, record: &ClientRecord, certificate: Option<&[u8]>, origin: &Origin) -> Result<(), OAuthError> {
        let client = &record.client;
        let charge = self.inner.limiter.charge(&format!("client:{}", client.id), origin.address)?;
        let der = certificate.ok_or_else(|| OAuthError::new(Code::InvalidClient, "this client proves itself by its certificate"))?;
        let shown = certificate_fingerprint(der);
        let known = client.security.certificates.contains(&shown);
        let now = self.clock().now().as_second();
        let valid = X509Certificate::from_der(der).is_ok_and(|(_, leaf)| {
            let validity = leaf.validity();
            validity.not_before.timestamp() <= now && now < validity.not_after.timestamp()
        });
        if !known || !valid {
            self.record(AuditEvent {
                tenant: Some(client.tenant),
                actor: format!("client:{}", client.id),
                action: "sign_in.refused",
                target: None,
                allowed: false,
                detail: Some(format!("client certificate {shown}: {}", if known { "not valid now" } else { "not registered" })),
                address: origin.address,
            });
            return Err(refused());
        }
        charge.give_back();
        Ok(())
    }

    fn client_signed_in(&self, record: &ClientRecord, by: &'static str, origin: &Origin) -> SignedIn {
        let client = record.client.clone();
        let caller = Caller {
            tenant: client.tenant,
            principal: Principal::Client(client.id.clone()),
            permissions: client_permissions(&client.scopes),
            request: origin.request,
            address: origin.address,
        };
        self.record(AuditEvent::done(&caller, "sign_in", None).detail(by));
        SignedIn { caller, user: None, membership: None, client: Some(client), api_key: None }
    }
}

/// Undoes the form encoding that RFC 6749 2.3.1 asks for in Basic credentials. Most clients skip it; then there is no `%` to undo.
fn form_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let mut ahead = bytes.clone();
                let hex: String = ahead.by_ref().take(2).map(char::from).collect();
                match u8::from_str_radix(&hex, 16) {
                    Ok(value) if hex.len() == 2 => {
                        bytes = ahead;
                        value
                    }
                    _ => byte,
                }
            }
            other => other,
        };
        out.push(decoded);
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_encoded_or_plain() {
        assert_eq!(form_decode("a+b"), "a+b");
        assert_eq!(form_decode("a%2Bb+c%25"), "a+b c%");
        assert_eq!(form_decode("100%"), "100%");
        assert_eq!(form_decode("%zz"), "%zz");
    }
}
