//! Revoked tokens, until they would have expired anyway.

use jiff::Timestamp;
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    LIVE = "select id, expires from revoked_token where expires > $1 order by expires limit 1000000";
    INSERT = "insert into revoked_token (id, expires) values ($1, $2) on conflict (id) do nothing";
    PRUNE = "delete from revoked_token where expires <= $1";
}

row! {
    struct RevokedRow { id: Uuid, expires: i64 }
}

impl Tx {
    /// Revoked tokens that have not expired.
    pub async fn revoked_tokens(&mut self, now: Timestamp) -> Result<Vec<(Uuid, Timestamp)>, Error> {
        fetch_all!(self, RevokedRow, sql::LIVE, micros(now))?
            .into_iter()
            .map(|row| Ok((row.id, timestamp("revoked_token", "expires", row.expires)?)))
            .collect()
    }

    /// Revokes a token; doing so twice is no error.
    pub async fn revoke_token(&mut self, id: Uuid, expires: Timestamp) -> Result<(), Error> {
        execute!(self, sql::INSERT, id, micros(expires))?;
        Ok(())
    }

    /// Forgets revocations of tokens that have expired.
    pub async fn prune_revoked_tokens(&mut self, now: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PRUNE, micros(now))?)
    }
}
