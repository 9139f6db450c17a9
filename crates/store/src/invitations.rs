//! Invitations: an address that may join a tenant. An answered one stays, to be shown.

use model::{Role, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, email, created, status, sender, roles from invitation where id = $1";
    OF_TENANT = "select id, tenant, email, created, status, sender, roles from invitation where tenant = $1 and status = 'open' \
                 order by email limit $2";
    TO_EMAIL = "select id, tenant, email, created, status, sender, roles from invitation where email = $1 and status = 'open' \
                order by created limit $2";
    COUNT = "select count(*) as n from invitation where tenant = $1 and status = 'open'";
    LIST_OF = "select id, tenant, email, created, status, sender, roles from invitation where tenant = $1 \
               order by created desc, id desc limit $2 offset $3";
    LIST_OF_BY = "select id, tenant, email, created, status, sender, roles from invitation where tenant = $1 and status = $4 \
                  order by created desc, id desc limit $2 offset $3";
    COUNT_OF = "select count(*) as n from invitation where tenant = $1";
    COUNT_OF_BY = "select count(*) as n from invitation where tenant = $1 and status = $2";
    LIST_TO = "select id, tenant, email, created, status, sender, roles from invitation where email = $1 \
               order by created desc, id desc limit $2 offset $3";
    LIST_TO_BY = "select id, tenant, email, created, status, sender, roles from invitation where email = $1 and status = $4 \
                  order by created desc, id desc limit $2 offset $3";
    COUNT_TO = "select count(*) as n from invitation where email = $1";
    COUNT_TO_BY = "select count(*) as n from invitation where email = $1 and status = $2";
    INSERT = "insert into invitation (id, tenant, email, created, status, sender, roles) values ($1, $2, $3, $4, $5, $6, $7)";
    ANSWER = "update invitation set status = $2 where id = $1 and status = 'open'";
    DELETE = "delete from invitation where id = $1 and status = 'open'";
    DELETE_TO = "delete from invitation where tenant = $1 and email = $2 and status = 'open'";
    FORGET = "delete from invitation where id in (select id from invitation where tenant = $1 and status = $2 and created < $3 \
              order by created limit 100)";
}

row! {
    struct InvitationRow { id: Uuid, tenant: Uuid, email: String, created: i64, status: String, sender: Option<Uuid>, roles: String }
}
row! {
    struct CountRow { n: i64 }
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationStatus {
    /// Nothing yet.
    Open,
    /// The address joined.
    Accepted,
    /// The address did not want to.
    Declined,
}

impl InvitationStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Open, Self::Accepted, Self::Declined];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.name() == name)
    }
}

/// A member's roles: one base role, and any that the tenant made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSet {
    /// The base role.
    pub base: Role,
    /// The tenant's own.
    #[serde(default)]
    pub roles: Vec<Uuid>,
}

impl RoleSet {
    /// A base role alone.
    #[must_use]
    pub fn base(base: Role) -> Self {
        Self { base, roles: Vec::new() }
    }
}

/// An address that may join a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationRecord {
    /// Its id.
    pub id: Uuid,
    /// The tenant.
    pub tenant: TenantId,
    /// Who is invited, lower case.
    pub email: String,
    /// When.
    pub created: Timestamp,
    /// What became of it.
    pub status: InvitationStatus,
    /// The user who sent it, if a user did.
    pub sender: Option<UserId>,
    /// As what.
    pub roles: RoleSet,
}

impl InvitationRow {
    fn model(self) -> Result<InvitationRecord, Error> {
        let status = InvitationStatus::from_name(&self.status);
        Ok(InvitationRecord {
            id: self.id,
            tenant: TenantId(self.tenant),
            email: self.email,
            created: timestamp("invitation", "created", self.created)?,
            status: status.ok_or_else(|| Error::corrupt("invitation", "status", self.id, &self.status))?,
            sender: self.sender.map(UserId),
            roles: from_json("invitation", "roles", &self.roles)?,
        })
    }
}

impl Tx {
    /// The invitation, answered or not, if there is one.
    pub async fn invitation(&mut self, id: Uuid) -> Result<Option<InvitationRecord>, Error> {
        fetch_optional!(self, InvitationRow, sql::BY_ID, id)?.map(InvitationRow::model).transpose()
    }

