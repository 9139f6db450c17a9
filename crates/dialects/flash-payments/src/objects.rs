//! What the gateway holds, as GraphQL objects. Times are RFC 3339, UTC.

use async_graphql::{ComplexObject, Context, Enum, ID, Json, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::PageRequest;
use things::MessageFilter;

use crate::caller::{asking, caller};
use crate::error::refuse;

/// Who is logged in, where, and as what.
#[derive(SimpleObject)]
pub(crate) struct Me {
    /// The user.
    pub(crate) user: User,
    /// The tenant the token speaks for.
    pub(crate) tenant: Tenant,
    /// What the token may do.
    pub(crate) permissions: Vec<String>,
    /// Every tenant of the user.
    pub(crate) memberships: Vec<Membership>,
}

/// A person.
#[derive(SimpleObject)]
pub(crate) struct User {
    id: ID,
    email: String,
    given_name: Option<String>,
    family_name: Option<String>,
    verified: bool,
}

impl From<model::User> for User {
    fn from(u: model::User) -> Self {
        Self { id: u.id.to_string().into(), email: u.email, given_name: u.given_name, family_name: u.family_name, verified: u.verified }
    }
}

/// The unit of isolation; an affiliation leads to one.
#[derive(SimpleObject)]
pub(crate) struct Tenant {
    id: ID,
    name: String,
    /// `FP_AUS` or `FP_LUX`, where the tenant is an account of one of them.
    affiliation: Option<String>,
    plan: String,
    created: String,
}

impl From<model::Tenant> for Tenant {
    fn from(t: model::Tenant) -> Self {
        Self {
            id: t.id.to_string().into(),
            name: t.name,
            affiliation: t.affiliation,
            plan: t.plan.name().to_owned(),
            created: t.created.to_string(),
        }
    }
}

/// A user's role in a tenant.
#[derive(SimpleObject)]
pub(crate) struct Membership {
    pub(crate) tenant: Tenant,
    pub(crate) role: String,
    pub(crate) since: String,
}

/// A device.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct Thing {
    pub(crate) id: ID,
    /// The handle its makers chose.
    key: String,
    name: String,
    kind: String,
    distribution: String,
    tags: Vec<String>,
    attributes: Json<std::collections::BTreeMap<String, String>>,
    /// `CREATED`, or `VERIFIED` once its test message arrived.
    status: String,
    created: String,
    updated: String,
}

impl From<model::Thing> for Thing {
    fn from(t: model::Thing) -> Self {
        Self {
            id: t.id.to_string().into(),
            key: t.key,
            name: t.name,
            kind: t.kind,
            distribution: t.distribution,
            tags: t.tags,
            attributes: Json(t.attributes),
            status: if t.status == model::ThingStatus::Verified { "VERIFIED" } else { "CREATED" }.to_owned(),
            created: t.created.to_string(),
            updated: t.updated.to_string(),
        }
    }
}

#[ComplexObject]
impl Thing {
    /// Its newest messages.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] limit: u32,
        direction: Option<Direction>,
    ) -> async_graphql::Result<Vec<Message>> {
        let filter = MessageFilter { direction: direction.map(Into::into), ..MessageFilter::default() };
        let page = PageRequest::new(Some(limit), None).map_err(refuse)?;
        let things = &asking(ctx)?.shared.app.things;
        let found = things.messages(&caller(ctx).await?, &self.id, &filter, true, &page).await.map_err(refuse)?;
        Ok(found.items.into_iter().map(Message::from).collect())
    }
}

/// Which way a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(crate) enum Direction {
    /// From a thing.
    Inbound,
    /// To a thing.
    Outbound,
}

impl From<Direction> for model::Direction {
    fn from(d: Direction) -> Self {
        match d {
            Direction::Inbound => Self::Inbound,
            Direction::Outbound => Self::Outbound,
        }
    }
}

/// A message of or to a thing.
#[derive(SimpleObject)]
pub(crate) struct Message {
    id: ID,
    thing: ID,
    direction: Direction,
    at: String,
    topic: String,
    /// The payload where it is text.
    text: Option<String>,
    /// The payload where it is JSON.
    json: Option<Json<serde_json::Value>>,
    /// The payload, whatever it is.
    base64: String,
    /// `STORED`, `QUEUED`, `DELIVERED` or `EXPIRED`.
    status: String,
    expires: Option<String>,
}

impl From<model::Message> for Message {
    fn from(m: model::Message) -> Self {
        Self {
            id: m.id.to_string().into(),
            thing: m.thing.to_string().into(),
            direction: if m.direction == model::Direction::Inbound { Direction::Inbound } else { Direction::Outbound },
            at: m.at.to_string(),
            topic: m.topic,
            base64: STANDARD.encode(&m.payload),
            json: serde_json::from_slice(&m.payload).ok().map(Json),
            text: String::from_utf8(m.payload).ok(),
            status: match m.status {
                model::MessageStatus::Stored => "STORED",
                model::MessageStatus::Queued => "QUEUED",
                model::MessageStatus::Delivered => "DELIVERED",
                model::MessageStatus::Expired => "EXPIRED",
                model::MessageStatus::Dead => "DEAD",
            }
            .to_owned(),
            expires: m.expires.map(|at| at.to_string()),
        }
    }
}

/// A page of things.
#[derive(SimpleObject)]
pub(crate) struct ThingPage {
    pub(crate) items: Vec<Thing>,
    /// Where the next page begins; null on the last one.
    pub(crate) next: Option<String>,
}

/// A page of messages.
#[derive(SimpleObject)]
pub(crate) struct MessagePage {
    pub(crate) items: Vec<Message>,
    /// Where the next page begins; null on the last one.
    pub(crate) next: Option<String>,
}

/// One line of the audit trail.
#[derive(SimpleObject)]
pub(crate) struct AuditEntry {
    id: ID,
    at: String,
    actor: String,
    action: String,
    target: Option<String>,
    allowed: bool,
    detail: Option<String>,
    address: Option<String>,
}

impl From<model::AuditEntry> for AuditEntry {
    fn from(e: model::AuditEntry) -> Self {
        Self {
            id: e.id.to_string().into(),
            at: e.at.to_string(),
            actor: e.actor,
            action: e.action,
            target: e.target,
            allowed: e.allowed,
            detail: e.detail,
            address: e.address,
        }
    }
}

/// A page of the audit trail.
#[derive(SimpleObject)]
pub(crate) struct AuditPage {
    pub(crate) items: Vec<AuditEntry>,
    /// Where the next page begins; null on the last one.
    pub(crate) next: Option<String>,
}

/// What the tenant has used of its plan.
#[derive(SimpleObject)]
pub(crate) struct Usage {
    plan: String,
    period_start: String,
    period_end: String,
    things: Quota,
    collected: Quota,
    published: Quota,
}

/// A limit beside what is used. Counts may exceed 32 bits, so they are Floats.
#[derive(SimpleObject)]
pub(crate) struct Quota {
    allowed: f64,
    actual: f64,
}

impl From<model::Quota> for Quota {
    #[expect(clippy::cast_precision_loss, reason = "limits stay below 2^53")]
    fn from(q: model::Quota) -> Self {
        Self { allowed: q.allowed as f64, actual: q.actual as f64 }
    }
}

impl From<things::Usage> for Usage {
    fn from(u: things::Usage) -> Self {
        Self {
            plan: u.plan.name.name().to_owned(),
            period_start: u.period_start.to_string(),
            period_end: u.period_end.to_string(),
            things: u.things.into(),
            collected: u.collected.into(),
            published: u.published.into(),
        }
    }
}
