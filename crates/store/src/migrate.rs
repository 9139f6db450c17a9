//! The schema, embedded; only its column types differ between the engines.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Acquire, PgPool, SqlSafeStr, SqlitePool};

use crate::Error;

/// Version, name, SQLite text, PostgreSQL text.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (1, "initial", include_str!("../migrations/sqlite/0001_initial.sql"), include_str!("../migrations/postgres/0001_initial.sql")),
    (2, "oauth", include_str!("../migrations/sqlite/0002_oauth.sql"), include_str!("../migrations/postgres/0002_oauth.sql")),
    (3, "fleet", include_str!("../migrations/sqlite/0003_fleet.sql"), include_str!("../migrations/postgres/0003_fleet.sql")),
    (4, "open_iot", include_str!("../migrations/sqlite/0004_open_iot.sql"), include_str!("../migrations/postgres/0004_open_iot.sql")),
    (
        5,
        "oauth_device",
        include_str!("../migrations/sqlite/0005_oauth_device.sql"),
        include_str!("../migrations/postgres/0005_oauth_device.sql"),
    ),
    (
        6,
        "second_factor",
        include_str!("../migrations/sqlite/0006_second_factor.sql"),
        include_str!("../migrations/postgres/0006_second_factor.sql"),
    ),
    (7, "oauth_more", include_str!("../migrations/sqlite/0007_oauth_more.sql"), include_str!("../migrations/postgres/0007_oauth_more.sql")),
    (8, "tenancy", include_str!("../migrations/sqlite/0008_tenancy.sql"), include_str!("../migrations/postgres/0008_tenancy.sql")),
];

fn migrator(pick: impl Fn(&(i64, &'static str, &'static str, &'static str)) -> &'static str) -> Migrator {
    let migrations =
        MIGRATIONS.iter().map(|m| Migration::new(m.0, m.1.into(), MigrationType::Simple, pick(m).into_sql_str(), false)).collect();
    Migrator::with_migrations(migrations)
}

pub(crate) async fn sqlite(pool: &SqlitePool) -> Result<(), Error> {
    run(migrator(|m| m.2), pool).await
}

pub(crate) async fn postgres(pool: &PgPool) -> Result<(), Error> {
    run(migrator(|m| m.3), pool).await
}

async fn run<'a, A>(migrator: Migrator, pool: A) -> Result<(), Error>
where
    A: Acquire<'a>,
    <A::Connection as std::ops::Deref>::Target: Migrate,
{
    migrator.run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) => Error::Newer { found, known: MIGRATIONS.last().map_or(0, |m| m.0) },
        other => Error::Migration(format!("the schema could not be brought up to date: {other}")),
    })
}
