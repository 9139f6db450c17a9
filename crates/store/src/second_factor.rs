//! Second factors: who has one, who must, recovery codes, and browsers half signed in.

use jiff::Timestamp;
use model::{TenantId, UserId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    GET = "select required, secret, step, enrolled from second_factor where user_id = $1";
    REQUIRE = "insert into second_factor (user_id, required, secret, step, enrolled) values ($1, $2, null, 0, null) \
               on conflict (user_id) do update set required = excluded.required";
    ENROL = "insert into second_factor (user_id, required, secret, step, enrolled) values ($1, $2, $3, $4, $5) on conflict (user_id) \
             do update set secret = excluded.secret, step = excluded.step, enrolled = excluded.enrolled where second_factor.secret is null";
    REMOVE = "update second_factor set secret = null, step = 0, enrolled = null where user_id = $1 and secret is not null";
    USE_STEP = "update second_factor set step = $2 where user_id = $1 and secret is not null and step < $2";
    RECOVERY_INSERT = "insert into recovery_code (user_id, code_hash) values ($1, $2)";
    RECOVERY_USE = "delete from recovery_code where user_id = $1 and code_hash = $2";
    RECOVERY_CLEAR = "delete from recovery_code where user_id = $1";
    RECOVERY_LEFT = "select count(*) as count from recovery_code where user_id = $1";
    TENANT = "select second_factor_required as required from tenant_security where tenant = $1";
    REQUIRE_IN = "insert into tenant_security (tenant, second_factor_required) values ($1, $2) \
                  on conflict (tenant) do update set second_factor_required = excluded.second_factor_required";
    OF_MEMBER = "select t.tenant from membership m join tenant_security t on t.tenant = m.tenant \
                 where m.user_id = $1 and t.second_factor_required";
    HALF = "select user_id, created, expires from half_login where secret_hash = $1";
    HALF_INSERT = "insert into half_login (secret_hash, user_id, created, expires) values ($1, $2, $3, $4)";
    HALF_DELETE = "delete from half_login where secret_hash = $1";
    HALVES_DELETE = "delete from half_login where user_id = $1";
    PRUNE_HALVES = "delete from half_login where secret_hash in (select secret_hash from half_login where expires < $1 limit 1000)";
}

row! {
    struct FactorRow { required: bool, secret: Option<Vec<u8>>, step: i64, enrolled: Option<i64> }
}
row! {
    struct RequiredRow { required: bool }
}
row! {
    struct TenantRow { tenant: Uuid }
}
row! {
    struct CountRow { count: i64 }
}
row! {
    struct HalfRow { user_id: Uuid, created: i64, expires: i64 }
}

/// A user's second factor as remembered.
#[derive(Clone, Debug, Default)]
pub struct SecondFactorRecord {
    /// Must the user have one, whatever its tenants say?
    pub required: bool,
    /// The app's secret, sealed; none: no factor.
    pub secret: Option<Vec<u8>>,
    /// The last time step a code was used of.
    pub step: i64,
    /// Since when.
    pub enrolled: Option<Timestamp>,
}

/// A browser whose user typed the right password and not yet the code.
#[derive(Clone, Debug)]
pub struct HalfLoginRecord {
    /// Who.
    pub user: UserId,
    /// When the password was typed.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl Tx {
    /// The user's second factor; the default where nothing is known.
    pub async fn second_factor(&mut self, user: UserId) -> Result<SecondFactorRecord, Error> {
        let Some(row) = fetch_optional!(self, FactorRow, sql::GET, user.uuid())? else { return Ok(SecondFactorRecord::default()) };
        let enrolled = row.enrolled.map(|at| timestamp("second_factor", "enrolled", at)).transpose()?;
        Ok(SecondFactorRecord { required: row.required, secret: row.secret, step: row.step, enrolled })
    }

    /// Says whether this user must have a second factor.
    pub async fn require_second_factor(&mut self, user: UserId, required: bool) -> Result<(), Error> {
        execute!(self, sql::REQUIRE, user.uuid(), required)?;
        Ok(())
    }

