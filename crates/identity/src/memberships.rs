//! Memberships: who belongs to the caller's tenant, and as what.

use jiff::SignedDuration;
use model::{Caller, Error, Membership, Page, PageRequest, Permission, Result, Role, TenantId, UserId};
use store::Tx;

use crate::access::{self, cursor};
use crate::{Change, Identity, Member};

impl Identity {
    /// Makes a user a member of the caller's tenant. A member already: a conflict.
    pub async fn add_member(&self, caller: &Caller, user: UserId, role: Role) -> Result<Membership> {
        let outcome = self.do_add_member(caller, user, role).await;
        self.audited(caller, "member.added", Some(format!("user:{user}")), outcome)
    }

    /// The same by e-mail or user name.
    pub async fn add_member_named(&self, caller: &Caller, login: &str, role: Role) -> Result<Membership> {
        caller.require(Permission::UserWrite)?;
        let found = crate::users::find(&mut self.inner.db.read().await?, login).await?;
        self.add_member(caller, found.ok_or(Error::not_found("user"))?, role).await
    }

    async fn do_add_member(&self, caller: &Caller, user: UserId, role: Role) -> Result<Membership> {
        caller.require(Permission::UserWrite)?;
        let mut tx = self.inner.db.begin().await?;
        access::may_grant(&mut tx, caller, role).await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        if tx.user(user).await?.is_none() {
            return Err(Error::not_found("user"));
        }
        if tx.membership(caller.tenant, user).await?.is_some() {
            return Err(Error::conflict("member", "is one already; change the role instead"));
        }
        let membership = self.joining(&mut tx, caller.tenant, user, role).await?;
        tx.set_membership(&membership).await?;
        tx.commit().await?;
        self.inner.announce(Change::MemberChanged { tenant: caller.tenant, user, removed: false });
        Ok(membership)
    }

    /// A new membership, younger than every other of the user: the oldest is its home.
    pub(crate) async fn joining(&self, tx: &mut Tx, tenant: TenantId, user: UserId, role: Role) -> Result<Membership> {
        let now = self.clock().now();
        let youngest = tx.memberships_of(user).await?.last().map(|m| m.created);
        let created = match youngest.and_then(|at| at.checked_add(SignedDuration::from_micros(1)).ok()) {
            Some(after) if after > now => after,
            _ => now,
        };
        Ok(Membership { tenant, user, role, created })
    }

    /// Gives a member another role. Nobody gives or takes a role above their own; the last owner stays one.
    pub async fn change_role(&self, caller: &Caller, user: UserId, role: Role) -> Result<Membership> {
        let outcome = self.do_change_role(caller, user, role).await;
        self.audited(caller, "member.changed", Some(format!("user:{user}")), outcome)
    }

    async fn do_change_role(&self, caller: &Caller, user: UserId, role: Role) -> Result<Membership> {
        caller.require(Permission::UserWrite)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let old = tx.membership(caller.tenant, user).await?.ok_or(Error::not_found("member"))?;
        access::may_change(&mut tx, caller, &old).await?;
        access::may_grant(&mut tx, caller, role).await?;
        if role != Role::Owner {
            keep_an_owner(&mut tx, &old).await?;
        }
        let membership = Membership { role, ..old };
        tx.set_membership(&membership).await?;
        tx.commit().await?;
        self.inner.announce(Change::MemberChanged { tenant: caller.tenant, user, removed: false });
        Ok(membership)
    }

    /// Ends a membership, and the API keys that opened the tenant for that member. One may always leave, unless one is
    /// the last owner.
    pub async fn remove_member(&self, caller: &Caller, user: UserId) -> Result<()> {
        let outcome = self.do_remove_member(caller, user).await;
        self.audited(caller, "member.removed", Some(format!("user:{user}")), outcome)
    }

    async fn do_remove_member(&self, caller: &Caller, user: UserId) -> Result<()> {
        let leaving = caller.user() == Some(user);
        if !leaving {
            caller.require(Permission::UserWrite)?;
        }
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let old = tx.membership(caller.tenant, user).await?.ok_or(Error::not_found("member"))?;
        let record = tx.user(user).await?.ok_or(Error::not_found("member"))?;
        access::reach(&mut tx, caller, &record).await?;
        keep_an_owner(&mut tx, &old).await?;
        tx.delete_api_keys_of(caller.tenant, user).await?;
        tx.delete_membership(caller.tenant, user).await?;
        tx.commit().await?;
        self.inner.announce(Change::MemberChanged { tenant: caller.tenant, user, removed: true });
        Ok(())
    }

    /// The members of the caller's tenant, by user id.
    pub async fn members(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Member>> {
        caller.require(Permission::UserRead)?;
        let after = cursor(page.cursor.as_deref())?;
        let mut tx = self.inner.db.read().await?;
        let memberships = tx.memberships_in(caller.tenant, after, page).await?;
        let users = tx.users_of(caller.tenant, after, page).await?;
        let page = Page::cut(memberships, page.limit, |m| m.user.to_string());
        // Two looks: who joined or left in between is in one of them only.
        let mut users = users.into_iter().map(|r| r.user).peekable();
        let mut items = Vec::with_capacity(page.items.len());
        for membership in page.items {
            while users.next_if(|u| u.id < membership.user).is_some() {}
            if let Some(user) = users.next_if(|u| u.id == membership.user) {
                items.push(Member { user, membership });
            }
        }
        Ok(Page { items, next: page.next })
    }

    /// What a user is in the caller's tenant.
    pub async fn membership(&self, caller: &Caller, user: UserId) -> Result<Membership> {
        if caller.user() != Some(user) {
            caller.require(Permission::UserRead)?;
        }
        self.inner.db.read().await?.membership(caller.tenant, user).await?.ok_or(Error::not_found("member"))
    }
}

/// Refuses if this membership is its tenant's last owner's. The tenant's members are held still until the transaction ends.
pub(crate) async fn keep_an_owner(tx: &mut Tx, leaving: &Membership) -> Result<()> {
    if leaving.role != Role::Owner {
        return Ok(());
    }
    tx.lock_tenant(leaving.tenant).await?;
    if tx.count_members(leaving.tenant, Role::Owner).await? <= 1 {
        return Err(Error::conflict("member", "is the tenant's last owner; make another one first, or end the tenant"));
    }
    Ok(())
}
