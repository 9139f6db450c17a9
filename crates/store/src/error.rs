//! What can go wrong below the verbs.

/// A store error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database answered with an error, or could not be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("{0}")]
    Migration(String),
    /// The data was written by a newer version of the program.
    #[error(
        "the data was written by a newer version (schema {found}, this program knows {known}); start that version, or restore a backup made by this one"
    )]
    Newer {
        /// The schema version in the data.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// A row holds what no version of this program writes.
    #[error("{table}.{column} of {row} is not readable: {detail}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What was found.
        detail: String,
    },
}

impl Error {
    /// A unique or primary-key violation?
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Error::Database(sqlx::Error::Database(e)) if e.is_unique_violation())
    }

    /// Shorthand for [`Error::Corrupt`].
    pub fn corrupt(table: &'static str, column: &'static str, row: impl std::fmt::Display, detail: impl std::fmt::Display) -> Self {
        Self::Corrupt { table, column, row: row.to_string(), detail: detail.to_string() }
    }
}

impl From<Error> for model::Error {
    fn from(error: Error) -> Self {
        match &error {
            e if e.is_unique_violation() => model::Error::conflict("entry", "exists already"),
            Error::Database(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)) => {
                tracing::warn!(%error, "store unavailable");
                model::Error::unavailable("the database does not answer")
            }
            // PostgreSQL keeps no NUL; whoever sends one has made a mistake, not found one of ours.
            Error::Database(sqlx::Error::Database(e)) if e.code().is_some_and(|code| code == "22021" || code == "22P05") => {
                model::Error::invalid("text", "holds a character that cannot be stored")
            }
            _ => model::Error::internal(error),
        }
    }
}
