//! Tokens that speak for a person and not for a person in one tenant: what it may do in each tenant was written down when the
//! token was issued, and is checked against what it may do there now.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Caller, Denial, Error, Permissions, Principal, Result, TenantId, User, UserId};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{EXPIRED, INVALID, Mint};
use crate::directory::Standing;
use crate::{AuditEvent, Identity, IssuedToken, MemberOf, Origin, TokenFacts, TokenProfile};

/// No tenant: what such a token opens by itself.
const NOWHERE: TenantId = TenantId(Uuid::nil());

/// Whoever holds a good token of this kind.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who.
    pub user: User,
    standing: Arc<Standing>,
    origin: Origin,
}

impl Person {
    /// The caller of what concerns the person alone: in no tenant, with no permission.
    #[must_use]
    pub fn caller(&self) -> Caller {
        person(self.user.id, &self.origin)
    }
}

fn person(user: UserId, origin: &Origin) -> Caller {
    Caller {
        tenant: NOWHERE,
        principal: Principal::User(user),
        permissions: Permissions::NONE,
        request: origin.request,
        address: origin.address,
    }
}

impl Identity {
    /// A token for a person. `claims` makes what the face's tokens say of the user's tenants (oldest membership first), for the
    /// face to read again; it is added to the profile's own claims and must leave room for them.
    pub async fn issue_person(
        &self,
        user: &User,
        profile: &TokenProfile,
        claims: impl FnOnce(&[MemberOf]) -> Map<String, Value>,
        origin: &Origin,
    ) -> Result<IssuedToken> {
        let caller = person(user.id, origin);
        let tenants = self.memberships_of(&caller).await?;
        let public_url = self.public_url();
        let mint = Mint::plain(&caller, profile);
        let issued = self
            .mint(&mint, |id, issued, expires| {
                let label = origin.label.as_deref();
                let facts = TokenFacts {
                    caller: &caller,
                    user: Some(user),
                    membership: None,
                    client: None,
                    id,
                    issued,
                    expires,
                    label,
                    public_url: &public_url,
                };
                let mut all = (profile.claims)(&facts);
                all.extend(claims(&tenants));
                all
            })
            .await?;
        let home = tenants.first().map(|m| m.tenant.id);
        let event = AuditEvent::done(&caller, "token.issued", None).detail(profile.name);
        self.record(AuditEvent { tenant: home, ..event });
        Ok(issued)
    }

    /// Who holds this token, and everything it says (header, claims).
    pub async fn verify_person(&self, token: &str, profile: &TokenProfile, origin: &Origin) -> Result<(Person, Map<String, Value>)> {
        let verified = self.seen_or_decoded(token, profile).await?;
        if !verified.is_plain() {
            return Err(INVALID);
        }
        if self.clock().micros() >= verified.expires {
            return Err(EXPIRED);
        }
        if self.inner.tokens.revoked.read().contains_key(&verified.id) {
            return Err(INVALID);
        }
        let Principal::User(id) = verified.principal else { return Err(INVALID) };
        let standing = self.person_standing(id, verified.issued).await?;
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims = claims.and_then(|json| serde_json::from_slice(&json).ok()).ok_or(INVALID)?;
        Ok((Person { user: standing.record.user.clone(), standing, origin: origin.clone() }, claims))
    }

    /// Whose token this is, expired or not; for the exchange of a refresh token, which shows who may go on.
    pub async fn person_of_old_token(&self, token: &str, profile: &TokenProfile) -> Result<UserId> {
        if token.len() > super::TOKEN_MAX {
            return Err(INVALID);
        }
        let verified = super::Verified::of(self.decode_undated(token, profile).await?)?;
        if self.inner.tokens.revoked.read().contains_key(&verified.id) {
            return Err(INVALID);
        }
        let Principal::User(id) = verified.principal else { return Err(INVALID) };
        self.person_standing(id, verified.issued).await?;
        Ok(id)
    }

    /// The user as it stands, unless it is gone, locked out, or changed its password since `issued` (milliseconds).
    async fn person_standing(&self, id: UserId, issued: i64) -> Result<Arc<Standing>> {
        let standing = self.inner.directory.user(id).await?.ok_or(INVALID)?;
        if standing.record.user.disabled || issued < standing.record.tokens_from.as_millisecond() {
            return Err(INVALID);
        }
        Ok(standing)
    }

    /// The person in one of its tenants, with what was granted when the token was issued as far as it is granted still.
    /// Error: NotFound(tenant) when the tenant is gone, Forbidden for who is no member (any more).
    pub async fn person_in(&self, person: &Person, tenant: TenantId, granted: Permissions) -> Result<Caller> {
        if person.standing.membership(tenant).is_none() {
            return match self.inner.db.read().await?.tenant(tenant).await? {
                Some(_) => Err(Error::Forbidden(Denial::Rule("not a member of that tenant"))),
                None => Err(Error::not_found("tenant")),
            };
        }
        let permissions = granted.intersect(person.standing.permissions(tenant));
        Ok(Caller { tenant, permissions, ..person.caller() })
    }

    /// A caller for this user alone, once its password or a mailed secret has been checked.
    pub(crate) fn person_caller(user: UserId, origin: &Origin) -> Caller {
        person(user, origin)
    }
}
