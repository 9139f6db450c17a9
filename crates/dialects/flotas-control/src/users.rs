//! Users: members of the tenant (contracts/flotas-control.md 3.9).

use std::collections::HashMap;

use identity::{NewUser, UserChange};
use model::{Error, Membership, PageRequest, Result, Role, User, UserId};
use serde_json::Value;

use crate::asking::Asking;
use crate::error::Problem;
use crate::people::{Body, FIXED, KNOWN, View, Wish, view};
use crate::reply::Reply;
use crate::wire::named;
use crate::{Shared, patch};

fn id(text: &str) -> Result<UserId> {
    text.parse().map_err(|_| Error::not_found("user"))
}

/// A member of the caller's tenant; nobody else's user is there.
async fn member(app: &Shared, asking: &Asking, user: UserId) -> Result<(User, Membership)> {
    let membership = app.identity.membership(&asking.caller, user).await?;
    Ok((app.identity.user(&asking.caller, user).await?, membership))
}

async fn shown(app: &Shared, asking: &Asking, user: UserId) -> Result<View> {
    let (user, membership) = member(app, asking, user).await?;
    let profile = app.things.profile(&asking.caller, user.id).await?;
    Ok(view(&user, &membership, profile.as_ref()))
}

pub(crate) async fn list(app: &Shared, asking: &Asking) -> Result<Reply> {
    let profiles: HashMap<_, _> = app.things.profiles(&asking.caller).await?.into_iter().map(|p| (p.user, p)).collect();
    let mut users = Vec::new();
    let mut page = PageRequest::max();
    loop {
        let members = app.identity.members(&asking.caller, &page).await?;
        users.extend(members.items.iter().map(|m| view(&m.user, &m.membership, profiles.get(&m.user.id))));
        match members.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(Reply::ok(&named("users", users)).with_null_error()),
        }
    }
}

pub(crate) async fn one(app: &Shared, asking: &Asking, user: &str) -> Result<Reply> {
    Ok(Reply::ok(&shown(app, asking, id(user)?).await?).with_null_error())
}

pub(crate) async fn create(app: &Shared, asking: &Asking, body: &[u8]) -> Result<Reply> {
    asking.caller.require(model::Permission::UserWrite)?;
    let wish = edge::json::<Body>(body)?.wish(true)?;
    let fields = wish.fields.stored()?;
    things::check_profile(&fields)?;
    let _one_at_a_time = app.people.lock().await;
    let new = NewUser {
        email: wish.email,
        password: wish.password,
        given_name: Some(wish.given_name),
        family_name: wish.family_name,
        membership: Some((asking.caller.tenant, wish.role.unwrap_or(Role::Reader))),
        ..NewUser::default()
    };
    let user = app.identity.create_user(&asking.caller, new).await?.id;
    if wish.disabled {
        app.identity.update_user(&asking.caller, user, UserChange { disabled: Some(true), ..UserChange::default() }).await?;
    }
    app.things.set_profile(&asking.caller, user, &fields).await?;
    Ok(Reply::created(&shown(app, asking, user).await?).with_null_error())
}

pub(crate) async fn replace(app: &Shared, asking: &Asking, user: &str, body: &[u8]) -> Result<Reply> {
    let wish = edge::json::<Body>(body)?.wish(true)?;
    let _one_at_a_time = app.people.lock().await;
    let (user, membership) = member(app, asking, id(user)?).await?;
    make_so(app, asking, &user, &membership, wish).await?;
    Ok(Reply::ok(&shown(app, asking, user.id).await?).with_null_error())
}

pub(crate) async fn change(app: &Shared, asking: &Asking, user: &str, body: &[u8]) -> std::result::Result<Reply, Problem> {
    let operations = patch::read(body)?;
    let _one_at_a_time = app.people.lock().await;
    let (user, membership) = member(app, asking, id(user)?).await?;
    asking.caller.require(model::Permission::UserWrite)?;
    let profile = app.things.profile(&asking.caller, user.id).await?;
    let before = patch::document(&view(&user, &membership, profile.as_ref())).map_err(Problem::Patch)?;
    let after = patch::apply(&before, &operations, FIXED, KNOWN).map_err(Problem::Patch)?;
    let privileges_stay = after.get("privileges") == before.get("privileges");
    let body: Body = serde_json::from_value(Value::Object(after)).map_err(|e| Problem::Patch(e.to_string()))?;
    let mut wish = body.wish(false)?;
    if privileges_stay {
        wish.role = None;
    }
    make_so(app, asking, &user, &membership, wish).await?;
    Ok(Reply::ok(&shown(app, asking, user.id).await?).with_null_error())
}

/// Makes a member what it is to be: only what differs is changed, so that fields can be changed where the account may not.
async fn make_so(app: &Shared, asking: &Asking, user: &User, membership: &Membership, wish: Wish) -> Result<()> {
    let caller = &asking.caller;
    caller.require(model::Permission::UserWrite)?;
    let mut fields = wish.fields;
    if wish.role.is_none() {
        fields.privileges = crate::people::Fields::of(app.things.profile(caller, user.id).await?.as_ref()).privileges;
    }
    let fields = fields.stored()?;
    things::check_profile(&fields)?;
    // A name that is shown in place of a missing one (the address) is none when it comes back.
    let renamed = wish.name != crate::people::name(user);
    let name = |name: &Option<String>, wish: Option<String>| (renamed && *name != wish).then_some(wish);
    let change = UserChange {
        email: (user.email != wish.email).then_some(wish.email),
        given_name: name(&user.given_name, Some(wish.given_name)),
        family_name: name(&user.family_name, wish.family_name),
        disabled: (user.disabled != wish.disabled).then_some(wish.disabled),
        ..UserChange::default()
    };
    let account = change.email.is_some() || change.given_name.is_some() || change.family_name.is_some() || change.disabled.is_some();
    let role = wish.role.filter(|role| !crate::people::alike(*role, membership.role));
    // What may be refused comes first, and is undone when what follows is; the rest was checked before.
    if let Some(role) = role {
        app.identity.change_role(caller, user.id, role).await?;
    }
    // A password needs the same reach as the account, so it asks for that here.
    if (account || wish.password.is_some())
        && let Err(refused) = app.identity.update_user(caller, user.id, change).await
    {
        if role.is_some() {
            app.identity.change_role(caller, user.id, membership.role).await?;
        }
        return Err(refused);
    }
    if let Some(password) = wish.password {
        app.identity.set_password(caller, user.id, &password).await?;
    }
    app.things.set_profile(caller, user.id, &fields).await
}

pub(crate) async fn remove(app: &Shared, asking: &Asking, user: &str) -> Result<Reply> {
    let _one_at_a_time = app.people.lock().await;
    let (user, _) = member(app, asking, id(user)?).await?;
    match app.identity.delete_user(&asking.caller, user.id).await {
        // Its account is other tenants' too: here it only ceases to be a member.
        Err(Error::Forbidden(model::Denial::Rule(_))) => app.identity.remove_member(&asking.caller, user.id).await?,
        other => other?,
    }
    Ok(Reply::empty().with_null_error())
}
