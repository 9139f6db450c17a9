//! How far a worker has read the journal.

use crate::db::Tx;
use crate::error::Error;

sql! {
    ONE = "select position from cursor_position where name = $1";
    SET = "insert into cursor_position (name, position) values ($1, $2) on conflict (name) do update set position = excluded.position";
}

row! { struct CursorRow { position: i64 } }

impl Tx {
    /// The worker's position; none when it has never stored one.
    pub async fn cursor(&mut self, name: &str) -> Result<Option<u64>, Error> {
        let row = fetch_optional!(self, CursorRow, sql::ONE, name)?;
        row.map(|r| u64::try_from(r.position).map_err(|e| Error::corrupt("cursor_position", "position", name, e))).transpose()
    }

    /// Stores the worker's position; in the same transaction as what it did, so that nothing is done twice or left out.
    pub async fn set_cursor(&mut self, name: &str, position: u64) -> Result<(), Error> {
        execute!(self, sql::SET, name, i64::try_from(position).unwrap_or(i64::MAX))?;
        Ok(())
    }
}
