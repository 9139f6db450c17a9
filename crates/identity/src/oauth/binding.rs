//! Proof of possession: tokens bound to a key by DPoP (RFC 9449) or to the certificate of the TLS handshake (RFC 8705 3).
//!
//! A token that is bound says so in `cnf` (RFC 7800). [`Identity::verify`] refuses it; [`Identity::verify_shown`] takes it
//! when what the request shows fits. A face that knows nothing of proofs is thereby safe.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Caller, Client};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::jws::{JWT_MAX, Jwt, PublicKey};
use super::{OAuthError, OAuthErrorCode as Code};
use crate::{Identity, TokenProfile, secret};

/// How far a proof's `iat` may be from our clock, either way (RFC 9449 11.1).
const WINDOW: i64 = 60;
/// How long one server nonce is handed out; it is taken for as long again.
const NONCE_SECONDS: i64 = 300;
/// Proofs remembered at a time.
const SEEN_MAX: usize = 100_000;
const JTI_MAX: usize = 256;

/// The values of a request's `DPoP` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dpop<'a> {
    /// It has none.
    #[default]
    Absent,
    /// The one proof.
    One(&'a str),
    /// Several, or one that is no text: refused (RFC 9449 4.3).
    Malformed,
}

/// What a request shows beside its token or its client's credentials.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's path, without its query.
    pub path: &'a str,
    /// Its DPoP proof.
    pub dpop: Dpop<'a>,
    /// Did the token come as `Authorization: DPoP …` and not as `Bearer`?
    pub dpop_scheme: bool,
    /// The leaf certificate (DER) whose key the TLS handshake proved.
    pub certificate: Option<&'a [u8]>,
}

/// To what a token is bound (RFC 7800 3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cnf {
    /// SHA-256 thumbprint of a DPoP key (RFC 9449 6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jkt: Option<String>,
    /// SHA-256 of a certificate (RFC 8705 3.1).
    #[serde(rename = "x5t#S256", default, skip_serializing_if = "Option::is_none")]
    pub(crate) x5t: Option<String>,
}

impl Cnf {
    /// `DPoP` or `Bearer` (RFC 9449 5).
    pub(crate) fn token_type(cnf: Option<&Self>) -> &'static str {
        if cnf.is_some_and(|cnf| cnf.jkt.is_some()) { "DPoP" } else { "Bearer" }
    }
}

/// A proof that is good but for its being the first of its kind.
struct Proof {
    jkt: String,
    id: [u8; 32],
    until: i64,
}

/// Proofs seen lately.
#[derive(Default)]
pub(crate) struct Proofs(Mutex<HashMap<[u8; 32], i64>>);

impl Proofs {
    /// Notes one; false when it was there, or when there is no room for more.
    fn note(&self, id: [u8; 32], until: i64, now: i64) -> bool {
        let mut seen = self.0.lock();
        if seen.get(&id).is_some_and(|until| *until > now) {
            return false;
        }
        if seen.len() >= SEEN_MAX {
            seen.retain(|_, until| *until > now);
        }
        // What cannot be remembered could be played again.
        seen.len() < SEEN_MAX && seen.insert(id, until).is_none_or(|until| until <= now)
    }

    pub(crate) fn prune(&self, now: i64) {
        self.0.lock().retain(|_, until| *until > now);
    }
}

/// `x5t#S256` of a certificate (RFC 8705 3.1), `ath` of a token (RFC 9449 4.2).
fn digest(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(secret::sha256(bytes))
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn bad_proof(why: &str) -> OAuthError {
    OAuthError::new(Code::InvalidDpopProof, why)
}

/// Scheme and authority in lower case, no default port, no query, no fragment (RFC 9449 4.3, RFC 3986 6.2).
fn normal_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let default = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(default).unwrap_or(&authority);
    format!("{scheme}://{authority}{}", if path.is_empty() { "/" } else { path })
}

impl Identity {
    /// Where clients with certificates reach the gateway (RFC 8705 5), if it has a TLS listener of its own.
    #[must_use]
    pub fn mtls_url(&self) -> Option<String> {
        self.inner.mtls_url.read().clone()
    }

