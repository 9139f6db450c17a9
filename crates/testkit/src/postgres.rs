//! PostgreSQL for tests: a fresh database each.

use std::process::Command;

/// Makes an empty database on the server that `./test` started and returns its URL; `None` (with a visible line) where there is none.
#[must_use]
pub fn fresh() -> Option<String> {
    let server = crate::environment("HELIOGRAPH_TEST_POSTGRES_URL")?;
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let made = Command::new("psql").args(["-qX", &server, "-c", &format!("create database {name}")]).output().expect("psql is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    Some(format!("{base}/{name}"))
}

/// Runs the same story on SQLite and on PostgreSQL: `both_engines!(name, |store: Option<String>| async { … });` makes the tests
/// `name::sqlite` and `name::postgres`; the story gets the PostgreSQL database's URL, or `None` for SQLite.
#[macro_export]
macro_rules! both_engines {
    ($name:ident, $story:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                ($story)(None).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(url) = $crate::postgres::fresh() {
                    ($story)(Some(url)).await;
                }
            }
        }
    };
}
