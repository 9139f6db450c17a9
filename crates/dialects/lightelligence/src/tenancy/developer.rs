//! `/application-developer`: applications as their developers see them.

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post, put};
use edge::Payload;
use http::StatusCode;
use identity::{
    AllowedTenant, Application, ApplicationChange, CustomPermissionRecord, ExposeSecret as _, Grants, NewApplication, NewCustomPermission,
};
use model::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::catalogue::{self, Named};
use super::wire::{self, nullable, plain_name};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{data, list, nothing};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/application-developer/applications", get(applications).post(create)),
        ("/v1/application-developer/applications/{application}", get(application).patch(update).delete(remove)),
        ("/v1/application-developer/applications/{application}/secret", post(renew_secret)),
        ("/v1/application-developer/applications/{application}/allowed-tenants", get(allowed_tenants)),
        ("/v1/application-developer/applications/{application}/allowed-tenants/{tenant}", put(allow).delete(disallow)),
    ]
}

/// Custom permissions answer with the codes of users and roles.
pub(super) fn permission_routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/application-developer/applications/{application}/custom-permissions", get(permissions).post(create_permission)),
        (
            "/v1/application-developer/applications/{application}/custom-permissions/{permission}",
            get(permission).patch(update_permission).delete(remove_permission),
        ),
    ]
}

fn app_id(text: &str) -> Result<Uuid> {
    wire::id("applicationId", text)
}

/// `permissions` of an application: what it wants on its own, and on its users' behalf.
#[derive(Deserialize)]
pub(super) struct Wants {
    client: Vec<Named>,
    user: Vec<Named>,
}

impl Wants {
    pub(super) fn grants(&self) -> Result<(Grants, Grants)> {
        Ok((catalogue::grants(&self.client)?, catalogue::grants(&self.user)?))
    }
}

fn wanted(application: &Application) -> Value {
    let record = &application.record;
    json!({ "client": catalogue::references(Some(&record.wants_client)), "user": catalogue::references(record.wants_user.as_ref()) })
}

fn status(application: &Application) -> &'static str {
    if application.record.active { "active" } else { "inactive" }
}

/// What every answer holds. `confidental` is how the platform spells it.
fn basic(application: &Application) -> Map<String, Value> {
    let record = &application.record;
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
    put("withPublicOauth2Client", json!(application.public_client.is_some()));
    if let Some(client) = &application.public_client {
        put("publicOauth2Client", json!({ "id": client, "type": "public" }));
    }
    put("status", json!(status(application)));
    put("updatedAt", json!(record.updated));
    all
}

fn listed(application: &Application) -> Map<String, Value> {
    let mut all = basic(application);
    all.insert("oauth2Client".to_owned(), json!({ "id": application.client, "type": "confidental" }));
    all.insert("tenantId".to_owned(), json!(application.record.tenant));
    all.insert("installationsCount".to_owned(), json!(application.installations));
    all.insert("createdAt".to_owned(), json!(application.record.created));
    all
}

fn full(application: &Application) -> Map<String, Value> {
    let mut all = listed(application);
    all.insert("redirectUris".to_owned(), json!(application.redirect_uris));
    all.insert("permissions".to_owned(), wanted(application));
    all
}

fn allowed(tenant: &AllowedTenant) -> Value {
    let record = &tenant.record;
    let mut all = json!({
        "tenantId": record.tenant,
        "installed": tenant.name.is_some(),
        "comment": record.comment,
        "createdAt": record.created,
    });
    if let (Some(name), Some(all)) = (&tenant.name, all.as_object_mut()) {
        all.insert("tenantName".to_owned(), json!(name));
    }
    all
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AllowedBody {
    tenant_id: String,
    comment: Option<String>,
}

/// An application, new or changed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApplicationBody {
    name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    teaser_description: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    url: Option<Option<String>>,
    with_public_oauth2_client: Option<bool>,
    status: Option<String>,
    redirect_uris: Option<Vec<String>>,
    allowed_tenants: Option<Vec<AllowedBody>>,
    permissions: Option<Wants>,
}

