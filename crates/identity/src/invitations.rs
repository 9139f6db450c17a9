//! Invitations: a tenant asks an address to join; whoever has proved to own the address accepts or declines.

use jiff::SignedDuration;
use model::{Caller, Denial, Error, Permission, Result, Role, Tenant, User, UserId, normalize_email};
use store::{InvitationRecord, InvitationStatus, RoleSet, Tx};
use uuid::Uuid;

use crate::roles::{may_give, put_roles, role_set, roles_in};
use crate::{AuditEvent, Change, Identity, Listing, Person, Span, TenantRole};

/// Open invitations of one tenant, and of one address.
const OPEN_MAX: u32 = 1_000;
/// How long an answered invitation is shown.
const SHOWN: SignedDuration = SignedDuration::from_hours(400 * 24);

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

/// An invitation as both sides see it, answered or not.
#[derive(Clone, Debug)]
pub struct SentInvitation {
    /// Who, by whom, when, and what became of it.
    pub record: InvitationRecord,
    /// Where to.
    pub tenant: Tenant,
    /// As what; a role that is gone is not among them.
    pub roles: Vec<TenantRole>,
}

const ABSENT: Error = Error::NotFound { what: "invitation" };

impl Identity {
    /// Invites an address to the caller's tenant. Error: Conflict(invitation) for a second time, or for a member.
    pub async fn invite(&self, caller: &Caller, email: &str) -> Result<Invitation> {
        let outcome = self.do_invite(caller, email, None).await;
        let target = outcome.as_ref().ok().map(|(i, _)| format!("email:{}", i.email));
        let (record, tenant) = self.audited(caller, "member.invited", target, outcome)?;
        Ok(Invitation { id: record.id, email: record.email, tenant })
    }

    /// The same into roles of the caller's choice, none of which permits more than the caller may.
    pub async fn invite_into(&self, caller: &Caller, email: &str, roles: &[Uuid]) -> Result<SentInvitation> {
        let outcome = self.do_invite(caller, email, Some(roles)).await;
        let target = outcome.as_ref().ok().map(|(i, _)| format!("email:{}", i.email));
        let (record, tenant) = self.audited(caller, "member.invited", target, outcome)?;
        sent(&mut self.inner.db.read().await?, record, tenant).await
    }

