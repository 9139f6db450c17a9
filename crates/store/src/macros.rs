//! `sql!` collects statements, `on!` runs one on whichever engine, `row!` reads one from either.

/// Declares the statements of a file: constants in `mod sql`, and `sql::ALL` for the test that prepares every one.
macro_rules! sql {
    ($($name:ident = $text:expr;)*) => {
        pub(crate) mod sql {
            $(pub(crate) const $name: &str = $text;)*
            pub(crate) const ALL: &[(&str, &str)] = &[$((concat!(module_path!(), "::", stringify!($name)), $name),)*];
        }
    };
}

/// Evaluates the expression with `$conn` bound to the engine's own `&mut` connection: the one place that tells engines apart.
macro_rules! on {
    ($tx:expr, $conn:ident => $body:expr) => {
        match $tx.inner.connection() {
            $crate::db::Connection::Sqlite($conn) => $body,
            $crate::db::Connection::Postgres($conn) => $body,
        }
    };
}

/// `fetch_all!(tx, Row, sql::X, a, b)`: all rows.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, c => sqlx::query_as::<_, $row>($sql)$(.bind($arg))*.fetch_all(c).await)
    };
}

/// `fetch_optional!(tx, Row, sql::X, a, b)`: the row, if there is one.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, c => sqlx::query_as::<_, $row>($sql)$(.bind($arg))*.fetch_optional(c).await)
    };
}

/// `fetch_one!(tx, Row, sql::X, a, b)`: exactly one row (counts, `returning`).
#[allow(unused_macros, reason = "part of the set; not every build of the file list uses it")]
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, c => sqlx::query_as::<_, $row>($sql)$(.bind($arg))*.fetch_one(c).await)
    };
}

/// `execute!(tx, sql::X, a, b)`: how many rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, c => sqlx::query($sql)$(.bind($arg))*.execute(c).await.map(|done| done.rows_affected()))
    };
}

/// `row! { struct XRow { id: Uuid, name: String } }`: a row both engines can read, columns by name.
macro_rules! row {
    ($vis:vis struct $name:ident { $($field:ident : $ty:ty),* $(,)? }) => {
        $vis struct $name { $($field: $ty),* }
        row!(@impl sqlx::sqlite::SqliteRow, $name, $($field),*);
        row!(@impl sqlx::postgres::PgRow, $name, $($field),*);
    };
    (@impl $row:ty, $name:ident, $($field:ident),*) => {
        impl<'r> sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}
