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

/// Runs the statement on whichever engine: `$how` is one of [`crate::run`]'s functions of that name, `$read` makes its answer ours.
macro_rules! on {
    ($tx:expr, $how:ident, $sql:expr, ($($arg:expr),*), $read:expr) => {
        match $tx.inner.connection() {
            $crate::db::Connection::Sqlite(c) => $crate::run::sqlite::$how(c, sqlx::query($sql)$(.bind($arg))*).await.and_then($read),
            $crate::db::Connection::Postgres(c) => $crate::run::postgres::$how(c, sqlx::query($sql)$(.bind($arg))*).await.and_then($read),
        }
    };
}

/// `fetch_all!(tx, Row, sql::X, a, b)`: all rows.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, all, $sql, ($($arg),*), |rows| rows.iter().map(<$row as sqlx::FromRow<'_, _>>::from_row).collect::<Result<Vec<$row>, sqlx::Error>>())
    };
}

/// `fetch_optional!(tx, Row, sql::X, a, b)`: the row, if there is one.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, optional, $sql, ($($arg),*), |row| row.as_ref().map(<$row as sqlx::FromRow<'_, _>>::from_row).transpose())
    };
}

/// `fetch_one!(tx, Row, sql::X, a, b)`: exactly one row (counts, `returning`).
#[allow(unused_macros, reason = "part of the set; not every build of the file list uses it")]
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, one, $sql, ($($arg),*), |row| <$row as sqlx::FromRow<'_, _>>::from_row(&row))
    };
}

/// `execute!(tx, sql::X, a, b)`: how many rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        on!($tx, execute, $sql, ($($arg),*), Ok)
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