    async fn do_invite(&self, caller: &Caller, email: &str, roles: Option<&[Uuid]>) -> Result<(InvitationRecord, Tenant)> {
        caller.require(Permission::UserWrite)?;
        let email = normalize_email(email)?;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        let roles = match roles {
            Some(ids) => {
                let set = role_set(&mut tx, caller.tenant, ids).await?;
                may_give(&mut tx, caller, &set).await?;
                set
            }
            None => RoleSet::base(Role::User),
        };
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
        let (id, sender) = (Uuid::new_v4(), caller.user());
        let record = InvitationRecord { id, tenant: caller.tenant, email, created: now, status: InvitationStatus::Open, sender, roles };
        tx.insert_invitation(&record).await?;
        for status in [InvitationStatus::Accepted, InvitationStatus::Declined] {
            tx.forget_invitations(caller.tenant, status, now.checked_sub(SHOWN).unwrap_or(now)).await?;
        }
        tx.commit().await?;
        Ok((record, tenant))
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

    /// Accepts an invitation, into the roles it was sent for, or declines it. Somebody else's is not there, nor an answered one.
    pub async fn answer_invitation(&self, person: &Person, id: Uuid, accept: bool) -> Result<Invitation> {
        let (record, tenant) = self.answer(&person.caller(), &person.user, id, accept).await?;
        Ok(Invitation { id, email: record.email, tenant })
    }

    /// The same for the calling user. Error: NotFound(invitation), also for one that was answered.
    pub async fn answer_own_invitation(&self, caller: &Caller, id: Uuid, accept: bool) -> Result<()> {
        let user = self.calling_user(caller).await?;
        self.answer(caller, &user, id, accept).await.map(|_| ())
    }

    async fn answer(&self, caller: &Caller, user: &User, id: Uuid, accept: bool) -> Result<(InvitationRecord, Tenant)> {
        let mut tx = self.inner.db.begin().await?;
        let record = tx.invitation(id).await?.filter(|i| i.email == user.email).ok_or(ABSENT)?;
        if !user.verified {
            return Err(Error::Forbidden(Denial::Rule("prove your e-mail address first")));
        }
        tx.lock_tenant(record.tenant).await?;
        let tenant = tx.tenant(record.tenant).await?.ok_or(ABSENT)?;
        let status = if accept { InvitationStatus::Accepted } else { InvitationStatus::Declined };
        // Whoever finds it open answers it; a second one finds it answered.
        if !tx.answer_invitation(id, status).await? {
            return Err(ABSENT);
        }
        if accept && tx.membership(tenant.id, user.id).await?.is_none() {
            // A role that went in the meantime is not given.
            let mut set = RoleSet::base(record.roles.base);
            for role in &record.roles.roles {
                set.roles.extend(tx.role(tenant.id, *role).await?.map(|r| r.id));
            }
            let membership = self.joining(&mut tx, tenant.id, user.id, set.base).await?;
            put_roles(&mut tx, &membership, &set, membership.created).await?;
        }
        tx.commit().await?;
        let action = if accept { "member.joined" } else { "invitation.declined" };
        self.record(AuditEvent::done(&Caller { tenant: tenant.id, ..caller.clone() }, action, format!("user:{}", user.id)));
        if accept {
            self.inner.announce(Change::MemberChanged { tenant: tenant.id, user: user.id, removed: false });
        }
        Ok((record, tenant))
    }

    /// The user who calls. Error: Forbidden where none does.
    pub(crate) async fn calling_user(&self, caller: &Caller) -> Result<User> {
        let id = caller.user().ok_or(Error::Forbidden(Denial::Rule("only users do this")))?;
        let standing = self.inner.directory.user(id).await?.ok_or(Error::not_found("user"))?;
        Ok(standing.record.user.clone())
    }

    /// The invitations the caller's tenant sent, of any status or of one, newest first.
    pub async fn sent_invitations(&self, caller: &Caller, status: Option<InvitationStatus>, span: Span) -> Result<Listing<SentInvitation>> {
        caller.require(Permission::UserRead)?;
        let mut tx = self.inner.db.read().await?;
        let tenant = tx.tenant(caller.tenant).await?.ok_or(Error::not_found("tenant"))?;
        let (records, total) = tx.invitations_sent(caller.tenant, status, span.skip, span.take).await?;
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            items.push(sent(&mut tx, record, tenant.clone()).await?);
        }
        Ok(Listing { items, total })
    }

    /// What the calling user was invited to, newest first; nothing for who has not proved its address.
    pub async fn received_invitations(
        &self,
        caller: &Caller,
        status: Option<InvitationStatus>,
        span: Span,
    ) -> Result<Listing<SentInvitation>> {
        let user = self.calling_user(caller).await?;
        if !user.verified {
            return Ok(Listing { items: Vec::new(), total: 0 });
        }
        let mut tx = self.inner.db.read().await?;
        let (records, total) = tx.invitations_received(&user.email, status, span.skip, span.take).await?;
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            if let Some(tenant) = tx.tenant(record.tenant).await? {
                items.push(sent(&mut tx, record, tenant).await?);
            }
        }
        Ok(Listing { items, total })
    }

    /// Takes back an open invitation of the caller's tenant. Error: NotFound(invitation), also for one that was answered.
    pub async fn revoke_invitation(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let outcome = async {
            caller.require(Permission::UserWrite)?;
            let mut tx = self.inner.db.begin().await?;
            tx.invitation(id).await?.filter(|i| i.tenant == caller.tenant).ok_or(ABSENT)?;
            if !tx.delete_invitation(id).await? {
                return Err(ABSENT);
            }
            Ok(tx.commit().await?)
        };
        let outcome = outcome.await;
        self.audited(caller, "invitation.withdrawn", Some(format!("invitation:{id}")), outcome)
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

async fn sent(tx: &mut Tx, record: InvitationRecord, tenant: Tenant) -> Result<SentInvitation> {
    let roles = roles_in(tx, &tenant, &record.roles).await?;
    Ok(SentInvitation { record, tenant, roles })
}

/// The id of nobody: who sent an invitation that no user sent.
pub const NOBODY: UserId = UserId(Uuid::nil());
