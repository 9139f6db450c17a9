//! API keys: each stands for a user in one tenant.

use model::{ApiKey, ApiKeyId, Caller, Error, Page, PageRequest, Permission, Result, UserId};
use secrecy::{ExposeSecret as _, SecretString};

use crate::access::{self, cursor, reach};
use crate::{Change, Identity, NewApiKey, NewKey, secret};

const KEY_MIN: usize = 16;
const KEY_MAX: usize = 256;

impl Identity {
    /// Makes an API key for a member of the caller's tenant: oneself, or someone one may look after. Told this once.
    pub async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<NewKey> {
        let outcome = self.do_create_api_key(caller, new).await;
        let target = outcome.as_ref().ok().map(|(k, _)| format!("api_key:{}", k.id));
        self.audited(caller, "api_key.created", target, outcome)
    }

    async fn do_create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<NewKey> {
        if caller.user() != Some(new.user) {
            caller.require(Permission::ClientWrite)?;
        }
        let text = match &new.key {
            Some(chosen) => checked_key(chosen)?.clone(),
            None => secret::random_secret("hgk_"),
        };
        if new.expires.is_some_and(|end| end <= self.clock().now()) {
            return Err(Error::invalid("expires", "is over already"));
        }
        let key = self.new_api_key(caller, &new, &text)?;
        let hash = secret::hash_secret(text.expose_secret());
        let mut tx = self.inner.db.begin().await?;
        let user = access::visible(&mut tx, caller, new.user).await?;
        // Whoever holds the key is that user, as far as this tenant goes.
        reach(&mut tx, caller, &user).await?;
        if tx.membership(caller.tenant, new.user).await?.is_none() && !user.user.operator {
            return Err(Error::conflict("user", "is no member of the tenant"));
        }
        if tx.api_key_by_hash(&hash).await?.is_some() {
            return Err(Error::conflict("key", "is in use"));
        }
        tx.insert_api_key(&key, &hash).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok((key, text))
    }

    /// Checks what makes a key.
    pub(crate) fn new_api_key(&self, caller: &Caller, new: &NewApiKey, text: &SecretString) -> Result<ApiKey> {
        let text = text.expose_secret();
        // A quarter at most, so that the hint of a short key gives little away.
        let hint: String = text.chars().take((text.len() / 4).min(8)).collect();
        Ok(ApiKey {
            id: self.clock().new_id(),
            tenant: caller.tenant,
            user: new.user,
            label: access::optional_text("label", Some(&new.label))?.unwrap_or_default(),
            hint,
            created: self.clock().now(),
            expires: new.expires,
        })
    }

    /// The API keys of the caller's tenant, by id: of one user, or all one may see. One's own need no permission.
    pub async fn api_keys(&self, caller: &Caller, user: Option<UserId>, page: &PageRequest) -> Result<Page<ApiKey>> {
        if user.is_none() || user != caller.user() {
            caller.require(Permission::ClientRead)?;
        }
        let after = cursor(page.cursor.as_deref())?;
        let rows = self.inner.db.read().await?.api_keys(caller.tenant, user, after, page).await?;
        Ok(Page::cut(rows, page.limit, |k| k.id.to_string()))
    }

    /// Removes an API key of the caller's tenant; what was signed in by it ends.
    pub async fn delete_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<()> {
        let outcome = self.do_delete_api_key(caller, id).await;
        self.audited(caller, "api_key.deleted", Some(format!("api_key:{id}")), outcome)
    }

    async fn do_delete_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let key = tx.api_key(caller.tenant, id).await?;
        if key.as_ref().is_none_or(|k| caller.user() != Some(k.user)) {
            caller.require(Permission::ClientWrite)?;
        }
        if key.is_none() || !tx.delete_api_key(caller.tenant, id).await? {
            return Err(Error::not_found("API key"));
        }
        tx.commit().await?;
        self.inner.announce(Change::KeyRemoved(id));
        Ok(())
    }
}

pub(crate) fn checked_key(key: &SecretString) -> Result<&SecretString> {
    let text = key.expose_secret();
    if !(KEY_MIN..=KEY_MAX).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::invalid("key", format!("must be {KEY_MIN} to {KEY_MAX} printable characters without blanks")));
    }
    Ok(key)
}
