//! Accounts: made, read, changed, ended; activation codes; members and their roles (contract 1.3, 1.4).

use axum::extract::State;
use edge::Payload;
use http::StatusCode;
use model::{Caller, Error, PageRequest, UserId};
use serde_json::{Map, Value, json};

use crate::error::{ACCOUNT_INVALID, Answer, Problem, TRACK_SENSOR, USER_NOT_FOUND};
use crate::holder::{At, Holder};
use crate::respond::{empty, json as write};
use crate::schema::Body;
use crate::{App, Shared, schema, tokens, wire};

/// Bytes of JSON that settings may take.
const SETTINGS_MAX: usize = 16 * 1024;

/// Numbers an account keeps, and what they are unless told otherwise.
pub(crate) const NUMBERS: [(&str, u64); 6] = [
    ("healthTimePeriod", 86_400),
    ("exec_interval", 300),
    ("base_line_exec_interval", 86_400),
    ("cd_model_frequency", 604_800),
    ("cd_execution_frequency", 600),
    ("data_retention", 0),
];

pub(crate) async fn create(State(app): Shared, holder: Holder, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::ACCOUNT)?;
    let settings = settings(&body, Map::new())?;
    let attributes = body.object("attributes").unwrap_or_default();
    let account = app.identity.open_account(&holder.person.caller(), body.text("name"), attributes, settings).await?;
    Ok(write(StatusCode::CREATED, &wire::account(&account)))
}

pub(crate) async fn read(State(app): Shared, at: At, holder: Holder) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    Ok(write(StatusCode::OK, &wire::account(&app.identity.account(&caller).await?)))
}

pub(crate) async fn update(State(app): Shared, at: At, holder: Holder, body: Payload) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    let body = schema::object(&body.0?, schema::ACCOUNT)?;
    if body.maybe("id").is_some_and(|other| !other.eq_ignore_ascii_case(&at.account)) {
        return Err(Problem::Coded(ACCOUNT_INVALID, vec!["id is another account's".to_owned()]));
    }
    let now = app.identity.account(&caller).await?;
    let changed = settings(&body, now.settings.clone())?;
    if wire::tracks_health(&changed) != wire::tracks_health(&now.settings) {
        return Err(TRACK_SENSOR.into());
    }
    let account = app.identity.update_account(&caller, body.text("name"), body.object("attributes"), Some(changed)).await?;
    Ok(write(StatusCode::OK, &wire::account(&account)))
}

/// What the body says over what there is: numbers one by one, `settings` as a whole.
fn settings(body: &Body, mut kept: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    for (name, _) in NUMBERS {
        if let Some(value) = body.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(settings) = body.object("settings") {
        if !settings.get("trackSensorHealth").is_some_and(Value::is_boolean) {
            return Err(schema::wrong(vec!["settings.trackSensorHealth is not a boolean".to_owned()]));
        }
        kept.insert("settings".to_owned(), Value::Object(settings));
    }
    if serde_json::to_vec(&kept).map_or(usize::MAX, |text| text.len()) > SETTINGS_MAX {
        return Err(schema::wrong(vec![format!("settings is larger than {SETTINGS_MAX} bytes")]));
    }
    Ok(kept)
}

pub(crate) async fn remove(State(app): Shared, at: At, holder: Holder) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    app.identity.delete_tenant(&caller, caller.tenant).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn activation_code(State(app): Shared, at: At, holder: Holder) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    let code = app.identity.activation_code(&caller).await?;
    Ok(write(StatusCode::OK, &wire::activation_code(code.as_ref())))
}

pub(crate) async fn renew_code(State(app): Shared, at: At, holder: Holder, body: Payload) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    schema::object(&body.0?, schema::NOTHING)?;
    let code = app.identity.renew_activation_code(&caller).await?;
    Ok(write(StatusCode::OK, &wire::activation_code(Some(&code))))
}

/// Every member, with its role in this account alone.
pub(crate) async fn members(State(app): Shared, at: At, holder: Holder) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    let mut list = Vec::new();
    let mut page = PageRequest::max();
    loop {
        let members = app.identity.members(&caller, &page).await?;
        for member in members.items {
            let profile = match app.identity.profile(&caller, member.user.id).await {
                // Left a moment ago.
                Err(Error::NotFound { .. }) => continue,
                profile => profile?,
            };
            let accounts = json!({ caller.tenant.to_string(): tokens::role(member.membership.role) });
            list.push(wire::user(&member.user, &profile, Some(accounts)));
        }
        match members.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(write(StatusCode::OK, &list)),
        }
    }
}

pub(crate) async fn change_member(State(app): Shared, at: At, holder: Holder, body: Payload) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    let body = schema::object(&body.0?, schema::USER)?;
    set_role(&app, &caller, &at.user, &body).await?;
    Ok(empty(StatusCode::OK))
}

async fn set_role(app: &App, caller: &Caller, user: &str, body: &Body) -> Result<(), Problem> {
    if body.maybe("id").is_some_and(|other| !other.eq_ignore_ascii_case(user)) {
        return Err(schema::wrong(vec!["id is another user's".to_owned()]));
    }
    let accounts = body.object("accounts").unwrap_or_default();
    // Only this account's role: others named beside it are not the caller's to give.
    let role = accounts.get(&caller.tenant.to_string()).and_then(|role| role.as_str().or_else(|| role.get("role")?.as_str()));
    let admin = match role {
        Some("admin") => true,
        Some("user") => false,
        _ => return Err(schema::wrong(vec![format!("accounts.{} is not admin or user", caller.tenant)])),
    };
    // Who may not, learns nothing about who is a member.
    caller.require(model::Permission::UserWrite)?;
    let user: UserId = user.parse().map_err(|_| USER_NOT_FOUND)?;
    app.identity.set_administrator(caller, user, admin).await?;
    Ok(())
}
