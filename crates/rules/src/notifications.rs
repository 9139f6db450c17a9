//! The verbs of notifications.

use model::{
    Caller, Denial, Error, Listed, Notification, NotificationChange, NotificationChannel, NotificationDraft, NotificationHistory,
    NotificationId, Permission, Result, Slice,
};

use crate::{Changed, MAX_NOTIFICATIONS, Rules};

impl Rules {
    /// Adds a notification. Permission: `notification:write`. Errors: Invalid, naming the field; Forbidden beyond 10,000 of the tenant.
    pub async fn create_notification(&self, caller: &Caller, draft: NotificationDraft) -> Result<Notification> {
        let now = self.now();
        let NotificationDraft { active, channels, template, filter } = draft;
        let id: NotificationId = self.inner.identity.clock().new_id();
        let made = Notification { id, tenant: caller.tenant, active, channels, template, filter, created: now, updated: now };
        let done = async {
            caller.require(Permission::NotificationWrite)?;
            check(&NotificationDraft::from(made.clone()))?;
            let mut tx = self.inner.db.begin().await?;
            let version = tx.bump_rules(caller.tenant, 0, 1).await?;
            if version.notifications > MAX_NOTIFICATIONS {
                return Err(Error::Forbidden(Denial::Rule("the tenant has 10,000 notifications already")));
            }
            tx.insert_notification(&made).await?;
            tx.commit().await?;
            self.changed(caller.tenant, version.version, Changed::Notification(id));
            Ok(made)
        }
        .await;
        self.audit(caller, "notification.create", &id.to_string(), &done);
        done
    }

    /// One notification. Permission: `notification:read`.
    pub async fn notification(&self, caller: &Caller, id: NotificationId) -> Result<Notification> {
        caller.require(Permission::NotificationRead)?;
        self.inner.db.read().await?.notification(caller.tenant, id).await?.ok_or(Error::not_found("notification"))
    }

    /// Notifications, newest first. Permission: `notification:read`.
    pub async fn notifications(&self, caller: &Caller, slice: Slice) -> Result<Listed<Notification>> {
        caller.require(Permission::NotificationRead)?;
        Ok(self.inner.db.read().await?.notifications(caller.tenant, slice).await?)
    }

    /// Says anew all that a notification says. Permission: `notification:write`. Errors: NotFound(notification), Invalid.
    pub async fn replace_notification(&self, caller: &Caller, id: NotificationId, draft: NotificationDraft) -> Result<Notification> {
        self.change_notification(caller, id, |_| draft).await
    }

    /// Changes some of what a notification says. Permission: `notification:write`. Errors: NotFound(notification), Invalid.
    pub async fn patch_notification(&self, caller: &Caller, id: NotificationId, change: NotificationChange) -> Result<Notification> {
        self.change_notification(caller, id, |old| old.with(change)).await
    }

    async fn change_notification(
        &self,
        caller: &Caller,
        id: NotificationId,
        change: impl FnOnce(NotificationDraft) -> NotificationDraft + Send,
    ) -> Result<Notification> {
        let done = async {
            caller.require(Permission::NotificationWrite)?;
            let mut tx = self.inner.db.begin().await?;
            let version = tx.bump_rules(caller.tenant, 0, 0).await?;
            let old = tx.notification(caller.tenant, id).await?.ok_or(Error::not_found("notification"))?;
            let (tenant, created) = (old.tenant, old.created);
            let draft = change(old.into());
            check(&draft)?;
            let NotificationDraft { active, channels, template, filter } = draft;
            let new = Notification { id, tenant, active, channels, template, filter, created, updated: self.now() };
            if !tx.update_notification(&new).await? {
                return Err(Error::not_found("notification"));
            }
            tx.commit().await?;
            self.changed(caller.tenant, version.version, Changed::Notification(id));
            Ok(new)
        }
        .await;
        self.audit(caller, "notification.update", &id.to_string(), &done);
        done
    }

    /// Removes a notification and its history. Permission: `notification:write`. Error: NotFound(notification).
    pub async fn delete_notification(&self, caller: &Caller, id: NotificationId) -> Result<()> {
        let done = async {
            caller.require(Permission::NotificationWrite)?;
            let mut tx = self.inner.db.begin().await?;
            let version = tx.bump_rules(caller.tenant, 0, -1).await?;
            if !tx.delete_notification(caller.tenant, id).await? {
                return Err(Error::not_found("notification"));
            }
            tx.commit().await?;
            self.changed(caller.tenant, version.version, Changed::Notification(id));
            Ok(())
        }
        .await;
        self.audit(caller, "notification.delete", &id.to_string(), &done);
        done
    }

    /// The times filters were met, newest first, of one notification or of all; also those of which nobody was told because another
    /// delivery was too recent. Kept for 30 days. Permission: `notification:read`. Error: NotFound(notification).
    pub async fn notification_history(
        &self,
        caller: &Caller,
        of: Option<NotificationId>,
        slice: Slice,
    ) -> Result<Listed<NotificationHistory>> {
        caller.require(Permission::NotificationRead)?;
        if let Some(id) = of {
            self.notification(caller, id).await?;
        }
        Ok(self.inner.db.read().await?.notification_history(caller.tenant, of, slice).await?)
    }

    /// By what a receiver of the notification's web hooks can tell that they come from here: the key of their signatures, as text.
    /// Permission: `notification:write`. Error: NotFound(notification).
    pub async fn webhook_secret(&self, caller: &Caller, id: NotificationId) -> Result<String> {
        caller.require(Permission::NotificationWrite)?;
        let found = self.inner.db.read().await?.notification(caller.tenant, id).await?;
        found.ok_or(Error::not_found("notification"))?;
        Ok(self.inner.notify.webhook_secret(id.uuid()))
    }
}

fn check(draft: &NotificationDraft) -> Result<()> {
    draft.check()?;
    for address in &draft.template.recipients {
        notify::check_address("recipients", address)?;
    }
    for channel in &draft.channels {
        if let NotificationChannel::Webhook { url } = channel {
            notify::check_url("url", url)?;
        }
    }
    Ok(())
}
