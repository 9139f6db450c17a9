//! Objects as the platform's clients know them (contract 1.3, 1.4). Times are milliseconds since the epoch.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Account, ActivationCode, ExposeSecret as _, Profile, account_name};
use model::User;
use serde_json::{Map, Value, json};

use crate::accounts::NUMBERS;
use crate::error::Problem;
use crate::holder::Holder;
use crate::{App, tokens};

/// A user; what is false or empty is left out.
pub(crate) fn user(user: &User, profile: &Profile, accounts: Option<Value>) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("id", json!(user.id));
    put("email", json!(user.email));
    put("created", json!(user.created.as_millisecond()));
    put("updated", json!(user.updated.as_millisecond()));
    put("type", json!("user"));
    if profile.terms {
        put("termsAndConditions", json!(true));
    }
    if user.verified {
        put("verified", json!(true));
    }
    if let Some(accounts) = accounts {
        put("accounts", accounts);
    }
    if !profile.attributes.is_empty() {
        put("attributes", Value::Object(profile.attributes.clone()));
    }
    Value::Object(all)
}

/// The person behind the token, with its accounts as they are now.
pub(crate) async fn own_user(app: &App, holder: &Holder) -> Result<Value, Problem> {
    let caller = holder.person.caller();
    let profile = app.identity.profile(&caller, holder.person.user.id).await?;
    let mut accounts = Map::new();
    for member in app.identity.memberships_of(&caller).await? {
        let entry = json!({
            "name": account_name(&member.tenant),
            "role": tokens::role(member.membership.role),
            "healthTimePeriod": 86_400,
        });
        accounts.insert(member.tenant.id.to_string(), entry);
    }
    Ok(user(&holder.person.user, &profile, (!accounts.is_empty()).then_some(Value::Object(accounts))))
}

/// An account.
pub(crate) fn account(account: &Account) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("id", json!(account.tenant.id));
    put("name", json!(account.name));
    for (name, usual) in NUMBERS {
        put(name, account.settings.get(name).cloned().unwrap_or_else(|| json!(usual)));
    }
    put("settings", account.settings.get("settings").cloned().unwrap_or_else(|| json!({ "trackSensorHealth": false })));
    put("attributes", Value::Object(account.attributes.clone()));
    if let Some(code) = &account.code {
        put("activation_code", json!(code.code.expose_secret()));
        put("activation_code_expire_date", json!(code.expires.as_millisecond()));
    }
    put("created", json!(account.tenant.created.as_millisecond()));
    put("updated", json!(account.updated.as_millisecond()));
    Value::Object(all)
}

/// Does the account watch its sensors' health?
pub(crate) fn tracks_health(settings: &Map<String, Value>) -> bool {
    settings.get("settings").and_then(|s| s.get("trackSensorHealth")).and_then(Value::as_bool).unwrap_or(false)
}

/// An activation code. `timeLeft` is not what is left but when it ends, in seconds: that is what clients were given.
pub(crate) fn activation_code(code: Option<&ActivationCode>) -> Value {
    match code {
        Some(code) => {
            let seconds = code.expires.as_millisecond().saturating_add(500).div_euclid(1_000);
            json!({ "activationCode": code.code.expose_secret(), "timeLeft": seconds })
        }
        None => json!({ "activationCode": null, "timeLeft": null }),
    }
}

/// A token's JOSE header.
pub(crate) fn jose_header(token: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?).ok()
}
