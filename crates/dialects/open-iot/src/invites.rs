//! Invitations (contract 1.4).

use axum::extract::State;
use axum::response::Response;
use edge::Payload;
use http::StatusCode;
use identity::{Invitation, account_name};
use model::{Caller, Error};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Answer, NOT_AUTHORIZED, NOT_AUTHORIZED_TEXT, Problem, SOLE_ADMIN};
use crate::holder::{At, Holder};
use crate::respond::json as write;
use crate::{App, Shared, mails, schema};

pub(crate) async fn list(State(app): Shared, at: At, holder: Holder) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    Ok(write(StatusCode::OK, &app.identity.invitations(&caller).await?))
}

pub(crate) async fn create(State(app): Shared, at: At, holder: Holder, body: Payload) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    let body = schema::object(&body.0?, schema::EMAIL)?;
    caller.require(model::Permission::UserWrite)?;
    app.identity.may_mail(body.text("email")).await?;
    let invitation = app.identity.invite(&caller, body.text("email")).await?;
    app.notify.mail(mails::invitation(&invitation, &holder.person.user.email, &app.identity.public_url())).await?;
    Ok(write(StatusCode::CREATED, &wire(&invitation)))
}

pub(crate) async fn withdraw(State(app): Shared, at: At, holder: Holder) -> Answer {
    let caller = holder.within(&app, &at.account).await?;
    let leaving = holder.is(&at.email) || at.email.eq_ignore_ascii_case(&holder.person.user.email);
    match leave_or_withdraw(&app, &caller, &holder, &at.email, leaving).await {
        Ok(()) => Ok(write(StatusCode::OK, &"OK")),
        Err(Error::Conflict { what: "member", .. }) => Err(SOLE_ADMIN.into()),
        Err(error) => Err(error.into()),
    }
}

async fn leave_or_withdraw(app: &App, caller: &Caller, holder: &Holder, who: &str, leaving: bool) -> model::Result<()> {
    if leaving { app.identity.remove_member(caller, holder.person.user.id).await } else { app.identity.withdraw(caller, who).await }
}

/// What one is invited to; nobody else's business.
pub(crate) async fn mine(State(app): Shared, at: At, holder: Holder) -> Answer {
    if !at.email.eq_ignore_ascii_case(&holder.person.user.email) {
        return Err(NOT_AUTHORIZED);
    }
    let all: Vec<Value> = app.identity.invitations_to(&holder.person).await?.iter().map(wire).collect();
    Ok(write(StatusCode::OK, &all))
}

/// Refusals are text here.
pub(crate) async fn answer(State(app): Shared, at: At, holder: Holder, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::ACCEPT)?;
    let accept = body.bool("accept").unwrap_or(false);
    let absent = Problem::Text(StatusCode::NOT_FOUND, "Invitation not found");
    let Ok(id) = Uuid::parse_str(&at.invite) else { return Err(absent) };
    match app.identity.answer_invitation(&holder.person, id, accept).await {
        Ok(invitation) => Ok(answered(&invitation, accept)),
        Err(Error::NotFound { .. }) => Err(absent),
        Err(Error::Forbidden(_)) => Err(NOT_AUTHORIZED_TEXT),
        Err(error) => Err(error.into()),
    }
}

fn answered(invitation: &Invitation, accept: bool) -> Response {
    if accept {
        return write(StatusCode::OK, &wire(invitation));
    }
    // The platform says 200 and means 204.
    write(StatusCode::OK, &json!({ "code": 204, "status": 204, "message": "Delete OK" }))
}

fn wire(invitation: &Invitation) -> Value {
    json!({
        "_id": invitation.id,
        "email": invitation.email,
        "accountId": invitation.tenant.id,
        "domainId": invitation.tenant.id,
        "accountName": account_name(&invitation.tenant),
    })
}
