//! Signing keys, their private halves sealed by whoever writes them.

use std::time::Duration;

use jiff::Timestamp;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    // Few rows; by primary key, so that the plan is a search.
    ALL_KEYS = "select kid, algorithm, profile, private_key, public_key, created, signs_from, signs_until, longest \
                from signing_key where kid > '' order by kid";
    INSERT = "insert into signing_key (kid, algorithm, profile, private_key, public_key, created, signs_from, signs_until, longest) \
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    RETIRE = "update signing_key set signs_until = $2 where kid = $1 and signs_until is null";
    LONGEST = "update signing_key set longest = $2 where kid = $1 and longest < $2";
    DELETE = "delete from signing_key where kid = $1";
}

row! {
    struct KeyRow {
        kid: String, algorithm: String, profile: Option<String>, private_key: Vec<u8>, public_key: Vec<u8>,
        created: i64, signs_from: i64, signs_until: Option<i64>, longest: i64,
    }
}

/// A signing key as stored.
#[derive(Clone)]
pub struct SigningKeyRecord {
    /// Its `kid`.
    pub kid: String,
    /// Its algorithm by its JOSE name.
    pub algorithm: String,
    /// The one token profile it signs for; absent: every profile of the algorithm.
    pub profile: Option<String>,
    /// The private half (or the HMAC secret), sealed.
    pub private_key: Vec<u8>,
    /// The public half; empty for HMAC.
    pub public_key: Vec<u8>,
    /// When it was made, and published.
    pub created: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When its successor takes over.
    pub signs_until: Option<Timestamp>,
    /// The longest lifetime of a token it signed.
    pub longest: Duration,
}

impl KeyRow {
    fn model(self) -> Result<SigningKeyRecord, Error> {
        Ok(SigningKeyRecord {
            created: timestamp("signing_key", "created", self.created)?,
            signs_from: timestamp("signing_key", "signs_from", self.signs_from)?,
            signs_until: self.signs_until.map(|at| timestamp("signing_key", "signs_until", at)).transpose()?,
            longest: Duration::from_micros(self.longest.unsigned_abs()),
            kid: self.kid,
            algorithm: self.algorithm,
            profile: self.profile,
            private_key: self.private_key,
            public_key: self.public_key,
        })
    }
}

fn length(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Tx {
    /// Every key.
    pub async fn signing_keys(&mut self) -> Result<Vec<SigningKeyRecord>, Error> {
        fetch_all!(self, KeyRow, sql::ALL_KEYS)?.into_iter().map(KeyRow::model).collect()
    }

    /// Adds a key.
    pub async fn insert_signing_key(&mut self, k: &SigningKeyRecord) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            &k.kid,
            &k.algorithm,
            &k.profile,
            k.private_key.as_slice(),
            k.public_key.as_slice(),
            micros(k.created),
            micros(k.signs_from),
            k.signs_until.map(micros),
            length(k.longest)
        )?;
        Ok(())
    }

    /// Says when a key's successor takes over; false when that is said already.
    pub async fn retire_signing_key(&mut self, kid: &str, at: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::RETIRE, kid, micros(at))? == 1)
    }

    /// Remembers that the key signs tokens of that lifetime, if none was longer.
    pub async fn lengthen_signing_key(&mut self, kid: &str, lifetime: Duration) -> Result<(), Error> {
        execute!(self, sql::LONGEST, kid, length(lifetime))?;
        Ok(())
    }

    /// Forgets a key.
    pub async fn delete_signing_key(&mut self, kid: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, kid)? == 1)
    }
}
