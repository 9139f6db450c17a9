//! How far a client reaches: a plain one into its own tenant, one of the gateway's own everywhere, an application wherever it is
//! installed, and there as far as was agreed to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Client, Error, Permission, Permissions, Result, TenantId};
use uuid::Uuid;

use crate::Identity;

/// The tenant of an application that signed in without naming one; nothing is in it.
pub(crate) const NOWHERE: TenantId = TenantId(Uuid::nil());

/// What no application ever holds, not even on an owner's behalf (contracts/lightelligence.md 7).
const NEVER: [Permission; 5] =
    [Permission::TenantRead, Permission::TenantWrite, Permission::UserRead, Permission::UserWrite, Permission::Operate];

/// What is left of permissions for an application.
#[must_use]
pub fn for_applications(permissions: Permissions) -> Permissions {
    Permissions::of(&permissions.iter().filter(|p| !NEVER.contains(p)).collect::<Vec<_>>())
}

impl Identity {
    /// What a client leaves of a user's permissions in a tenant; none where an application is not installed (any more).
    pub(crate) async fn through_client(&self, client: &str, tenant: TenantId, user: Permissions) -> Result<Option<Permissions>> {
        let Some(reach) = self.inner.directory.reach(client).await? else { return Ok(None) };
        let Some(application) = reach.application else { return Ok(Some(user)) };
        let installed = self.inner.directory.installed(application, tenant).await?;
        Ok(installed.map(|i| for_applications(i.user.map_or(user, |most| most.intersect(user)))))
    }

    /// May a client be used in that tenant?
    pub(crate) async fn reaches(&self, client: &Client, tenant: TenantId) -> Result<bool> {
        let reach = self.inner.directory.reach(&client.id).await?.unwrap_or_default();
        match reach.application {
            Some(application) => Ok(self.inner.directory.installed(application, tenant).await?.is_some()),
            None => Ok(reach.everywhere || client.tenant == tenant),
        }
    }

    /// The application whose client this is.
    pub(crate) async fn application_of(&self, client: &str) -> Result<Option<Uuid>> {
        Ok(self.inner.directory.reach(client).await?.and_then(|reach| reach.application))
    }

    /// What a client may do in a tenant on its own behalf: a plain one in its own, an application where it is installed, and in no
    /// tenant nothing.
    pub(crate) async fn client_in(&self, client: &Client, tenant: TenantId) -> Result<Option<Permissions>> {
        let Some(application) = self.application_of(&client.id).await? else {
            return Ok((client.tenant == tenant).then(|| crate::directory::client_permissions(&client.scopes)));
        };
        if tenant == NOWHERE {
            return Ok(Some(Permissions::NONE));
        }
        Ok(self.inner.directory.installed(application, tenant).await?.map(|i| for_applications(i.client)))
    }

    /// The application that calls, by a token of its own or of one of its users. Error: Forbidden for everyone else. The token has
    /// been verified; here it only says to whom it was issued.
    pub(crate) async fn calling_application(&self, token: &str) -> Result<Uuid> {
        let found = match issued_to(token) {
            Some(client) => self.application_of(&client).await?,
            None => None,
        };
        found.ok_or(Error::Forbidden(model::Denial::Rule("only an application asks this, by a token of its own")))
    }
}

/// The client a token was issued to.
fn issued_to(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Some(claims.get("azp")?.as_str()?.to_owned())
}
