//! `login` and `logout` (seed; contracts/flash-payments.md 2).

use async_graphql::{Context, Enum, InputObject, SimpleObject};
use identity::{Credential, MemberOf, TenantChoice, TokenRef};
use model::Error;

use crate::TOKENS;
use crate::caller::{Asking, asking};
use crate::error::{code, must_not_reply, refuse};

/// With which subsidiary the account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Affiliation {
    /// Flash Payments Australia.
    FpAus,
    /// Flash Payments Luxembourg.
    FpLux,
}

impl Affiliation {
    fn name(self) -> &'static str {
        match self {
            Self::FpAus => "FP_AUS",
            Self::FpLux => "FP_LUX",
        }
    }
}

/// What to log in with.
#[derive(InputObject)]
pub(crate) struct LoginInput {
    /// E-mail address.
    email: String,
    /// Password.
    password: String,
    /// Which account, for those who have several.
    affiliation: Option<Affiliation>,
}

/// What comes of a login.
#[derive(Default, SimpleObject)]
pub(crate) struct LoginReply {
    /// Did it succeed?
    success: Option<bool>,
    /// `SUCCESS`, `UNREGISTERED`, `NEED_AFFILIATION` or `WRONG_CREDENTIALS`.
    code: Option<String>,
    /// The same in words.
    message: Option<String>,
    /// The token, to be sent as `authorization: Bearer TOKEN`; read its `exp`.
    token: Option<String>,
}

/// What comes of a mutation that gives nothing back.
#[derive(Default, SimpleObject)]
pub(crate) struct Reply {
    /// Did it succeed?
    pub(crate) success: Option<bool>,
    /// A code for the program.
    pub(crate) code: Option<String>,
    /// The same in words.
    pub(crate) message: Option<String>,
}

impl LoginReply {
    fn refused(code: &str, message: &str) -> Self {
        Self { success: Some(false), code: Some(code.to_owned()), message: Some(message.to_owned()), token: None }
    }
}

pub(crate) async fn login(ctx: &Context<'_>, input: LoginInput) -> async_graphql::Result<LoginReply> {
    let asking = asking(ctx)?;
    if !asking.shared.pace.admits(&input.email) {
        asking.too_many(1);
        return Ok(LoginReply::refused("TOO_MANY_REQUESTS", "Retry after 1 sec"));
    }
    match checked(asking, &input).await {
        Ok(reply) => Ok(reply),
        // One and the same for an unknown address and a wrong password: who knows neither learns nothing.
        Err(Error::Unauthenticated { .. }) => Ok(LoginReply::refused("WRONG_CREDENTIALS", "Wrong email or password")),
        Err(Error::TooMany { retry_after }) => {
            asking.too_many(retry_after.as_secs());
            Ok(LoginReply::refused("TOO_MANY_REQUESTS", "Too many tries"))
        }
        Err(error) => Err(refuse(error)),
    }
}

async fn checked(asking: &Asking, input: &LoginInput) -> model::Result<LoginReply> {
    let identity = &asking.shared.app.identity;
    let origin = (&asking.origin).into();
    let credential = Credential::Password { login: &input.email, password: &input.password };
    let home = identity.sign_in(credential, TenantChoice::Home, &origin).await?;
    let accounts = identity.memberships_of(&home.caller).await?;
    let affiliated: Vec<&MemberOf> = accounts.iter().filter(|a| a.tenant.affiliation.is_some()).collect();
    let chosen = match (input.affiliation, affiliated.as_slice()) {
        (Some(wanted), all) => match all.iter().find(|a| a.tenant.affiliation.as_deref() == Some(wanted.name())) {
            Some(account) => Some(*account),
            None => return Ok(LoginReply::refused("UNREGISTERED", "There is no account with this affiliation")),
        },
        (None, []) => None,
        (None, [only]) => Some(*only),
        (None, _) => return Ok(LoginReply::refused("NEED_AFFILIATION", "You have several accounts; say which with the field affiliation")),
    };
    let signed_in = match chosen {
        Some(account) if account.tenant.id != home.caller.tenant => {
            identity.sign_in(credential, TenantChoice::Id(account.tenant.id), &origin).await?
        }
        _ => home,
    };
    let issued = identity.issue(&signed_in, &TOKENS, asking.origin.label.as_deref()).await?;
    Ok(LoginReply { success: Some(true), code: Some("SUCCESS".to_owned()), message: Some("OK".to_owned()), token: Some(issued.token) })
}

pub(crate) async fn logout(ctx: &Context<'_>) -> async_graphql::Result<Reply> {
    let asking = asking(ctx)?;
    let outcome = async {
        let caller = asking.caller().await?;
        let token = asking.token.as_deref().unwrap_or_default();
        asking.shared.app.identity.revoke_token(&caller, TokenRef::Text(token)).await
    };
    reply(outcome.await, "SUCCESS", "Logged out")
}

/// A mutation's outcome as a reply; an error without a reply where there may be none.
pub(crate) fn reply(outcome: model::Result<()>, done: &str, message: &str) -> async_graphql::Result<Reply> {
    match outcome {
        Ok(()) => Ok(Reply { success: Some(true), code: Some(done.to_owned()), message: Some(message.to_owned()) }),
        Err(error) if must_not_reply(&error) => Err(refuse(error)),
        Err(error) => Ok(Reply { success: Some(false), code: Some(code(&error).to_owned()), message: Some(error.to_string()) }),
    }
}