    /// A tenant's open invitations, by address.
    pub async fn invitations_of(&mut self, tenant: TenantId, limit: u32) -> Result<Vec<InvitationRecord>, Error> {
        fetch_all!(self, InvitationRow, sql::OF_TENANT, tenant.uuid(), i64::from(limit))?.into_iter().map(InvitationRow::model).collect()
    }

    /// The open invitations to an address, oldest first.
    pub async fn invitations_to(&mut self, email: &str, limit: u32) -> Result<Vec<InvitationRecord>, Error> {
        fetch_all!(self, InvitationRow, sql::TO_EMAIL, email, i64::from(limit))?.into_iter().map(InvitationRow::model).collect()
    }

    /// How many invitations a tenant has open.
    pub async fn count_invitations(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?.n.unsigned_abs())
    }

    /// A tenant's invitations of any status, or of one, newest first; and how many there are.
    pub async fn invitations_sent(
        &mut self,
        tenant: TenantId,
        status: Option<InvitationStatus>,
        skip: u32,
        take: u32,
    ) -> Result<(Vec<InvitationRecord>, u64), Error> {
        let (of, take, skip) = (tenant.uuid(), i64::from(take), i64::from(skip));
        let (rows, count) = match status.map(InvitationStatus::name) {
            Some(status) => (
                fetch_all!(self, InvitationRow, sql::LIST_OF_BY, of, take, skip, status)?,
                fetch_one!(self, CountRow, sql::COUNT_OF_BY, of, status)?,
            ),
            None => (fetch_all!(self, InvitationRow, sql::LIST_OF, of, take, skip)?, fetch_one!(self, CountRow, sql::COUNT_OF, of)?),
        };
        Ok((rows.into_iter().map(InvitationRow::model).collect::<Result<_, _>>()?, count.n.unsigned_abs()))
    }

    /// The invitations to an address of any status, or of one, newest first; and how many there are.
    pub async fn invitations_received(
        &mut self,
        email: &str,
        status: Option<InvitationStatus>,
        skip: u32,
        take: u32,
    ) -> Result<(Vec<InvitationRecord>, u64), Error> {
        let (take, skip) = (i64::from(take), i64::from(skip));
        let (rows, count) = match status.map(InvitationStatus::name) {
            Some(status) => (
                fetch_all!(self, InvitationRow, sql::LIST_TO_BY, email, take, skip, status)?,
                fetch_one!(self, CountRow, sql::COUNT_TO_BY, email, status)?,
            ),
            None => (fetch_all!(self, InvitationRow, sql::LIST_TO, email, take, skip)?, fetch_one!(self, CountRow, sql::COUNT_TO, email)?),
        };
        Ok((rows.into_iter().map(InvitationRow::model).collect::<Result<_, _>>()?, count.n.unsigned_abs()))
    }

    /// Adds an invitation.
    pub async fn insert_invitation(&mut self, i: &InvitationRecord) -> Result<(), Error> {
        let sender = i.sender.map(UserId::uuid);
        execute!(self, sql::INSERT, i.id, i.tenant.uuid(), &i.email, micros(i.created), i.status.name(), sender, to_json(&i.roles))?;
        Ok(())
    }

    /// Answers an open invitation; false when there is none.
    pub async fn answer_invitation(&mut self, id: Uuid, status: InvitationStatus) -> Result<bool, Error> {
        Ok(execute!(self, sql::ANSWER, id, status.name())? == 1)
    }

    /// Ends an open invitation; false when there is none.
    pub async fn delete_invitation(&mut self, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id)? == 1)
    }

    /// Ends the open invitation of that address to that tenant; false when there is none.
    pub async fn delete_invitation_to(&mut self, tenant: TenantId, email: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_TO, tenant.uuid(), email)? == 1)
    }

    /// Forgets a tenant's invitations that were answered so and sent before then, 100 at most.
    pub async fn forget_invitations(&mut self, tenant: TenantId, status: InvitationStatus, before: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::FORGET, tenant.uuid(), status.name(), micros(before))?)
    }
}
