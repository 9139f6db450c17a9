//! The database handle: engines, connections, transactions.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::{Error, migrate};

/// The database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    // One writer, so that SQLITE_BUSY cannot happen between our own connections; readers see the last commit (WAL).
    Sqlite { reader: SqlitePool, writer: SqlitePool },
    Postgres(PgPool),
}

/// A connection to look (`Db::read`) or a transaction to change (`Db::begin`); dropped without `commit` it rolls back.
pub struct Tx {
    // Behind a pointer, so that whoever drops one does not compile the pool's way of taking it back.
    pub(crate) inner: Box<dyn Held>,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// A connection that was taken from its pool.
pub(crate) trait Held: Send + Sync {
    fn connection(&mut self) -> Connection<'_>;
    fn commit(self: Box<Self>) -> Committing;
}

/// A transaction on its way to the disk.
type Committing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Held for PoolConnection<Sqlite> {
    fn connection(&mut self) -> Connection<'_> {
        Connection::Sqlite(self)
    }

    fn commit(self: Box<Self>) -> Committing {
        Box::pin(async { Ok(()) })
    }
}

impl Held for PoolConnection<Postgres> {
    fn connection(&mut self) -> Connection<'_> {
        Connection::Postgres(self)
    }

    fn commit(self: Box<Self>) -> Committing {
        Box::pin(async { Ok(()) })
    }
}

impl Held for Transaction<'static, Sqlite> {
    fn connection(&mut self) -> Connection<'_> {
        Connection::Sqlite(self)
    }

    fn commit(self: Box<Self>) -> Committing {
        Box::pin(async { Ok(Transaction::commit(*self).await?) })
    }
}

impl Held for Transaction<'static, Postgres> {
    fn connection(&mut self) -> Connection<'_> {
        Connection::Postgres(self)
    }

    fn commit(self: Box<Self>) -> Committing {
        Box::pin(async { Ok(Transaction::commit(*self).await?) })
    }
}

/// The engine's own connection: two kinds only, since each statement is compiled once for each.
pub(crate) enum Connection<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

/// A transaction that opens; boxed for the reason given in [`crate::run`].
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Tx, Error>> + Send + 'a>>;

const BUSY: Duration = Duration::from_secs(10);

impl Db {
    /// Opens (and makes, and brings up to date) the SQLite database in this file.
    pub async fn sqlite(file: &Path) -> Result<Self, Error> {
        Self::sqlite_with(file, SqliteSynchronous::Full).await
    }

    /// The same without waiting for the disk: for tests, where only the program may crash.
    pub async fn sqlite_unsynced(file: &Path) -> Result<Self, Error> {
        Self::sqlite_with(file, SqliteSynchronous::Off).await
    }

    async fn sqlite_with(file: &Path, synchronous: SqliteSynchronous) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let writer = SqlitePoolOptions::new().max_connections(1).acquire_timeout(BUSY).connect_with(options.clone()).await?;
        migrate::sqlite(&writer).await?;
        let reader = SqlitePoolOptions::new().max_connections(4).acquire_timeout(BUSY).connect_with(options.read_only(true)).await?;
        Ok(Self { engine: Engine::Sqlite { reader, writer } })
    }

    /// Connects to PostgreSQL (`postgres://user:password@host:port/database`) and brings the schema up to date.
    pub async fn postgres(url: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse()?;
        let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(BUSY).connect_with(options).await?;
        migrate::postgres(&pool).await?;
        Ok(Self { engine: Engine::Postgres(pool) })
    }

    /// `sqlite` or `postgres`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite { .. } => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// A connection for look-ups; each statement sees the last commit.
    pub fn read(&self) -> Opening<'_> {
        Box::pin(async {
            let inner: Box<dyn Held> = match &self.engine {
                Engine::Sqlite { reader, .. } => Box::new(reader.acquire().await?),
                Engine::Postgres(pool) => Box::new(pool.acquire().await?),
            };
            Ok(Tx { inner })
        })
    }

    /// A transaction for changes.
    pub fn begin(&self) -> Opening<'_> {
        Box::pin(async {
            let inner: Box<dyn Held> = match &self.engine {
                // Immediate: a read-then-write transaction that starts deferred fails with SQLITE_BUSY_SNAPSHOT, which no time-out retries.
                Engine::Sqlite { writer, .. } => Box::new(writer.begin_with("begin immediate").await?),
                Engine::Postgres(pool) => Box::new(pool.begin().await?),
            };
            Ok(Tx { inner })
        })
    }

    /// Writes a consistent copy of a SQLite database to `file`, which must not exist, while others read and write.
    pub async fn snapshot(&self, file: &Path) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite { reader, .. } => {
                let name = file.to_str().ok_or_else(|| Error::Migration(format!("{} is not a UTF-8 path", file.display())))?;
                sqlx::query("vacuum into $1").bind(name).execute(reader).await?;
                Ok(())
            }
            Engine::Postgres(_) => Err(Error::Migration("a PostgreSQL store is backed up with pg_dump".to_owned())),
        }
    }

    /// Is the database itself whole? SQLite's own check; PostgreSQL only has to answer.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        match &self.engine {
            Engine::Sqlite { reader, .. } => {
                let rows: Vec<(String,)> = sqlx::query_as("pragma integrity_check(20)").fetch_all(reader).await?;
                Ok(rows.into_iter().map(|r| r.0).filter(|line| line != "ok").collect())
            }
            Engine::Postgres(pool) => {
                sqlx::query("select 1").execute(pool).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Does the database answer?
    pub async fn ping(&self) -> Result<(), Error> {
        let mut tx = self.read().await?;
        execute!(tx, "select 1").map(|_| ()).map_err(Error::from)
    }

    /// Closes every connection, after what is under way.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { reader, writer } => {
                reader.close().await;
                writer.close().await;
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes the changes durable. On a connection for look-ups there is nothing to do.
    pub fn commit(self) -> impl Future<Output = Result<(), Error>> + Send {
        self.inner.commit()
    }
}

/// Microseconds as stored.
pub(crate) fn micros(at: jiff::Timestamp) -> i64 {
    at.as_microsecond()
}

/// Stored microseconds as a timestamp.
pub(crate) fn timestamp(table: &'static str, column: &'static str, micros: i64) -> Result<jiff::Timestamp, Error> {
    jiff::Timestamp::from_microsecond(micros).map_err(|e| Error::corrupt(table, column, "?", e))
}

/// Stored JSON text as a value.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(table: &'static str, column: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::corrupt(table, column, "?", e))
}

/// A value as JSON text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
