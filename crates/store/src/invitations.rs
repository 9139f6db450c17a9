//! Invitations: an address that may join a tenant.

use model::{TenantId, Timestamp};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, email, created from invitation where id = $1";
    OF_TENANT = "select id, tenant, email, created from invitation where tenant = $1 order by email limit $2";
    TO_EMAIL = "select id, tenant, email, created from invitation where email = $1 order by created limit $2";
    COUNT = "select count(*) as n from invitation where tenant = $1";
    INSERT = "insert into invitation (id, tenant, email, created) values ($1, $2, $3, $4)";
    DELETE = "delete from invitation where id = $1";
    DELETE_TO = "delete from invitation where tenant = $1 and email = $2";
}

row! {
    struct InvitationRow { id: Uuid, tenant: Uuid, email: String, created: i64 }
}
row! {
    struct CountRow { n: i64 }
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
}

impl InvitationRow {
    fn model(self) -> Result<InvitationRecord, Error> {
        Ok(InvitationRecord {
            id: self.id,
            tenant: TenantId(self.tenant),
            email: self.email,
            created: timestamp("invitation", "created", self.created)?,
        })
    }
}

impl Tx {
    /// The invitation, if there is one.
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

    /// Adds an invitation.
    pub async fn insert_invitation(&mut self, i: &InvitationRecord) -> Result<(), Error> {
        execute!(self, sql::INSERT, i.id, i.tenant.uuid(), &i.email, micros(i.created))?;
        Ok(())
    }

    /// Ends an invitation; false when there is none.
    pub async fn delete_invitation(&mut self, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id)? == 1)
    }

    /// Ends the invitation of that address to that tenant; false when there is none.
    pub async fn delete_invitation_to(&mut self, tenant: TenantId, email: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_TO, tenant.uuid(), email)? == 1)
    }
}
