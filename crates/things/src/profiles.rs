//! What a fleet platform knows of a tenant's member beyond its account: free fields, kept whole, and the last sign-in there.

use jiff::Timestamp;
use model::{Caller, Error, PageRequest, Permission, Result, UserId};
use serde_json::{Map, Value};
use store::ProfileRecord;

use crate::Things;

/// The largest profile as JSON, in bytes.
const PROFILE: usize = 16 << 10;

/// A member's profile in one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The member.
    pub user: UserId,
    /// Free fields.
    pub fields: Map<String, Value>,
    /// When the fields were last changed; absent: never.
    pub updated: Option<Timestamp>,
    /// When the member last signed in to the platform that keeps them.
    pub last_login: Option<Timestamp>,
}

impl From<ProfileRecord> for Profile {
    fn from(record: ProfileRecord) -> Self {
        let ProfileRecord { user, fields, updated, last_login } = record;
        Self { user, fields, updated, last_login }
    }
}

impl Things {
    /// A member's profile, if it has one. One's own, or permission `user:read`.
    pub async fn profile(&self, caller: &Caller, user: UserId) -> Result<Option<Profile>> {
        if caller.user() != Some(user) {
            caller.require(Permission::UserRead)?;
        }
        Ok(self.inner.db.read().await?.user_profile(caller.tenant, user).await?.map(Profile::from))
    }

    /// The profiles of all the tenant's members that have one, by user. Permission: `user:read`.
    pub async fn profiles(&self, caller: &Caller) -> Result<Vec<Profile>> {
        caller.require(Permission::UserRead)?;
        let mut tx = self.inner.db.read().await?;
        let mut profiles: Vec<Profile> = Vec::new();
        loop {
            let after = profiles.last().map(|p| p.user);
            let rows = tx.user_profiles(caller.tenant, after, PageRequest::MAX).await?;
            let full = rows.len() == PageRequest::MAX as usize;
            profiles.extend(rows.into_iter().map(Profile::from));
            if !full {
                return Ok(profiles);
            }
        }
    }

    /// Sets a member's profile, at most 16 KiB of JSON; it goes with the membership. Errors: NotFound(member), Invalid(profile).
    /// Permission: `user:write`.
    pub async fn set_profile(&self, caller: &Caller, user: UserId, fields: &Map<String, Value>) -> Result<()> {
        let result = self.set_profile_inner(caller, user, fields).await;
        self.audit(caller, "profile.set", &format!("user:{user}"), &result);
        result
    }

    async fn set_profile_inner(&self, caller: &Caller, user: UserId, fields: &Map<String, Value>) -> Result<()> {
        caller.require(Permission::UserWrite)?;
        check_profile(fields)?;
        let mut tx = self.inner.db.begin().await?;
        if tx.membership(caller.tenant, user).await?.is_none() {
            return Err(Error::not_found("member"));
        }
        tx.set_user_profile(caller.tenant, user, fields, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// The calling user has just signed in, as member of its tenant.
    pub async fn logged_in(&self, caller: &Caller) -> Result<()> {
        let Some(user) = caller.user() else { return Ok(()) };
        let mut tx = self.inner.db.begin().await?;
        if tx.membership(caller.tenant, user).await?.is_some() {
            tx.user_logged_in(caller.tenant, user, self.now()).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Is it small enough, and storable? So that it may be asked before anything else is changed.
pub fn check_profile(fields: &Map<String, Value>) -> Result<()> {
    let text = serde_json::to_string(fields).map_err(Error::internal)?;
    if text.len() > PROFILE {
        return Err(Error::invalid("profile", format!("all fields together must have at most {PROFILE} bytes as JSON")));
    }
    Ok(())
}
