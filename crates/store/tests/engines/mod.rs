//! A fresh database of either kind for a story.

use std::process::Command;

use store::Db;

/// A story's database, with the directory that holds it where there is one.
pub struct Fresh {
    pub db: Db,
    /// Where PostgreSQL has it.
    #[allow(dead_code, reason = "only the test of all statements asks")]
    pub url: Option<String>,
    _dir: Option<tempfile::TempDir>,
}

pub async fn sqlite() -> Fresh {
    let dir = tempfile::tempdir().unwrap();
    Fresh { db: Db::sqlite_unsynced(&dir.path().join("store.db")).await.unwrap(), url: None, _dir: Some(dir) }
}

/// None, with a line that says so, where the test script has started no server.
pub async fn postgres() -> Option<Fresh> {
    let Some(server) = std::env::var_os("HELIOGRAPH_TEST_POSTGRES_URL").and_then(|url| url.into_string().ok()) else {
        assert!(std::env::var_os("HELIOGRAPH_TEST_REQUIRE").is_none(), "HELIOGRAPH_TEST_POSTGRES_URL is not set");
        eprintln!("skipped: HELIOGRAPH_TEST_POSTGRES_URL is not set");
        return None;
    };
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    let made = Command::new("psql").args(["-qX", &server, "-c", &format!("create database {name}")]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (base, _) = server.rsplit_once('/').unwrap();
    let url = format!("{base}/{name}");
    Some(Fresh { db: Db::postgres(&url).await.unwrap(), url: Some(url), _dir: None })
}

/// The same story on both engines.
#[allow(unused_macros, reason = "one of the files that share this has no story")]
macro_rules! both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                let fresh = super::engines::sqlite().await;
                super::$name(fresh.db.clone()).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(fresh) = super::engines::postgres().await {
                    super::$name(fresh.db.clone()).await;
                }
            }
        }
    )*};
}
