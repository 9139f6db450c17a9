//! Devices that wait for their user's word (RFC 8628).

use jiff::Timestamp;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    INSERT = "insert into oauth_device (code_hash, user_code, client, realm, scope, decision, polled, expires) values ($1, $2, $3, $4, $5, null, $6, $7)";
    BY_CODE = "select user_code, client, realm, scope, decision, polled, expires from oauth_device where code_hash = $1";
    BY_USER_CODE = "select user_code, client, realm, scope, decision, polled, expires from oauth_device where user_code = $1";
    POLLED = "update oauth_device set polled = $2 where code_hash = $1";
    DECIDE = "update oauth_device set decision = $2 where user_code = $1 and decision is null and expires > $3";
    DELETE = "delete from oauth_device where code_hash = $1";
    PRUNE = "delete from oauth_device where code_hash in (select code_hash from oauth_device where expires < $1 limit 1000)";
}

row! {
    struct DeviceRow {
        user_code: String, client: String, realm: String, scope: String, decision: Option<String>, polled: i64, expires: i64,
    }
}

/// A device that waits.
#[derive(Clone, Debug)]
pub struct DeviceRecord {
    /// What its user types.
    pub user_code: String,
    /// The client it runs.
    pub client: String,
    /// In which realm it asked.
    pub realm: String,
    /// What for, space-delimited.
    pub scope: String,
    /// What the user said, JSON.
    pub decision: Option<String>,
    /// When it last asked.
    pub polled: Timestamp,
    /// When it need not ask any more.
    pub expires: Timestamp,
}

impl DeviceRow {
    fn model(self) -> Result<DeviceRecord, Error> {
        Ok(DeviceRecord {
            polled: timestamp("oauth_device", "polled", self.polled)?,
            expires: timestamp("oauth_device", "expires", self.expires)?,
            user_code: self.user_code,
            client: self.client,
            realm: self.realm,
            scope: self.scope,
            decision: self.decision,
        })
    }
}

impl Tx {
    /// Remembers a device.
    pub async fn insert_device(&mut self, code_hash: &[u8], d: &DeviceRecord) -> Result<(), Error> {
        execute!(self, sql::INSERT, code_hash, &d.user_code, &d.client, &d.realm, &d.scope, micros(d.polled), micros(d.expires))?;
        Ok(())
    }

    /// The device of a device code.
    pub async fn device(&mut self, code_hash: &[u8]) -> Result<Option<DeviceRecord>, Error> {
        fetch_optional!(self, DeviceRow, sql::BY_CODE, code_hash)?.map(DeviceRow::model).transpose()
    }

    /// The device of a user code.
    pub async fn device_by_user_code(&mut self, user_code: &str) -> Result<Option<DeviceRecord>, Error> {
        fetch_optional!(self, DeviceRow, sql::BY_USER_CODE, user_code)?.map(DeviceRow::model).transpose()
    }

    /// The device asked just now.
    pub async fn device_polled(&mut self, code_hash: &[u8], at: Timestamp) -> Result<(), Error> {
        execute!(self, sql::POLLED, code_hash, micros(at))?;
        Ok(())
    }

    /// What the user says, once; false when it is too late or was said already.
    pub async fn decide_device(&mut self, user_code: &str, decision: &str, now: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::DECIDE, user_code, decision, micros(now))? == 1)
    }

    /// The device need not be remembered; false when somebody was quicker.
    pub async fn delete_device(&mut self, code_hash: &[u8]) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, code_hash)? == 1)
    }

    /// Forgets devices nobody said anything about, at most 1,000 a step.
    pub async fn prune_devices(&mut self, now: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PRUNE, micros(now))?)
    }
}