    /// Gives a user without one a second factor and its recovery codes; false when there is one already.
    pub async fn enrol_second_factor(
        &mut self,
        user: UserId,
        secret: &[u8],
        step: i64,
        at: Timestamp,
        recovery: &[[u8; 32]],
    ) -> Result<bool, Error> {
        if execute!(self, sql::ENROL, user.uuid(), false, secret, step, micros(at))? != 1 {
            return Ok(false);
        }
        self.set_recovery_codes(user, recovery).await?;
        Ok(true)
    }

    /// Takes a user's second factor and recovery codes away; false when there is none.
    pub async fn remove_second_factor(&mut self, user: UserId) -> Result<bool, Error> {
        let found = execute!(self, sql::REMOVE, user.uuid())? == 1;
        execute!(self, sql::RECOVERY_CLEAR, user.uuid())?;
        Ok(found)
    }

    /// Uses a time step up; false when it, or a later one, was used before.
    pub async fn use_factor_step(&mut self, user: UserId, step: i64) -> Result<bool, Error> {
        Ok(execute!(self, sql::USE_STEP, user.uuid(), step)? == 1)
    }

    /// Replaces a user's recovery codes.
    pub async fn set_recovery_codes(&mut self, user: UserId, hashes: &[[u8; 32]]) -> Result<(), Error> {
        execute!(self, sql::RECOVERY_CLEAR, user.uuid())?;
        for hash in hashes {
            execute!(self, sql::RECOVERY_INSERT, user.uuid(), hash.as_slice())?;
        }
        Ok(())
    }

    /// Uses a recovery code up; false when there is no such.
    pub async fn use_recovery_code(&mut self, user: UserId, hash: &[u8; 32]) -> Result<bool, Error> {
        Ok(execute!(self, sql::RECOVERY_USE, user.uuid(), hash.as_slice())? == 1)
    }

    /// How many recovery codes a user has left.
    pub async fn recovery_codes_left(&mut self, user: UserId) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::RECOVERY_LEFT, user.uuid())?.count.unsigned_abs())
    }

    /// Must members of that tenant have a second factor?
    pub async fn tenant_requires_factor(&mut self, tenant: TenantId) -> Result<bool, Error> {
        Ok(fetch_optional!(self, RequiredRow, sql::TENANT, tenant.uuid())?.is_some_and(|row| row.required))
    }

    /// Says whether members of that tenant must have a second factor.
    pub async fn require_factor_in(&mut self, tenant: TenantId, required: bool) -> Result<(), Error> {
        execute!(self, sql::REQUIRE_IN, tenant.uuid(), required)?;
        Ok(())
    }

    /// The user's tenants whose members must have a second factor.
    pub async fn tenants_requiring_factor(&mut self, user: UserId) -> Result<Vec<TenantId>, Error> {
        Ok(fetch_all!(self, TenantRow, sql::OF_MEMBER, user.uuid())?.into_iter().map(|row| TenantId(row.tenant)).collect())
    }

    /// The browser half signed in with that cookie.
    pub async fn half_login(&mut self, secret_hash: &[u8]) -> Result<Option<HalfLoginRecord>, Error> {
        let Some(row) = fetch_optional!(self, HalfRow, sql::HALF, secret_hash)? else { return Ok(None) };
        let created = timestamp("half_login", "created", row.created)?;
        Ok(Some(HalfLoginRecord { user: UserId(row.user_id), created, expires: timestamp("half_login", "expires", row.expires)? }))
    }

    /// Remembers a browser half signed in.
    pub async fn insert_half_login(&mut self, secret_hash: &[u8], h: &HalfLoginRecord) -> Result<(), Error> {
        execute!(self, sql::HALF_INSERT, secret_hash, h.user.uuid(), micros(h.created), micros(h.expires))?;
        Ok(())
    }

    /// Uses a half sign-in up; false when it is gone.
    pub async fn delete_half_login(&mut self, secret_hash: &[u8]) -> Result<bool, Error> {
        Ok(execute!(self, sql::HALF_DELETE, secret_hash)? == 1)
    }

    /// Ends all of a user's half sign-ins.
    pub async fn delete_half_logins_of(&mut self, user: UserId) -> Result<(), Error> {
        execute!(self, sql::HALVES_DELETE, user.uuid())?;
        Ok(())
    }

    /// Forgets half sign-ins that are over, at most 1,000.
    pub async fn prune_half_logins(&mut self, now: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PRUNE_HALVES, micros(now))?)
    }
}
