//! What users say of themselves, the secrets mailed to them, and refresh tokens that belong to a person.

use jiff::Timestamp;
use model::UserId;
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    GET = "select attributes, terms, waiting, waits_until from user_attributes where user_id = $1";
    SET = "insert into user_attributes (user_id, attributes, terms, waiting, waits_until) values ($1, $2, $3, $4, $5) \
           on conflict (user_id) do update set attributes = excluded.attributes, terms = excluded.terms, waiting = excluded.waiting, \
           waits_until = excluded.waits_until";
    PRUNE_UNPROVED = "delete from user_account where password is null and id in (select a.user_id from user_attributes a where a.waits_until < $1 \
                      and not exists (select 1 from membership m where m.user_id = a.user_id) limit 1000)";
    COUNT_MAIL = "insert into mail_allowance (email, since, sent) values ($1, $2, 1) on conflict (email) do update set \
                  since = case when mail_allowance.since <= $3 then excluded.since else mail_allowance.since end, \
                  sent = case when mail_allowance.since <= $3 then 1 else mail_allowance.sent + 1 end returning since, sent";
    PRUNE_MAIL = "delete from mail_allowance where email in (select email from mail_allowance where since < $1 limit 1000)";
    INTERACTION = "select user_id, email, expires from interaction_token where secret_hash = $1 and purpose = $2";
    INSERT_INTERACTION = "insert into interaction_token (secret_hash, user_id, purpose, email, expires) values ($1, $2, $3, $4, $5)";
    DELETE_INTERACTION = "delete from interaction_token where secret_hash = $1";
    DELETE_INTERACTIONS = "delete from interaction_token where user_id = $1 and purpose = $2";
    PRUNE_INTERACTIONS = "delete from interaction_token where secret_hash in (select secret_hash from interaction_token where expires < $1 limit 1000)";
    REFRESH = "select user_id, family, created, expires, spent from user_refresh where secret_hash = $1";
    INSERT_REFRESH = "insert into user_refresh (secret_hash, user_id, family, created, expires) values ($1, $2, $3, $4, $5)";
    SPEND_REFRESH = "update user_refresh set spent = $2 where secret_hash = $1 and spent is null";
    DELETE_FAMILY = "delete from user_refresh where family = $1";
    KEEP_NEWEST = "delete from user_refresh where secret_hash in (select secret_hash from user_refresh where user_id = $1 \
                   order by created desc limit 1000 offset $2)";
    PRUNE_REFRESH = "delete from user_refresh where secret_hash in (select secret_hash from user_refresh where expires < $1 limit 1000)";
}

row! {
    struct AttributesRow { attributes: String, terms: bool, waiting: Option<String>, waits_until: Option<i64> }
}
row! {
    struct AllowanceRow { since: i64, sent: i64 }
}
row! {
    struct InteractionRow { user_id: Uuid, email: String, expires: i64 }
}
row! {
    struct RefreshRow { user_id: Uuid, family: Uuid, created: i64, expires: i64, spent: Option<i64> }
}

/// What a user says of itself.
#[derive(Clone, Debug, Default)]
pub struct UserAttributes {
    /// Anything, by name.
    pub attributes: serde_json::Map<String, serde_json::Value>,
    /// Terms and conditions accepted?
    pub terms: bool,
    /// The hash (PHC string) of the password chosen at registration, until the address is proved, and when that must be.
    pub waiting: Option<(String, Timestamp)>,
}

/// A secret that was mailed to a user.
#[derive(Clone, Debug)]
pub struct InteractionRecord {
    /// Whom it speaks for.
    pub user: UserId,
    /// The address it went to.
    pub email: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// A person's refresh token as remembered.
#[derive(Clone, Debug)]
pub struct UserRefreshRecord {
    /// Whose.
    pub user: UserId,
    /// All that were exchanged for one another.
    pub family: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Was it exchanged?
    pub spent: bool,
}

impl Tx {
    /// What the user says of itself, if anything.
    pub async fn user_attributes(&mut self, user: UserId) -> Result<Option<UserAttributes>, Error> {
        let Some(row) = fetch_optional!(self, AttributesRow, sql::GET, user.uuid())? else { return Ok(None) };
        let attributes = from_json("user_attributes", "attributes", &row.attributes)?;
        let until = row.waits_until.map(|at| timestamp("user_attributes", "waits_until", at)).transpose()?;
        Ok(Some(UserAttributes { attributes, terms: row.terms, waiting: row.waiting.zip(until) }))
    }

