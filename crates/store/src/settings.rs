//! Single values by name (the CA, the server's certificate, …).

use crate::db::Tx;
use crate::error::Error;

sql! {
    GET = "select value from setting where name = $1";
    SET = "insert into setting (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value";
    INSERT = "insert into setting (name, value) values ($1, $2) on conflict (name) do nothing";
    DELETE = "delete from setting where name = $1";
}

row! {
    struct ValueRow { value: Vec<u8> }
}

impl Tx {
    /// The value of that name, if it was ever set.
    pub async fn setting(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(fetch_optional!(self, ValueRow, sql::GET, name)?.map(|row| row.value))
    }

    /// Sets a value, new or not.
    pub async fn set_setting(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        execute!(self, sql::SET, name, value)?;
        Ok(())
    }

    /// Sets a value unless there is one; false when there was: another node may make the same at the same time.
    pub async fn init_setting(&mut self, name: &str, value: &[u8]) -> Result<bool, Error> {
        Ok(execute!(self, sql::INSERT, name, value)? == 1)
    }

    /// Forgets a value; false when there was none.
    pub async fn delete_setting(&mut self, name: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, name)? == 1)
    }
}
