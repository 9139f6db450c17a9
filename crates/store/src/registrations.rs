//! Registrations that wait for their code.

use jiff::Timestamp;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    GET = "select email, code_hash, password, tries, sent, started, sends, expires from registration where email = $1";
    SET = "insert into registration (email, code_hash, password, tries, sent, started, sends, expires) values ($1, $2, $3, $4, $5, $6, $7, $8) \
           on conflict (email) do update set code_hash = excluded.code_hash, password = excluded.password, tries = excluded.tries, \
           sent = excluded.sent, started = excluded.started, sends = excluded.sends, expires = excluded.expires";
    TRY = "update registration set tries = tries + 1 where email = $1 and tries < $2";
    DELETE = "delete from registration where email = $1";
    PRUNE = "delete from registration where email in (select email from registration where expires < $1 and started < $2 limit 1000)";
}

row! {
    struct RegistrationRow {
        email: String, code_hash: Vec<u8>, password: String, tries: i64, sent: i64, started: i64, sends: i64, expires: i64,
    }
}

/// A registration that waits for its code.
#[derive(Clone)]
pub struct RegistrationRecord {
    /// The address.
    pub email: String,
    /// The code's keyed hash.
    pub code_hash: Vec<u8>,
    /// The password's hash (PHC string).
    pub password: String,
    /// Wrong codes so far.
    pub tries: u64,
    /// When the last code was made.
    pub sent: Timestamp,
    /// When the first code of the day was made.
    pub started: Timestamp,
    /// Codes made since then.
    pub sends: u64,
    /// When the code ends.
    pub expires: Timestamp,
}

impl RegistrationRow {
    fn model(self) -> Result<RegistrationRecord, Error> {
        Ok(RegistrationRecord {
            tries: self.tries.unsigned_abs(),
            sent: timestamp("registration", "sent", self.sent)?,
            started: timestamp("registration", "started", self.started)?,
            sends: self.sends.unsigned_abs(),
            expires: timestamp("registration", "expires", self.expires)?,
            email: self.email,
            code_hash: self.code_hash,
            password: self.password,
        })
    }
}

impl Tx {
    /// The registration of that address.
    pub async fn registration(&mut self, email: &str) -> Result<Option<RegistrationRecord>, Error> {
        fetch_optional!(self, RegistrationRow, sql::GET, email)?.map(RegistrationRow::model).transpose()
    }

    /// Makes a registration, or replaces it.
    pub async fn set_registration(&mut self, r: &RegistrationRecord) -> Result<(), Error> {
        execute!(
            self,
            sql::SET,
            &r.email,
            r.code_hash.as_slice(),
            &r.password,
            i64::try_from(r.tries).unwrap_or(i64::MAX),
            micros(r.sent),
            micros(r.started),
            i64::try_from(r.sends).unwrap_or(i64::MAX),
            micros(r.expires)
        )?;
        Ok(())
    }

    /// Counts a try before the code is looked at; false when all `most` are used up.
    pub async fn try_registration(&mut self, email: &str, most: u32) -> Result<bool, Error> {
        Ok(execute!(self, sql::TRY, email, i64::from(most))? == 1)
    }

    /// Forgets a registration; false when there is none.
    pub async fn delete_registration(&mut self, email: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, email)? == 1)
    }

    /// Forgets registrations that expired and whose day is over (`day_ago`).
    pub async fn prune_registrations(&mut self, now: Timestamp, day_ago: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PRUNE, micros(now), micros(day_ago))?)
    }
}
