//! `/audit-logs`, as JSON by page or as one CSV file.

use std::collections::HashMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, get};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use identity::Span;
use model::{AuditEntry, Caller, Result, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire;
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::list;

const PRODUCER: &str = "heliograph";
const COLUMNS: [&str; 13] = [
    "id",
    "producer",
    "producerVersion",
    "userId",
    "userEmail",
    "clientId",
    "tenantId",
    "action",
    "actionTimestamp",
    "logTimestamp",
    "auditMessage",
    "messagePayload",
    "createdAt",
];
/// Lines of the largest file.
const FILE_MAX: u32 = 100_000;
const STEP: u32 = 1_000;

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![("/v1/audit-logs", get(logs))]
}

async fn logs(State(app): State<App>, caller: Asking, headers: HeaderMap, query: Query) -> Answer {
    let csv = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).any(|v| v.contains("text/csv"));
    if csv {
        return Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8")], file(&app, &caller).await?).into_response());
    }
    let (paging, span) = wire::paging(&query)?;
    let found = app.identity.audit_lines(&caller, span).await?;
    Ok(list(paging, found.total, lines(&app, &caller, &found.items).await?))
}

fn user_of(entry: &AuditEntry) -> Option<UserId> {
    entry.actor.strip_prefix("user:").and_then(|id| id.parse().ok())
}

async fn lines(app: &App, caller: &Caller, entries: &[AuditEntry]) -> Result<Vec<Value>> {
    let mut users: Vec<UserId> = entries.iter().filter_map(user_of).collect();
    users.sort_unstable();
    users.dedup();
    let emails: HashMap<UserId, String> = app.identity.emails_of(caller, &users).await?.into_iter().collect();
    Ok(entries.iter().map(|entry| line(entry, &emails)).collect())
}

/// One line. Who is no user has the id of nobody; a client is named by its id.
fn line(entry: &AuditEntry, emails: &HashMap<UserId, String>) -> Value {
    let user = user_of(entry);
    let message = match (&entry.detail, entry.allowed) {
        (Some(detail), true) => format!("{}: {detail}", entry.action),
        (Some(detail), false) => format!("{} refused: {detail}", entry.action),
        (None, true) => entry.action.clone(),
        (None, false) => format!("{} refused", entry.action),
    };
    let mut all = json!({
        "id": entry.id,
        "producer": PRODUCER,
        "producerVersion": env!("CARGO_PKG_VERSION"),
        "userId": user.map_or(Uuid::nil(), UserId::uuid),
        "clientId": entry.actor.strip_prefix("client:").unwrap_or_default(),
        "action": entry.action,
        "actionTimestamp": entry.at,
        "logTimestamp": entry.at,
        "auditMessage": message,
        "messagePayload": { "actor": entry.actor, "target": entry.target, "allowed": entry.allowed, "address": entry.address },
        "createdAt": entry.at,
    });
    if let Some(all) = all.as_object_mut() {
        all.extend(entry.tenant.map(|tenant| ("tenantId".to_owned(), json!(tenant))));
        all.extend(user.and_then(|id| emails.get(&id)).map(|email| ("userEmail".to_owned(), json!(email))));
    }
    all
}

/// The newest lines there are, under a line of column names.
async fn file(app: &App, caller: &Caller) -> Result<String> {
    let mut text = COLUMNS.join(",");
    text.push_str("\r\n");
    let mut skip = 0;
    while skip < FILE_MAX {
        let found = app.identity.audit_lines(caller, Span { skip, take: STEP }).await?;
        for row in lines(app, caller, &found.items).await? {
            let cells: Vec<_> = COLUMNS.iter().map(|name| cell(row.get(*name))).collect();
            let _ = write!(text, "{}\r\n", cells.join(","));
        }
        if found.items.len() < usize::try_from(STEP).unwrap_or(usize::MAX) {
            break;
        }
        skip += STEP;
    }
    Ok(text)
}

/// A value as RFC 4180 has it. What a spreadsheet would take for a formula begins with an apostrophe.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let cell = |text: &str| cell(Some(&json!(text)));
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"hi\"\n"), "\"say \"\"hi\"\"\n\"");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("@x,y"), "\"'@x,y\"");
        assert_eq!(super::cell(None), "");
    }
}
