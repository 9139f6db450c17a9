//! Invitations: a tenant asks an address to join; whoever has proved to own the address accepts or declines.

use model::{Caller, Denial, Error, Permission, Result, Role, Tenant, User, normalize_email};
use store::InvitationRecord;
use uuid::Uuid;

use crate::{AuditEvent, Change, Identity, Person};

/// Open invitations of one tenant, and of one address.
const OPEN_MAX: u32 = 1_000;

/// An open invitation and whom it comes from.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// Who is invited.
    pub email: String,
    /// Where to.
    pub tenant: Tenant,
}

const ABSENT: Error = Error::NotFound { what: "invitation" };

impl Identity {
    /// Invites an address to the caller's tenant. Error: Conflict(invitation) for a second time, or for a member.
    pub async fn invite(&self, caller: &Caller, email: &str) -> Result<Invitation> {
        let outcome = self.do_invite(caller, email).await;
        let target = outcome.as_ref().ok().map(|i| format!("email:{}", i.email));
        self.audited(caller, "member.invited", target, outcome)
    }

    async fn do_invite(&self, caller: &Caller, email: &str) -> Result<Invitation> {
        caller.require(Permission::UserWrite)?;
        let email = normalize_email(email)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        let tenant = tx.tenant(caller.tenant).await?.ok_or(Error::not_found("tenant"))?;
        let open = tx.invitations_to(&email, OPEN_MAX).await?;
        if open.iter().any(|i| i.tenant == caller.tenant) {
            return Err(Error::conflict("invitation", "this address is invited already"));
        }
        if let Some(user) = tx.user_by_email(&email).await?
            && tx.membership(caller.tenant, user.user.id).await?.is_some()
        {
            return Err(Error::conflict("invitation", "this address is a member already"));
        }
        if tx.count_invitations(caller.tenant).await? >= u64::from(OPEN_MAX) || open.len() >= OPEN_MAX as usize {
            return Err(Error::invalid("email", format!("more than {OPEN_MAX} invitations are open; withdraw some first")));
        }
        let record = InvitationRecord { id: Uuid::new_v4(), tenant: caller.tenant, email, created: self.clock().now() };
        tx.insert_invitation(&record).await?;
        tx.commit().await?;
        Ok(Invitation { id: record.id, email: record.email, tenant })
    }

    /// The addresses the caller's tenant has invited.
    pub async fn invitations(&self, caller: &Caller) -> Result<Vec<String>> {
        caller.require(Permission::UserRead)?;
        let open = self.inner.db.read().await?.invitations_of(caller.tenant, OPEN_MAX).await?;
        Ok(open.into_iter().map(|i| i.email).collect())
    }

    /// What a person is invited to; nothing for who has not proved its address.
    pub async fn invitations_to(&self, person: &Person) -> Result<Vec<Invitation>> {
        if !person.user.verified {
            return Ok(Vec::new());
        }
        let mut tx = self.inner.db.read().await?;
        let mut all = Vec::new();
        for record in tx.invitations_to(&person.user.email, OPEN_MAX).await? {
            if let Some(tenant) = tx.tenant(record.tenant).await? {
                all.push(Invitation { id: record.id, email: record.email, tenant });
            }
        }
        Ok(all)
    }

    /// Accepts an invitation, as an everyday member, or declines it. Somebody else's is not there.
    pub async fn answer_invitation(&self, person: &Person, id: Uuid, accept: bool) -> Result<Invitation> {
        let caller = person.caller();
        let user = &person.user;
        let mut tx = self.inner.db.begin().await?;
        let record = tx.invitation(id).await?.filter(|i| i.email == user.email).ok_or(ABSENT)?;
        if !user.verified {
            return Err(Error::Forbidden(Denial::Rule("prove your e-mail address first")));
        }
        tx.lock_tenant(record.tenant).await?;
        let tenant = tx.tenant(record.tenant).await?.ok_or(ABSENT)?;
        // Whoever deletes the row answers it; a second one finds none.
        if !tx.delete_invitation(id).await? {
            return Err(ABSENT);
        }
        if accept && tx.membership(tenant.id, user.id).await?.is_none() {
            let membership = self.joining(&mut tx, tenant.id, user.id, Role::User).await?;
            tx.set_membership(&membership).await?;
        }
        tx.commit().await?;
        let action = if accept { "member.joined" } else { "invitation.declined" };
        self.record(AuditEvent::done(&Caller { tenant: tenant.id, ..caller }, action, format!("user:{}", user.id)));
        if accept {
            self.inner.announce(Change::MemberChanged { tenant: tenant.id, user: user.id, removed: false });
        }
        Ok(Invitation { id, email: record.email, tenant })
    }

    /// Takes an address out of the caller's tenant: its invitation and its membership. Error: NotFound(invitation) where
    /// there is neither.
    pub async fn withdraw(&self, caller: &Caller, email: &str) -> Result<()> {
        let outcome = self.do_withdraw(caller, email).await;
        self.audited(caller, "invitation.withdrawn", None, outcome)
    }

    async fn do_withdraw(&self, caller: &Caller, email: &str) -> Result<()> {
        caller.require(Permission::UserWrite)?;
        let email = normalize_email(email).map_err(|_| ABSENT)?;
        let mut tx = self.inner.db.begin().await?;
        let invited = tx.delete_invitation_to(caller.tenant, &email).await?;
        let member: Option<User> = match tx.user_by_email(&email).await? {
            Some(record) => tx.membership(caller.tenant, record.user.id).await?.map(|_| record.user),
            None => None,
        };
        tx.commit().await?;
        match member {
            Some(user) => self.remove_member(caller, user.id).await,
            None if invited => Ok(()),
            None => Err(ABSENT),
        }
    }
}
