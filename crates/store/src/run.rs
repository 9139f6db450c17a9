//! A statement's way to its engine, boxed here: an `async fn` is compiled by the crate that awaits it, so that without this every
//! crate above would compile the whole driver again.

use std::future::Future;
use std::pin::Pin;

/// What awaits the engine.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'a>>;

macro_rules! engine {
    ($name:ident, $engine:ty, $connection:ty, $row:ty) => {
        pub(crate) mod $name {
            use sqlx::Database;
            use sqlx::query::Query;

            use super::Running;

            type Statement<'a> = Query<'a, $engine, <$engine as Database>::Arguments>;

            pub(crate) fn all<'a>(connection: &'a mut $connection, statement: Statement<'a>) -> Running<'a, Vec<$row>> {
                Box::pin(statement.fetch_all(connection))
            }

            pub(crate) fn optional<'a>(connection: &'a mut $connection, statement: Statement<'a>) -> Running<'a, Option<$row>> {
                Box::pin(statement.fetch_optional(connection))
            }

            pub(crate) fn one<'a>(connection: &'a mut $connection, statement: Statement<'a>) -> Running<'a, $row> {
                Box::pin(statement.fetch_one(connection))
            }

            pub(crate) fn execute<'a>(connection: &'a mut $connection, statement: Statement<'a>) -> Running<'a, u64> {
                Box::pin(async move { Ok(statement.execute(connection).await?.rows_affected()) })
            }
        }
    };
}

engine!(sqlite, sqlx::Sqlite, sqlx::SqliteConnection, sqlx::sqlite::SqliteRow);
engine!(postgres, sqlx::Postgres, sqlx::PgConnection, sqlx::postgres::PgRow);
