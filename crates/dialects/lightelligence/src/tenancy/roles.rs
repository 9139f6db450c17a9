//! `/roles` and `/permissions`.

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get};
use edge::Payload;
use http::StatusCode;
use identity::{NewRole, RoleChange, RoleHolder, TenantRole};
use model::{Caller, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::{self, Named};
use super::wire::{self, Reference, nullable};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{Paging, data, list, nothing};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/permissions", get(permissions)),
        ("/v1/roles", get(roles).post(create)),
        ("/v1/roles/{role}", get(role).patch(update).delete(remove)),
        ("/v1/roles/{role}/users", get(holders)),
    ]
}

/// A role where it is only named.
pub(super) fn brief(role: &TenantRole) -> Value {
    json!({ "id": role.id, "name": role.name, "description": role.description, "locked": role.base.is_some() })
}

fn custom(role: &TenantRole) -> Value {
    role.custom.iter().map(|p| json!({ "id": p.id, "alias": p.alias, "applicationId": p.application })).collect()
}

async fn full(app: &App, caller: &Caller, role: &TenantRole) -> Result<Value> {
    Ok(json!({
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "locked": role.base.is_some(),
        "usersCount": app.identity.count_holders(caller, role).await?,
        "permissionIds": catalogue::role_ids(role),
        "customPermissions": custom(role),
        "createdAt": role.created,
        "updatedAt": role.updated,
    }))
}

async fn all(app: &App, caller: &Caller, roles: &[TenantRole]) -> Result<Vec<Value>> {
    let mut rows = Vec::with_capacity(roles.len());
    for role in roles {
        rows.push(full(app, caller, role).await?);
    }
    Ok(rows)
}

async fn permissions(_: Asking) -> Answer {
    let all: Vec<_> = catalogue::ALL.iter().map(catalogue::Entry::full).collect();
    Ok(data(StatusCode::OK, json!({ "permissions": all })))
}

async fn roles(State(app): State<App>, caller: Asking, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let user = query.one("userId")?.map(wire::user).transpose()?;
    let found = app.identity.roles(&caller, user, span).await?;
    Ok(list(paging, found.total, all(&app, &caller, &found.items).await?))
}

async fn role(State(app): State<App>, caller: Asking, Path(role): Path<String>) -> Answer {
    let role = app.identity.role(&caller, wire::id("roleId", &role)?).await?;
    Ok(data(StatusCode::OK, full(&app, &caller, &role).await?))
}

/// A role, new or changed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleBody {
    name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    description: Option<Option<String>>,
    permissions: Option<Vec<Named>>,
    custom_permissions: Option<Vec<Reference>>,
}

impl RoleBody {
    fn change(self) -> Result<RoleChange> {
        if let Some(name) = &self.name {
            wire::plain_name("name", name, 3, 32)?;
        }
        Ok(RoleChange {
            name: self.name,
            description: self.description.map(Option::unwrap_or_default),
            grants: self.permissions.as_deref().map(catalogue::grants).transpose()?,
            custom: self.custom_permissions.as_deref().map(|all| wire::ids("customPermissions", all)).transpose()?,
        })
    }
}

async fn create(State(app): State<App>, caller: Asking, payload: Payload) -> Answer {
    caller.require(model::Permission::UserWrite)?;
    let RoleChange { name, description, grants, custom } = wire::object::<RoleBody>(payload)?.change()?;
    let new = NewRole {
        name: name.ok_or_else(|| Error::invalid("name", "is missing"))?,
        description: description.unwrap_or_default(),
        grants: grants.unwrap_or_default(),
        custom: custom.unwrap_or_default(),
    };
    let role = app.identity.create_role(&caller, new).await?;
    Ok(data(StatusCode::CREATED, full(&app, &caller, &role).await?))
}

async fn update(State(app): State<App>, caller: Asking, Path(role): Path<String>, payload: Payload) -> Answer {
    let id = wire::id("roleId", &role)?;
    caller.require(model::Permission::UserWrite)?;
    let change = wire::object::<RoleBody>(payload)?.change()?;
    let role = app.identity.update_role(&caller, id, change).await?;
    Ok(data(
        StatusCode::OK,
        json!({
            "id": role.id,
            "name": role.name,
            "description": role.description,
            "permissionIds": catalogue::role_ids(&role),
            "customPermissions": custom(&role),
            "updatedAt": role.updated,
        }),
    ))
}

async fn remove(State(app): State<App>, caller: Asking, Path(role): Path<String>) -> Answer {
    app.identity.delete_role(&caller, wire::id("roleId", &role)?).await?;
    Ok(nothing())
}

async fn holders(State(app): State<App>, caller: Asking, Path(role): Path<String>, query: Query) -> Answer {
    let (paging, span) = wire::paging(&query)?;
    let found = app.identity.role_holders(&caller, wire::id("roleId", &role)?, span).await?;
    let row = |holder: &RoleHolder| {
        let user = &holder.user;
        json!({
            "id": user.id,
            "email": user.email,
            "firstName": user.given_name.clone().unwrap_or_default(),
            "lastName": user.family_name.clone().unwrap_or_default(),
            "roleIds": holder.roles.iter().map(|r| r.id).collect::<Vec<_>>(),
        })
    };
    Ok(list(paging, found.total, found.items.iter().map(row).collect::<Vec<_>>()))
}

/// `GET /tenants/{tenantId}/users/{userId}/roles`.
pub(super) async fn of_member(
    State(app): State<App>,
    caller: Asking,
    Path((tenant, user)): Path<(String, String)>,
    query: Query,
) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    let paging: Paging = wire::paging(&query)?.0;
    let held = app.identity.member_roles(&caller, wire::user(&user)?).await?;
    let (total, held) = paging.cut(held);
    Ok(list(paging, total, all(&app, &caller, &held).await?))
}

/// `[{"id"}]` as the specification says, `{"id"}` as the documentation shows, `{"roles": [{"id"}]}` as the SDK's comments do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Several(Vec<Reference>),
    Named { roles: Vec<Reference> },
    One(Reference),
}

fn given(payload: Payload) -> Result<Vec<Uuid>> {
    let value: Value = edge::json(&payload.0?)?;
    let given: Given = serde_json::from_value(value).map_err(|_| Error::invalid("body", r#"must be [{"id": "…"}]"#))?;
    match &given {
        Given::Several(roles) | Given::Named { roles } => wire::ids("roles", roles),
        Given::One(role) => wire::ids("roles", std::slice::from_ref(role)),
    }
}

/// `PUT /tenants/{tenantId}/users/{userId}/roles`.
pub(super) async fn put_of_member(
    State(app): State<App>,
    caller: Asking,
    Path((tenant, user)): Path<(String, String)>,
    payload: Payload,
) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    caller.require(model::Permission::UserWrite)?;
    app.identity.set_member_roles(&caller, wire::user(&user)?, &given(payload)?).await?;
    Ok(nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_in_three_forms() {
        let id = "0190a0b0-1234-7abc-8def-0123456789ab";
        let read = |text: String| given(Payload(Ok(text.into())));
        for text in [format!(r#"[{{"id":"{id}"}}]"#), format!(r#"{{"id":"{id}"}}"#), format!(r#"{{"roles":[{{"id":"{id}"}}]}}"#)] {
            assert_eq!(read(text.clone()).unwrap(), [id.parse::<Uuid>().unwrap()], "{text}");
        }
        assert_eq!(read("[]".to_owned()).unwrap(), Vec::<Uuid>::new());
        for bad in ["", "{}", "7", r#"[{"id":"x"}]"#, r#"[{"name":"owner"}]"#, r#"["x"]"#] {
            assert!(read(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