    /// Says where clients with certificates reach the gateway.
    pub fn set_mtls_url(&self, url: Option<String>) {
        *self.inner.mtls_url.write() = url;
    }

    /// The absolute addresses a path of ours has.
    pub(super) fn addresses(&self, path: &str) -> Vec<String> {
        [Some(self.public_url()), self.mtls_url()].into_iter().flatten().map(|base| format!("{base}{path}")).collect()
    }

    /// A nonce for proofs (RFC 9449 8), good for five to ten minutes, on every node that has the master key.
    #[must_use]
    pub fn dpop_nonce(&self) -> String {
        self.nonce_of(self.clock().now().as_second().div_euclid(NONCE_SECONDS))
    }

    fn nonce_of(&self, bucket: i64) -> String {
        let mac = hmac::sign(&self.inner.nonces, &bucket.to_be_bytes());
        URL_SAFE_NO_PAD.encode(mac.as_ref().get(..18).unwrap_or_default())
    }

    /// Checks a DPoP proof but for its `jti` (RFC 9449 4.3). `token` is the access token it goes with, at a resource.
    fn read_proof(&self, shown: &Shown<'_>, token: Option<&str>) -> Result<Proof, OAuthError> {
        let text = match shown.dpop {
            Dpop::One(text) if text.len() <= JWT_MAX => text,
            Dpop::Absent => return Err(bad_proof("a DPoP proof is required")),
            _ => return Err(bad_proof("there must be one DPoP proof of at most 8 KiB")),
        };
        let jwt = Jwt::read(text).ok_or_else(|| bad_proof("the DPoP proof is not a JWT"))?;
        if jwt.header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
            return Err(bad_proof("typ of the DPoP proof is not dpop+jwt"));
        }
        let key = jwt.header.get("jwk").ok_or("is missing").and_then(PublicKey::read);
        let key = key.map_err(|why| bad_proof(&format!("jwk of the DPoP proof {why}")))?;
        if !jwt.signed_by(&key) {
            return Err(bad_proof("the DPoP proof is not signed by its key"));
        }
        if jwt.text("htm") != Some(shown.method) {
            return Err(bad_proof("htm of the DPoP proof is not this request's method"));
        }
        let htu = jwt.text("htu").map(normal_url).unwrap_or_default();
        if !self.addresses(shown.path).iter().any(|here| normal_url(here) == htu) {
            return Err(bad_proof("htu of the DPoP proof is not this request's address"));
        }
        let jti = jwt.text("jti").filter(|jti| (1..=JTI_MAX).contains(&jti.len())).ok_or_else(|| bad_proof("the DPoP proof has no jti"))?;
        let iat = jwt.seconds("iat").ok_or_else(|| bad_proof("the DPoP proof has no iat"))?;
        let now = self.clock().now().as_second();
        let bucket = now.div_euclid(NONCE_SECONDS);
        let until = match jwt.claims.get("nonce") {
            // A nonce of ours says that the proof is fresh, whatever the client's clock says (RFC 9449 8, 11.1).
            Some(Value::String(nonce)) if [bucket, bucket - 1].iter().any(|b| same(&self.nonce_of(*b), nonce)) => now + 2 * NONCE_SECONDS,
            None if (now - WINDOW..=now + WINDOW).contains(&iat) => iat + WINDOW + 1,
            _ => {
                return Err(OAuthError {
                    dpop_nonce: Some(self.dpop_nonce()),
                    ..OAuthError::new(Code::UseDpopNonce, "the proof's iat or nonce is not fresh; use this nonce")
                });
            }
        };
        let ath = jwt.text("ath");
        if let Some(token) = token
            && !ath.is_some_and(|ath| same(ath, &digest(token.as_bytes())))
        {
            return Err(bad_proof("ath of the DPoP proof is not the access token's hash"));
        }
        let jkt = key.thumbprint();
        let id = secret::sha256_of(&[jkt.as_bytes(), b"\0", jti.as_bytes()]);
        Ok(Proof { jkt, id, until: until.saturating_mul(1_000_000) })
    }

    fn first_time(&self, proof: Proof) -> Result<String, OAuthError> {
        if self.inner.proofs.note(proof.id, proof.until, self.clock().micros()) {
            Ok(proof.jkt)
        } else {
            Err(bad_proof("this DPoP proof was used before"))
        }
    }

    /// The key a client shows by DPoP, if it does (RFC 9449 5, 10.1).
    pub(super) fn dpop_key(&self, shown: &Shown<'_>) -> Result<Option<String>, OAuthError> {
        match shown.dpop {
            Dpop::Absent => Ok(None),
            _ => self.first_time(self.read_proof(shown, None)?).map(Some),
        }
    }

    /// To what the tokens of this request are bound.
    pub(super) fn binding(&self, client: &Client, shown: &Shown<'_>) -> Result<Option<Cnf>, OAuthError> {
        let jkt = self.dpop_key(shown)?;
        if client.security.dpop_bound_tokens && jkt.is_none() {
            return Err(bad_proof("this client's tokens are bound: a DPoP proof is required"));
        }
        let x5t = match (client.security.certificate_bound_tokens, shown.certificate) {
            (true, Some(der)) => Some(digest(der)),
            (true, None) => {
                return Err(OAuthError::invalid_request("this client's tokens are bound to its certificate: come over mutual TLS"));
            }
            (false, _) => None,
        };
        let cnf = Cnf { jkt, x5t };
        Ok((cnf != Cnf::default()).then_some(cnf))
    }

    /// Whom a token speaks for, bound or not, if the request shows what it is bound to. At a resource of our own.
    pub async fn verify_shown(&self, token: &str, profile: &TokenProfile, shown: &Shown<'_>) -> Result<Caller, OAuthError> {
        let invalid = |why: &str| OAuthError::new(Code::InvalidToken, why);
        let told = |error: model::Error| match error {
            model::Error::Unauthenticated { reason } => invalid(reason),
            other => other.into(),
        };
        let (caller, cnf) = self.verify_with_cnf(token, profile).await.map_err(told)?;
        let cnf = cnf.unwrap_or_default();
        if let Some(bound) = &cnf.x5t
            && !shown.certificate.is_some_and(|der| same(bound, &digest(der)))
        {
            return Err(invalid("the token is bound to another certificate"));
        }
        match (&cnf.jkt, shown.dpop_scheme) {
            (None, false) => {}
            (None, true) => return Err(invalid("the token is not bound by DPoP; send it as Bearer")),
            (Some(_), false) => return Err(invalid("the token is bound by DPoP; send it with the scheme DPoP and a proof")),
            (Some(jkt), true) => {
                let proof = self.read_proof(shown, Some(token))?;
                if !same(jkt, &proof.jkt) {
                    return Err(invalid("the token is bound to another key"));
                }
                self.first_time(proof)?;
            }
        }
        Ok(caller)
    }

    pub(crate) fn prune_proofs(&self) {
        self.inner.proofs.prune(self.clock().micros());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_as_rfc_3986_says() {
        for same in ["https://GW.example/a/b", "HTTPS://gw.example:443/a/b", "https://gw.example/a/b?x=1", "https://gw.example/a/b#c"] {
            assert_eq!(normal_url(same), "https://gw.example/a/b", "{same}");
        }
        assert_eq!(normal_url("http://gw.example"), "http://gw.example/");
        for other in ["https://gw.example/a/B", "https://gw.example:8443/a/b", "http://gw.example/a/b", "https://gw.example/a/b/"] {
            assert_ne!(normal_url(other), "https://gw.example/a/b", "{other}");
        }
    }

    #[test]
    fn a_proof_counts_once_while_it_could_be_played_again() {
        let proofs = Proofs::default();
        assert!(proofs.note([1; 32], 100, 10));
        assert!(!proofs.note([1; 32], 100, 99));
        assert!(proofs.note([2; 32], 100, 99));
        assert!(proofs.note([1; 32], 300, 100));
        proofs.prune(200);
        assert_eq!(proofs.0.lock().len(), 1);
    }
}