    /// Keeps what the user says of itself.
    pub async fn set_user_attributes(&mut self, user: UserId, a: &UserAttributes) -> Result<(), Error> {
        let (waiting, until) = a.waiting.as_ref().map(|(hash, until)| (hash.as_str(), micros(*until))).unzip();
        execute!(self, sql::SET, user.uuid(), to_json(&a.attributes), a.terms, waiting, until)?;
        Ok(())
    }

    /// Counts a mail to an address; since when, and how many in that time. Counting starts afresh where it began before `begin`.
    pub async fn count_mail(&mut self, email: &str, now: Timestamp, begin: Timestamp) -> Result<(Timestamp, u64), Error> {
        let row = fetch_one!(self, AllowanceRow, sql::COUNT_MAIL, email, micros(now), micros(begin))?;
        Ok((timestamp("mail_allowance", "since", row.since)?, row.sent.unsigned_abs()))
    }

    /// The mailed secret of that hash and purpose.
    pub async fn interaction(&mut self, hash: &[u8], purpose: &str) -> Result<Option<InteractionRecord>, Error> {
        let Some(row) = fetch_optional!(self, InteractionRow, sql::INTERACTION, hash, purpose)? else { return Ok(None) };
        let expires = timestamp("interaction_token", "expires", row.expires)?;
        Ok(Some(InteractionRecord { user: UserId(row.user_id), email: row.email, expires }))
    }

    /// Keeps a mailed secret's hash.
    pub async fn insert_interaction(&mut self, hash: &[u8], purpose: &str, i: &InteractionRecord) -> Result<(), Error> {
        execute!(self, sql::INSERT_INTERACTION, hash, i.user.uuid(), purpose, &i.email, micros(i.expires))?;
        Ok(())
    }

    /// Redeems a mailed secret; false when it is gone already.
    pub async fn delete_interaction(&mut self, hash: &[u8]) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_INTERACTION, hash)? == 1)
    }

    /// Ends a user's mailed secrets of a purpose.
    pub async fn delete_interactions_of(&mut self, user: UserId, purpose: &str) -> Result<u64, Error> {
        Ok(execute!(self, sql::DELETE_INTERACTIONS, user.uuid(), purpose)?)
    }

    /// The refresh token of that hash.
    pub async fn user_refresh(&mut self, hash: &[u8]) -> Result<Option<UserRefreshRecord>, Error> {
        let Some(row) = fetch_optional!(self, RefreshRow, sql::REFRESH, hash)? else { return Ok(None) };
        Ok(Some(UserRefreshRecord {
            user: UserId(row.user_id),
            family: row.family,
            created: timestamp("user_refresh", "created", row.created)?,
            expires: timestamp("user_refresh", "expires", row.expires)?,
            spent: row.spent.is_some(),
        }))
    }

    /// Keeps a refresh token's hash, and of the user's tokens only the newest `most`.
    pub async fn insert_user_refresh(&mut self, hash: &[u8], r: &UserRefreshRecord, most: u32) -> Result<(), Error> {
        execute!(self, sql::INSERT_REFRESH, hash, r.user.uuid(), r.family, micros(r.created), micros(r.expires))?;
        execute!(self, sql::KEEP_NEWEST, r.user.uuid(), i64::from(most))?;
        Ok(())
    }

    /// Marks a refresh token exchanged; false when it is already, or gone.
    pub async fn spend_user_refresh(&mut self, hash: &[u8], at: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::SPEND_REFRESH, hash, micros(at))? == 1)
    }

    /// Ends a family of refresh tokens.
    pub async fn delete_refresh_family(&mut self, family: Uuid) -> Result<u64, Error> {
        Ok(execute!(self, sql::DELETE_FAMILY, family)?)
    }

    /// Removes users who have not proved their address in time and belong nowhere.
    pub async fn prune_unproved(&mut self, now: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PRUNE_UNPROVED, micros(now))?)
    }

    /// Forgets what is over: mailed secrets, refresh tokens, counts of mails begun before `mails`.
    pub async fn prune_user_secrets(&mut self, now: Timestamp, mails: Timestamp) -> Result<u64, Error> {
        let secrets = execute!(self, sql::PRUNE_INTERACTIONS, micros(now))? + execute!(self, sql::PRUNE_REFRESH, micros(now))?;
        Ok(secrets + execute!(self, sql::PRUNE_MAIL, micros(mails))?)
    }
}
