//! Users and their roles in the tenant.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::{Error, UserId};

use super::Created;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, id};
use crate::wire::{Member, Membership, MembershipPatch, NewMembership, NewPassword, NewUser, Page, Paging, User, UserPatch};
use crate::{App, Failure};

/// List users
///
/// An operator sees all users of the gateway, anyone else those of its tenant.
#[utoipa::path(get, path = "/users", tag = "users", params(Paging), responses((status = 200, description = "Users by id", body = Page<User>)))]
pub async fn list_users(State(app): State<App>, Auth(caller): Auth, Params(paging): Params<Paging>) -> Result<Json<Page<User>>> {
    let page = app.identity.users(&caller, &paging.request()?).await?;
    Ok(Json(Page::of(page)))
}

/// Create a user
///
/// It becomes a member of the tenant.
#[utoipa::path(
    post, path = "/users", tag = "users", request_body = NewUser,
    responses((status = 201, description = "The user", body = User, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn create_user(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewUser>) -> Result<Created<User>> {
    let new = identity::NewUser {
        id: new.id.map(UserId),
        email: new.email,
        username: new.username,
        password: new.password.map(|s| s.0),
        given_name: new.given_name,
        family_name: new.family_name,
        verified: new.verified,
        operator: new.operator,
        membership: new.role.map(|role| (caller.tenant, role)),
    };
    let user = app.identity.create_user(&caller, new).await?;
    Ok(Created::at(["users", &user.id.to_string()], user.into()))
}

/// Get a user
#[utoipa::path(
    get, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "Its id, or `me`")),
    responses((status = 200, description = "The user", body = User))
)]
pub async fn get_user(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<User>> {
    Ok(Json(app.identity.user(&caller, user(&caller, &text)?).await?.into()))
}

/// Change a user
///
/// A merge patch (RFC 7396): absent members stay, null removes. A user may change its own names and address.
#[utoipa::path(
    patch, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "Its id, or `me`")), request_body = UserPatch,
    responses((status = 200, description = "The user", body = User))
)]
pub async fn update_user(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(patch): Body<UserPatch>,
) -> Result<Json<User>> {
    let change = identity::UserChange {
        email: patch.email,
        username: patch.username,
        given_name: patch.given_name,
        family_name: patch.family_name,
        verified: patch.verified,
        disabled: patch.disabled,
        operator: patch.operator,
    };
    Ok(Json(app.identity.update_user(&caller, user(&caller, &text)?, change).await?.into()))
}

/// Delete a user
///
/// Its tokens and keys end at once.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "Its id, or `me`")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_user(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.identity.delete_user(&caller, user(&caller, &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set a user's password
///
/// Its sessions end; tokens it holds end at once.
#[utoipa::path(
    put, path = "/users/{id}/password", tag = "users", params(("id" = String, Path, description = "Its id, or `me`")),
    request_body = NewPassword, responses((status = 204, description = "It is set"))
)]
pub async fn set_password(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(new): Body<NewPassword>,
) -> Result<StatusCode> {
    app.identity.set_password(&caller, user(&caller, &text)?, &new.password.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List members
///
/// The tenant's users with their roles.
#[utoipa::path(
    get, path = "/memberships", tag = "users", params(Paging),
    responses((status = 200, description = "Members by user id", body = Page<Member>))
)]
pub async fn list_members(State(app): State<App>, Auth(caller): Auth, Params(paging): Params<Paging>) -> Result<Json<Page<Member>>> {
    let page = app.identity.members(&caller, &paging.request()?).await?;
    Ok(Json(Page::of(page)))
}

/// Add a member
///
/// An existing user, by id or by address. Users of other tenants are known to operators only.
#[utoipa::path(
    post, path = "/memberships", tag = "users", request_body = NewMembership,
    responses((status = 201, description = "The membership", body = Membership, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn add_member(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewMembership>) -> Result<Created<Membership>> {
    let user = match (new.user, &new.email) {
        (Some(id), None) => UserId(id),
        (None, Some(login)) => app.identity.user_named(&caller, login).await?.id,
        _ => return Err(Failure::input("user", "give user or email")),
    };
    let membership = app.identity.add_member(&caller, user, new.role).await?;
    Ok(Created::at(["memberships", &user.to_string()], membership.into()))
}

/// Change a member's role
#[utoipa::path(
    patch, path = "/memberships/{user}", tag = "users", params(("user" = uuid::Uuid, Path, description = "The user's id")),
    request_body = MembershipPatch, responses((status = 200, description = "The membership", body = Membership))
)]
pub async fn change_role(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(patch): Body<MembershipPatch>,
) -> Result<Json<Membership>> {
    Ok(Json(app.identity.change_role(&caller, id("membership", &text)?, patch.role).await?.into()))
}

/// Remove a member
///
/// The user stays; what it may do in the tenant ends at once.
#[utoipa::path(
    delete, path = "/memberships/{user}", tag = "users", params(("user" = uuid::Uuid, Path, description = "The user's id")),
    responses((status = 204, description = "It is no member any more"))
)]
pub async fn remove_member(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.identity.remove_member(&caller, id("membership", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A user by id, or the calling user as `me`.
/// A user's id, or the caller's own.
pub(super) fn user(caller: &model::Caller, text: &str) -> Result<UserId> {
    if text == "me" { caller.user().ok_or_else(|| Error::not_found("user").into()) } else { id("user", text) }
}