impl ApplicationBody {
    fn read(payload: Payload) -> Result<Self> {
        let body: Self = wire::object(payload)?;
        if let Some(name) = &body.name {
            plain_name("name", name, 3, 32)?;
        }
        Ok(body)
    }
}

async fn create(State(app): State<App>, caller: Asking, payload: Payload) -> Answer {
    caller.require(model::Permission::ClientWrite)?;
    let body = ApplicationBody::read(payload)?;
    let wants = body.permissions.as_ref().map(Wants::grants).transpose()?;
    let declared = wants.is_some();
    let (wants_client, wants_user) = wants.unzip();
    let mut tenants = Vec::new();
    for one in body.allowed_tenants.unwrap_or_default() {
        tenants.push((wire::id("allowedTenants", &one.tenant_id)?, one.comment.unwrap_or_default()));
    }
    let new = NewApplication {
        name: body.name.ok_or_else(|| Error::invalid("name", "is missing"))?,
        teaser: body.teaser_description.flatten(),
        url: body.url.flatten(),
        public: body.with_public_oauth2_client.unwrap_or_default(),
        redirect_uris: body.redirect_uris.unwrap_or_default(),
        allowed: tenants,
        wants_client: wants_client.unwrap_or_default(),
        wants_user,
    };
    let (application, secret) = app.identity.create_application(&caller, new).await?;
    let mut all = full(&application);
    if !declared {
        all.remove("permissions");
    }
    let client = json!({ "id": application.client, "secret": secret.expose_secret(), "type": "confidental" });
    all.insert("oauth2Client".to_owned(), client);
    let rows = app.identity.allowed_tenants(&caller, application.record.id, identity::Span::max()).await;
    // Who may make applications need not be allowed to see them.
    let rows = rows.map(|l| l.items.iter().map(allowed).collect::<Vec<_>>()).unwrap_or_default();
    all.insert("allowedTenants".to_owned(), json!(rows));
    Ok(data(StatusCode::CREATED, all))
}

async fn applications(State(app): State<App>, caller: Asking, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.applications(&caller, span).await?;
    Ok(list(paging, all.total, all.items.iter().map(listed).collect::<Vec<_>>()))
}

async fn application(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    let application = app.identity.application(&caller, app_id(&application)?).await?;
    Ok(data(StatusCode::OK, full(&application)))
}

async fn update(State(app): State<App>, caller: Asking, Path(application): Path<String>, payload: Payload) -> Answer {
    let id = app_id(&application)?;
    caller.require(model::Permission::ClientWrite)?;
    let body = ApplicationBody::read(payload)?;
    let active = match body.status.as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("inactive") => Some(false),
        Some(_) => return Err(Error::invalid("status", "must be active or inactive").into()),
    };
    let change = ApplicationChange {
        name: body.name,
        teaser: body.teaser_description,
        url: body.url,
        public: body.with_public_oauth2_client,
        active,
        redirect_uris: body.redirect_uris,
        wants: body.permissions.as_ref().map(Wants::grants).transpose()?,
    };
    let application = app.identity.update_application(&caller, id, change).await?;
    let mut all = basic(&application);
    all.insert("redirectUris".to_owned(), json!(application.redirect_uris));
    all.insert("permissions".to_owned(), wanted(&application));
    Ok(data(StatusCode::OK, all))
}

async fn remove(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    app.identity.delete_application(&caller, app_id(&application)?).await?;
    Ok(nothing())
}

async fn renew_secret(State(app): State<App>, caller: Asking, Path(application): Path<String>) -> Answer {
    let secret = app.identity.renew_application_secret(&caller, app_id(&application)?).await?;
    Ok(data(StatusCode::CREATED, json!({ "secret": secret.expose_secret() })))
}

async fn allowed_tenants(State(app): State<App>, caller: Asking, Path(application): Path<String>, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.allowed_tenants(&caller, app_id(&application)?, span).await?;
    Ok(list(paging, all.total, all.items.iter().map(allowed).collect::<Vec<_>>()))
}

#[derive(Default, Deserialize)]
struct Comment {
    comment: Option<String>,
}

