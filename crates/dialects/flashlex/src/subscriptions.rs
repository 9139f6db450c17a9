//! Subscriptions: the tenant's plan in the current period, and what of it is used.

use axum::extract::State;
use model::{Caller, Error, Permission, Permissions, Result};
use things::Usage;

use crate::auth::{PathId, User};
use crate::error::Answer;
use crate::respond::ok;
use crate::wire::{Period, Policy, PolicyStatement, Subscription, SubscriptionPolicy, namespace};
use crate::{App, Shared};

pub(crate) async fn list(State(app): Shared, user: User) -> Answer {
    let usage = app.things.usage(&user.caller).await?;
    Ok(ok("Subscriptions found.", [subscription(&user.caller, &usage)]))
}

pub(crate) async fn active(State(app): Shared, user: User) -> Answer {
    let usage = app.things.usage(&user.caller).await?;
    Ok(ok("Subscription found.", statement(&user.caller, &usage)))
}

pub(crate) async fn one(State(app): Shared, user: User, PathId(id): PathId) -> Answer {
    let usage = app.things.usage(&user.caller).await?;
    let subscription = subscription(&user.caller, &usage);
    if id.and_then(|id| id.parse().ok()) != Some(subscription.flsubscriptionspk) {
        return Err(Error::not_found("subscription").into());
    }
    Ok(ok("Subscription found.", subscription))
}

/// The plan and its use, for a refusal. Whoever ran into the plan's end is told where it is, a thing included.
pub(crate) async fn policy(app: &App, caller: &Caller) -> Result<SubscriptionPolicy> {
    let reader = Caller { permissions: Permissions::of(&[Permission::TenantRead]), ..caller.clone() };
    let usage = app.things.usage(&reader).await?;
    Ok(statement(caller, &usage))
}

fn subscription(caller: &Caller, usage: &Usage) -> Subscription {
    Subscription::new(
        caller,
        &Period {
            plan: usage.plan.name,
            retention_days: usage.plan.retention.as_secs() / 86_400,
            start: usage.period_start,
            end: usage.period_end,
        },
    )
}

fn statement(caller: &Caller, usage: &Usage) -> SubscriptionPolicy {
    let statement = [usage.things, usage.collected, usage.published].map(|quota| PolicyStatement::new(namespace(caller), quota));
    SubscriptionPolicy { subscription: subscription(caller, usage), policy: Policy { statement: statement.into() } }
}
