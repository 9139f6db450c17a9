//! Every statement of the program is prepared on both engines, and none may scan a whole table.

#[allow(dead_code, clippy::unwrap_used, reason = "shared with the stories")]
mod engines;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _};

/// Statements that are meant to walk a whole (small or bounded) table.
const MAY_SCAN: &[&str] = &[
    // The frames it has just made of the range, not the table.
    "thing_points::sql::FRAMES",
    // One row it has just found, not the table.
    "rules::sql::ANY_RULES",
    "rules::sql::ANY_TWINS",
];

#[tokio::test]
async fn sqlite_prepares_every_statement_and_scans_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.db");
    store::Db::sqlite_unsynced(&file).await.unwrap().close().await;
    let mut db = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let mut wrong = Vec::new();
    for (name, text) in store::statements() {
        let plan: Result<Vec<(i64, i64, i64, String)>, _> =
            sqlx::query_as(AssertSqlSafe(format!("explain query plan {text}")).into_sql_str()).fetch_all(&mut db).await;
        match plan {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(steps) => {
                for (_, _, _, step) in steps {
                    let scans = step.starts_with("SCAN ") && !step.contains("CONSTANT ROW");
                    if (scans || step.contains("USE TEMP B-TREE FOR ORDER BY")) && !MAY_SCAN.iter().any(|n| name.ends_with(n)) {
                        wrong.push(format!("{name}: {step}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!store::statements().is_empty());
}

#[tokio::test]
async fn postgres_prepares_every_statement() {
    let Some(fresh) = engines::postgres().await else { return };
    fresh.db.close().await;
    let url = fresh.url.unwrap();
    let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
    let mut wrong = Vec::new();
    for (name, text) in store::statements() {
        if let Err(error) = (&mut db).prepare(text.into_sql_str()).await {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
