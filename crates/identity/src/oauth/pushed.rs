//! Pushed authorization requests (RFC 9126): a client hands its request in over its own connection, the browser carries a name for it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use store::PushedRecord;

use super::authorize::PushedAs;
use super::token::seconds;
use super::{AuthorizeError, ClientAuth, OAuthError, OAuthErrorCode as Code, Params, Realm};
use crate::{Identity, Origin, secret};

const URN: &str = "urn:ietf:params:oauth:request_uri:";
/// Long enough to sign in with.
const LIFETIME: Duration = Duration::from_mins(10);
/// A request as kept, in bytes.
const REQUEST_MAX: usize = 16 * 1024;
/// What proves the client is not part of the request.
const NOT_KEPT: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// What the pushing client is told (RFC 9126 2.2).
#[derive(Debug, Serialize)]
pub struct Pushed {
    /// The request's name.
    pub request_uri: String,
    /// Seconds until it ends.
    pub expires_in: i64,
}

fn unknown() -> OAuthError {
    OAuthError::new(Code::InvalidRequestUri, "this request is not known, was answered already, or is over")
}

impl Identity {
    /// Takes an authorization request in. It is judged at once, so that mistakes are told to the client and not to its user.
    pub async fn push_request(&self, realm: &Realm, auth: ClientAuth<'_>, params: &Params, origin: &Origin) -> Result<Pushed, OAuthError> {
        let known = self.oauth_client(realm, auth, params, origin).await?;
        if params.get("request_uri").is_some() {
            return Err(OAuthError::invalid_request("request_uri can't be pushed"));
        }
        let mut kept: Vec<(String, String)> = params
            .iter()
            .filter(|(name, _)| !NOT_KEPT.contains(name) && *name != "client_id")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        kept.push(("client_id".to_owned(), known.client.id.clone()));
        // RFC 9449 10.1: a proof shown here says what dpop_jkt would.
        if let Some(jkt) = self.dpop_key(&auth.shown)? {
            match params.get("dpop_jkt") {
                Some(named) if named != jkt => {
                    return Err(OAuthError::new(Code::InvalidDpopProof, "dpop_jkt is not the thumbprint of the proof's key"));
                }
                Some(_) => {}
                None => kept.push(("dpop_jkt".to_owned(), jkt)),
            }
        }
        let now = self.clock().now();
        let uri = format!("{URN}{}", URL_SAFE_NO_PAD.encode(secret::random::<32>()));
        let hash = secret::sha256(uri.as_bytes());
        let request = serde_json::to_string(&kept).map_err(model::Error::internal)?;
        if request.len() > REQUEST_MAX {
            return Err(OAuthError::invalid_request("the request is too long"));
        }
        self.judged(realm, &Params::new(kept)?, Some(PushedAs { hash, at: now })).await.map_err(|error| match error {
            AuthorizeError::Show(error) => error,
            AuthorizeError::Redirect(redirect) => redirect.told(),
        })?;
        let record =
            PushedRecord { client: known.client.id, realm: realm.name().to_owned(), request, created: now, expires: now + LIFETIME };
        let mut tx = self.inner.db.begin().await?;
        // A public client is anybody: what is pushed must not pile up faster than upkeep clears it away.
        tx.prune_oauth_more(now).await?;
        tx.push_request(&hash, &record).await?;
        tx.commit().await?;
        Ok(Pushed { request_uri: uri, expires_in: seconds(LIFETIME) })
    }

    /// The request of that name, if this client pushed it and nobody has answered it.
    pub(super) async fn pushed_request(&self, realm: &Realm, uri: &str, client: Option<&str>) -> Result<(PushedAs, Params), OAuthError> {
        if !uri.starts_with(URN) {
            return Err(unknown());
        }
        let hash = secret::sha256(uri.as_bytes());
        let record = self.inner.db.read().await?.pushed_request(&hash).await?.ok_or_else(unknown)?;
        if record.expires <= self.clock().now() || record.realm != realm.name() || client != Some(record.client.as_str()) {
            return Err(unknown());
        }
        let pairs: Vec<(String, String)> = serde_json::from_str(&record.request).map_err(model::Error::internal)?;
        Ok((PushedAs { hash, at: record.created }, Params::new(pairs)?))
    }
}
