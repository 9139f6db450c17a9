//! Refresh tokens that belong to a person rather than to an OAuth client: made with a good token, exchanged once, ended at will.

use jiff::{SignedDuration, Timestamp};
use model::{Error, Result, User, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use store::UserRefreshRecord;
use uuid::Uuid;

use crate::{AuditEvent, Identity, Origin, Person, secret};

const VALID: SignedDuration = SignedDuration::from_hours(365 * 24);
const LETTERS: usize = 16;
/// Refresh tokens of one user; the oldest go first.
const KEPT: u32 = 100;

/// A refresh token that is wrong, used, ended or another's.
pub const NO_REFRESH: Error = Error::Unauthenticated { reason: "Refresh token does not exist" };
/// A refresh token whose year is over.
pub const OLD_REFRESH: Error = Error::Unauthenticated { reason: "Refresh token has expired" };

impl Identity {
    /// A refresh token for a person, told this once; good for a year.
    pub async fn make_refresh(&self, person: &Person) -> Result<SecretString> {
        let token = self.keep_refresh(person.user.id, Uuid::new_v4()).await?;
        self.record(AuditEvent::done(&person.caller(), "refresh.issued", format!("user:{}", person.user.id)));
        Ok(token)
    }

    /// Exchanges a refresh token for whom it speaks for and for the next one. A token that was exchanged before ends all that
    /// came of it: one of its two holders is a thief.
    pub async fn use_refresh(&self, user: UserId, text: &str, origin: &Origin) -> Result<(User, SecretString)> {
        let record = self.refresh_of(user, text, origin).await?;
        let now = self.clock().now();
        if record.expires <= now {
            return Err(OLD_REFRESH);
        }
        let standing = self.inner.directory.user(user).await?.ok_or(NO_REFRESH)?;
        // A person's token came of a password alone: where more is demanded since, it ends.
        if standing.factor.demanded() || standing.record.user.disabled || record.created < standing.record.tokens_from {
            return Err(NO_REFRESH);
        }
        let mut tx = self.inner.db.begin().await?;
        if !tx.spend_user_refresh(&secret::hash_secret(text), now).await? {
            tx.delete_refresh_family(record.family).await?;
            tx.commit().await?;
            self.record(AuditEvent::refused(&Self::person_caller(user, origin), "refresh.used", None, "it was used before"));
            return Err(NO_REFRESH);
        }
        tx.commit().await?;
        let next = self.keep_refresh(user, record.family).await?;
        Ok((standing.record.user.clone(), next))
    }

    /// Ends a person's refresh token and all that came of it.
    pub async fn end_refresh(&self, person: &Person, text: &str, origin: &Origin) -> Result<()> {
        let record = self.refresh_of(person.user.id, text, origin).await?;
        let mut tx = self.inner.db.begin().await?;
        tx.delete_refresh_family(record.family).await?;
        tx.commit().await?;
        self.record(AuditEvent::done(&person.caller(), "refresh.revoked", format!("user:{}", person.user.id)));
        Ok(())
    }

    /// Looked up by its hash; another user's is not there. Only wrong ones count against the address.
    async fn refresh_of(&self, user: UserId, text: &str, origin: &Origin) -> Result<UserRefreshRecord> {
        self.inner.limiter.admit(origin.address)?;
        let found = if text.len() == LETTERS { self.inner.db.read().await?.user_refresh(&secret::hash_secret(text)).await? } else { None };
        match found {
            Some(record) if record.user == user => Ok(record),
            _ => {
                self.inner.limiter.fail_address(origin.address);
                Err(NO_REFRESH)
            }
        }
    }

    async fn keep_refresh(&self, user: UserId, family: Uuid) -> Result<SecretString> {
        let token = secret::random_letters(LETTERS);
        let now: Timestamp = self.clock().now();
        let expires = now.checked_add(VALID).map_err(Error::internal)?;
        let record = UserRefreshRecord { user, family, created: now, expires, spent: false };
        let mut tx = self.inner.db.begin().await?;
        tx.insert_user_refresh(&secret::hash_secret(token.expose_secret()), &record, KEPT).await?;
        tx.commit().await?;
        Ok(token)
    }
}
