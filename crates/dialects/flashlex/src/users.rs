//! `GET /users/{sub}`: oneself, or another member of one's tenant.

use axum::extract::State;
use model::Error;

use crate::auth::{PathId, User};
use crate::error::Answer;
use crate::respond::ok;
use crate::wire::UserWire;
use crate::{Shared, names};

pub(crate) async fn one(State(app): Shared, user: User, PathId(id): PathId) -> Answer {
    let id = names::user_id(&id.ok_or(Error::not_found("user"))?)?;
    let found = app.identity.user(&user.caller, id).await?;
    Ok(ok("User found.", UserWire::from(found)))
}
