//! Users and their password hashes.

use jiff::Timestamp;
use model::{PageRequest, TenantId, User, UserId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    BY_ID = "select id, email, username, given_name, family_name, verified, disabled, operator, password, tokens_from, created, updated \
             from user_account where id = $1";
    BY_EMAIL = "select id, email, username, given_name, family_name, verified, disabled, operator, password, tokens_from, created, updated \
                from user_account where email = $1";
    BY_USERNAME = "select id, email, username, given_name, family_name, verified, disabled, operator, password, tokens_from, created, updated \
                   from user_account where username = $1";
    PAGE = "select id, email, username, given_name, family_name, verified, disabled, operator, password, tokens_from, created, updated \
            from user_account where id > $1 order by id limit $2";
    PAGE_OF_TENANT = "select u.id, u.email, u.username, u.given_name, u.family_name, u.verified, u.disabled, u.operator, u.password, \
                      u.tokens_from, u.created, u.updated \
                      from membership m join user_account u on u.id = m.user_id where m.tenant = $1 and m.user_id > $2 order by m.user_id limit $3";
    INSERT = "insert into user_account (id, email, username, given_name, family_name, verified, disabled, operator, password, tokens_from, created, updated) \
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11)";
    UPDATE = "update user_account set email = $2, username = $3, given_name = $4, family_name = $5, verified = $6, disabled = $7, operator = $8, \
              updated = $9 where id = $1";
    SET_PASSWORD = "update user_account set password = $2, tokens_from = $3, updated = $3 where id = $1";
    DELETE = "delete from user_account where id = $1";
}

row! {
    struct UserRow {
        id: Uuid, email: String, username: Option<String>, given_name: Option<String>, family_name: Option<String>,
        verified: bool, disabled: bool, operator: bool, password: Option<String>, tokens_from: i64, created: i64, updated: i64,
    }
}

/// A user with what proves it.
#[derive(Clone, Debug)]
pub struct UserRecord {
    /// The user.
    pub user: User,
    /// The password's hash (PHC string); absent: no sign-in by password.
    pub password: Option<String>,
    /// Tokens issued before this moment are refused.
    pub tokens_from: Timestamp,
}

impl UserRow {
    fn model(self) -> Result<UserRecord, Error> {
        Ok(UserRecord {
            user: User {
                id: UserId(self.id),
                email: self.email,
                username: self.username,
                given_name: self.given_name,
                family_name: self.family_name,
                verified: self.verified,
                disabled: self.disabled,
                operator: self.operator,
                created: timestamp("user_account", "created", self.created)?,
                updated: timestamp("user_account", "updated", self.updated)?,
            },
            password: self.password,
            tokens_from: timestamp("user_account", "tokens_from", self.tokens_from)?,
        })
    }
}

impl Tx {
    /// The user, if there is one.
    pub async fn user(&mut self, id: UserId) -> Result<Option<UserRecord>, Error> {
        fetch_optional!(self, UserRow, sql::BY_ID, id.uuid())?.map(UserRow::model).transpose()
    }

    /// The user of that address (lower case).
    pub async fn user_by_email(&mut self, email: &str) -> Result<Option<UserRecord>, Error> {
        fetch_optional!(self, UserRow, sql::BY_EMAIL, email)?.map(UserRow::model).transpose()
    }

    /// The user of that user name.
    pub async fn user_by_username(&mut self, name: &str) -> Result<Option<UserRecord>, Error> {
        fetch_optional!(self, UserRow, sql::BY_USERNAME, name)?.map(UserRow::model).transpose()
    }

    /// Every user by id, one more than the page holds.
    pub async fn users(&mut self, after: Option<UserId>, page: &PageRequest) -> Result<Vec<UserRecord>, Error> {
        let after = after.map_or(Uuid::nil(), UserId::uuid);
        fetch_all!(self, UserRow, sql::PAGE, after, i64::from(page.limit) + 1)?.into_iter().map(UserRow::model).collect()
    }

    /// A tenant's users by id, one more than the page holds.
    pub async fn users_of(&mut self, tenant: TenantId, after: Option<UserId>, page: &PageRequest) -> Result<Vec<UserRecord>, Error> {
        let after = after.map_or(Uuid::nil(), UserId::uuid);
        fetch_all!(self, UserRow, sql::PAGE_OF_TENANT, tenant.uuid(), after, i64::from(page.limit) + 1)?
            .into_iter()
            .map(UserRow::model)
            .collect()
    }

    /// Adds a user.
    pub async fn insert_user(&mut self, u: &User, password: Option<&str>) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            u.id.uuid(),
            &u.email,
            &u.username,
            &u.given_name,
            &u.family_name,
            u.verified,
            u.disabled,
            u.operator,
            password,
            micros(u.created),
            micros(u.updated)
        )?;
        Ok(())
    }

    /// Changes a user, all but its password; false when there is none.
    pub async fn update_user(&mut self, u: &User) -> Result<bool, Error> {
        let done = execute!(
            self,
            sql::UPDATE,
            u.id.uuid(),
            &u.email,
            &u.username,
            &u.given_name,
            &u.family_name,
            u.verified,
            u.disabled,
            u.operator,
            micros(u.updated)
        )?;
        Ok(done == 1)
    }

    /// Sets (or takes away) the password's hash; tokens issued before `at` are refused from now on.
    pub async fn set_user_password(&mut self, id: UserId, password: Option<&str>, at: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::SET_PASSWORD, id.uuid(), password, micros(at))? == 1)
    }

    /// Removes a user and, by cascade, its memberships and API keys; false when there is none.
    pub async fn delete_user(&mut self, id: UserId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id.uuid())? == 1)
    }
}
