//! `/applications` as the tenants that use them see them, and `/application-info` as an application sees itself.

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get};
use edge::Payload;
use http::{HeaderMap, StatusCode};
use identity::{Agreed, Availability, InstallationRecord, Installing, OfferedApplication, account_name};
use model::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::developer::Wants;
use super::{catalogue, wire};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{data, list, nothing};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/applications", get(applications)),
        ("/v1/applications/{application}", get(application)),
        ("/v1/applications/{application}/permissions", get(permissions)),
        ("/v1/applications/{application}/installation", get(installation).post(install).put(put).patch(again).delete(uninstall)),
        ("/v1/application-info/installed-tenants", get(installed_tenants)),
        ("/v1/application-info/installation", get(own_installation)),
    ]
}

fn app_id(text: &str) -> Result<Uuid> {
    wire::id("applicationId", text)
}

fn status(offer: &OfferedApplication) -> &'static str {
    if offer.up_to_date() { "ok" } else { "outdated" }
}

fn offered(offer: &OfferedApplication) -> Map<String, Value> {
    let record = &offer.record;
    let code = match offer.availability {
        Availability::Available => "APP_AVAILABLE",
        Availability::Inactive => "APP_INACTIVE",
        Availability::Denied => "APP_DENIED",
    };
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("id", json!(record.id));
    put("name", json!(record.name));
    if let Some(teaser) = &record.teaser {
        put("teaserDescription", json!(teaser));
    }
    if let Some(url) = &record.url {
        put("url", json!(url));
    }
    put("available", json!(offer.availability == Availability::Available));
    put("availableCode", json!(code));
    if let Some(installation) = &offer.installation {
        put("installation", json!({ "tenantId": installation.tenant, "status": status(offer), "createdAt": installation.created }));
    }
    all
}

fn installed(offer: &OfferedApplication, installation: &InstallationRecord) -> Value {
    json!({
        "applicationId": offer.record.id,
        "tenantId": installation.tenant,
        "status": status(offer),
        "permissions": {
            "client": catalogue::references(Some(&installation.client)),
            "user": catalogue::references(installation.user.as_ref()),
        },
        "createdAt": installation.created,
        "updatedAt": installation.updated,
    })
}

fn the_installation(offer: &OfferedApplication) -> Result<Value> {
    let installation = offer.installation.as_ref().ok_or(Error::not_found("installation"))?;
    Ok(installed(offer, installation))
}

async fn applications(State(app): State<App>, caller: Asking, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let only = match query.one("installed")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Error::invalid("installed", "must be true or false").into()),
    };
    let all = app.identity.offered_applications(&caller, only, span).await?;
    Ok(list(paging, all.total, all.items.iter().map(offered).collect::<Vec<_>>()))
}

async fn application(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    let offer = app.identity.offered_application(&caller, app_id(&application)?).await?;
    Ok(data(StatusCode::OK, offered(&offer)))
}

async fn permissions(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    let wants = app.identity.offered_application(&caller, app_id(&application)?).await?.record;
    let user = catalogue::references(wants.wants_user.as_ref());
    Ok(data(StatusCode::OK, json!({ "client": catalogue::references(Some(&wants.wants_client)), "user": user })))
}

async fn installation(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    let offer = app.identity.offered_application(&caller, app_id(&application)?).await?;
    Ok(data(StatusCode::OK, the_installation(&offer)?))
}

#[derive(Deserialize)]
struct InstallationBody {
    permissions: Wants,
}

impl InstallationBody {
    fn agreed(&self) -> Result<Agreed> {
        let (client, user) = self.permissions.grants()?;
        Ok(Agreed { client: client.words, user: user.words })
    }
}

async fn install(State(app): State<App>, caller: Asking, Path(application): Path<String>, payload: Payload) -> Answer {
    let id = app_id(&application)?;
    caller.require(model::Permission::InstallationWrite)?;
    let agreed = wire::object::<InstallationBody>(payload)?.agreed()?;
    let offer = app.identity.install(&caller, id, Some(&agreed), Installing::Anew).await?;
    Ok(data(StatusCode::CREATED, the_installation(&offer)?))
}

/// As the SDK installs: without a body, as often as it likes.
async fn put(State(app): State<App>, caller: Asking, Path(application): Path<String>, payload: Payload) -> Answer {
    let id = app_id(&application)?;
    caller.require(model::Permission::InstallationWrite)?;
    let body: Option<OptionalInstallationBody> = wire::optional(payload)?;
    let agreed = match body.and_then(|b| b.permissions) {
        Some(permissions) => Some(InstallationBody { permissions }.agreed()?),
        None => None,
    };
    let offer = app.identity.install(&caller, id, agreed.as_ref(), Installing::Either).await?;
    Ok(data(StatusCode::OK, the_installation(&offer)?))
}

#[derive(Deserialize)]
struct OptionalInstallationBody {
    permissions: Option<Wants>,
}

async fn again(State(app): State<App>, caller: Asking, Path(application): Path<String>, payload: Payload) -> Answer {
    let id = app_id(&application)?;
    caller.require(model::Permission::InstallationWrite)?;
    let agreed = wire::object::<InstallationBody>(payload)?.agreed()?;
    let offer = app.identity.install(&caller, id, Some(&agreed), Installing::Again).await?;
    Ok(data(StatusCode::OK, the_installation(&offer)?))
}

async fn uninstall(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    app.identity.uninstall(&caller, app_id(&application)?).await?;
    Ok(nothing())
}

async fn installed_tenants(State(app): State<App>, caller: Asking, headers: HeaderMap, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.installed_tenants(&caller, wire::token(&headers), span).await?;
    let rows: Vec<_> = all.items.iter().map(|t| json!({ "tenantId": t.id, "name": account_name(t) })).collect();
    Ok(list(paging, all.total, rows))
}

async fn own_installation(State(app): State<App>, caller: Asking, headers: HeaderMap) -> Answer {
    let offer = app.identity.own_installation(&caller, wire::token(&headers)).await?;
    Ok(data(StatusCode::OK, the_installation(&offer)?))
}
