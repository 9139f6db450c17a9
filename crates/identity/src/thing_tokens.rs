//! Tokens that things sign themselves.

use jsonwebtoken::DecodingKey;
use model::{Caller, Principal, RequestId, Result, ThingId, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

use crate::tokens::{INVALID, TOKEN_MAX, check_signature, read_header, thing_permissions};
use crate::{Algorithm, Identity};

/// How far a thing's clock may be off, in seconds (contracts/flashlex.md 3.4).
const LEEWAY: i64 = 60;

impl Identity {
    /// Whom a token speaks for that a thing signed itself (contracts/flashlex.md 3.4): RS256 with the key of one of its
    /// active certificates; `kid` is `handle` (thing key or id), `iss` is `urn:thing:{handle}`, `aud` `urn:flashlex:{handle}`;
    /// `exp` is required; the thing's clock may be 60 s off.
    pub async fn verify_thing_token(&self, handle: &str, token: &str) -> Result<Caller> {
        Ok(self.verify_thing_token_until(handle, token).await?.0)
    }

    /// The same, and when the certificate ends whose key signed it: a session that rests on the token ends then, whatever it says.
    pub async fn verify_thing_token_until(&self, handle: &str, token: &str) -> Result<(Caller, Option<Timestamp>)> {
        #[derive(Deserialize)]
        struct ThingClaims {
            iss: String,
            aud: String,
            exp: i64,
            #[serde(default)]
            nbf: Option<i64>,
        }
        if token.len() > TOKEN_MAX || handle.len() > model::Thing::NAME_MAX {
            return Err(INVALID);
        }
        let header = read_header(token)?;
        if header.alg != jsonwebtoken::Algorithm::RS256 || header.kid.as_deref() != Some(handle) {
            return Err(INVALID);
        }
        let mut tx = self.inner.db.read().await?;
        let mut things = tx.thing_credentials(handle).await?;
        if let Ok(id) = handle.parse::<ThingId>()
            && !things.iter().any(|t| t.thing == id)
        {
            things.extend(tx.thing_credential(id).await?);
        }
        for thing in things {
            for (pem, not_after) in tx.thing_public_keys(thing.tenant, thing.thing, self.clock().now()).await? {
                // A certificate of another kind of key does not sign RS256.
                let Ok(key) = DecodingKey::from_rsa_pem(pem.as_bytes()) else { continue };
                let Ok(claims) = check_signature::<ThingClaims>(token, &key, Algorithm::Rs256) else { continue };
                if claims.iss != format!("urn:thing:{handle}") || claims.aud != format!("urn:flashlex:{handle}") {
                    return Err(INVALID);
                }
                self.check_times(claims.exp, claims.nbf, LEEWAY)?;
                let caller = Caller {
                    tenant: thing.tenant,
                    principal: Principal::Thing(thing.thing),
                    permissions: thing_permissions(),
                    request: RequestId(Uuid::nil()),
                    address: None,
                };
                return Ok((caller, not_after));
            }
        }
        Err(INVALID)
    }
}