async fn allow(State(app): State<App>, caller: Asking, Path((application, tenant)): Path<(String, String)>, payload: Payload) -> Answer {
    let (id, tenant) = (app_id(&application)?, wire::id("tenantId", &tenant)?);
    let body: Comment = wire::optional(payload)?.unwrap_or_default();
    let made = app.identity.allow_tenant(&caller, id, tenant, body.comment.as_deref()).await?;
    Ok(data(StatusCode::OK, allowed(&made)))
}

async fn disallow(State(app): State<App>, caller: Asking, Path((application, tenant)): Path<(String, String)>) -> Answer {
    app.identity.disallow_tenant(&caller, app_id(&application)?, wire::id("tenantId", &tenant)?).await?;
    Ok(nothing())
}

fn custom(permission: &CustomPermissionRecord) -> Value {
    let mut all = json!({
        "id": permission.id,
        "alias": permission.alias,
        "category": permission.category,
        "name": permission.name,
        "applicationId": permission.application,
        "createdAt": permission.created,
        "updatedAt": permission.updated,
    });
    if let (Some(text), Some(all)) = (&permission.description, all.as_object_mut()) {
        all.insert("description".to_owned(), json!(text));
    }
    all
}

#[derive(Deserialize)]
struct PermissionBody {
    alias: Option<String>,
    category: Option<String>,
    name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    description: Option<Option<String>>,
}

async fn create_permission(State(app): State<App>, caller: Asking, Path(application): Path<String>, payload: Payload) -> Answer {
    let id = app_id(&application)?;
    caller.require(model::Permission::ClientWrite)?;
    let body: PermissionBody = wire::object(payload)?;
    let needed = |field, value: Option<String>| value.ok_or_else(|| Error::invalid(field, "is missing"));
    let new = NewCustomPermission {
        alias: needed("alias", body.alias)?,
        name: needed("name", body.name)?,
        category: needed("category", body.category)?,
        description: body.description.flatten(),
    };
    if !(3..=255).contains(&new.alias.trim().chars().count()) {
        return Err(Error::invalid("alias", "must be 3 to 255 characters").into());
    }
    plain_name("name", &new.name, 3, 255)?;
    plain_name("category", &new.category, 3, 32)?;
    let made = app.identity.create_custom_permission(&caller, id, new).await?;
    Ok(data(StatusCode::CREATED, custom(&made)))
}

async fn permissions(State(app): State<App>, caller: Asking, Path(application): Path<String>, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.custom_permissions(&caller, app_id(&application)?, span).await?;
    Ok(list(paging, all.total, all.items.iter().map(custom).collect::<Vec<_>>()))
}

fn permission_id(text: &str) -> Result<Uuid> {
    wire::id("permissionId", text)
}

async fn permission(State(app): State<App>, caller: Asking, Path((application, permission)): Path<(String, String)>) -> Answer {
    let found = app.identity.custom_permission(&caller, app_id(&application)?, permission_id(&permission)?).await?;
    Ok(data(StatusCode::OK, custom(&found)))
}

async fn update_permission(
    State(app): State<App>,
    caller: Asking,
    Path((application, permission)): Path<(String, String)>,
    payload: Payload,
) -> Answer {
    let (id, permission) = (app_id(&application)?, permission_id(&permission)?);
    caller.require(model::Permission::ClientWrite)?;
    let body: PermissionBody = wire::object(payload)?;
    if body.alias.is_some() || body.name.is_some() {
        return Err(Error::invalid("body", "name and alias cannot be changed").into());
    }
    if let Some(category) = &body.category {
        plain_name("category", category, 3, 32)?;
    }
    let description = body.description.as_ref().map(Option::as_deref);
    let changed = app.identity.update_custom_permission(&caller, id, permission, body.category.as_deref(), description).await?;
    let mut all = json!({ "id": changed.id, "category": changed.category, "updatedAt": changed.updated });
    if let (Some(text), Some(all)) = (&changed.description, all.as_object_mut()) {
        all.insert("description".to_owned(), json!(text));
    }
    Ok(data(StatusCode::OK, all))
}

async fn remove_permission(State(app): State<App>, caller: Asking, Path((application, permission)): Path<(String, String)>) -> Answer {
    app.identity.delete_custom_permission(&caller, app_id(&application)?, permission_id(&permission)?).await?;
    Ok(nothing())
}
