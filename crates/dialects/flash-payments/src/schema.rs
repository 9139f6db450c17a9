//! The schema: one verb a resolver. Depth, complexity, aliases and length are limited, since a query is a program somebody else wrote.

use std::collections::HashMap;

use ::rules::AlertFilter;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextParseQuery};
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Context, ID, InputObject, Object, ServerError, ServerResult, SimpleObject, Subscription, Value, Variables};
use bytes::Bytes;
use futures_util::Stream;
use identity::AuditFilter;
use jiff::Timestamp;
use model::{AlertState, PageRequest, Slice};
use things::{Credentials, MessageFilter, NewThing, Outgoing, ThingFilter};

use crate::caller::{asking, caller};
use crate::error::{code, must_not_reply, or_null, refuse};
use crate::login::{LoginInput, LoginReply, Reply, login, logout, reply};
use crate::objects::{AuditPage, Direction, Me, Membership, Message, MessagePage, Thing, ThingPage, Usage};
use crate::rules::{AlertPage, AlertReply, NotificationInput, NotificationPage, NotificationReply, RuleInput, RulePage, RuleReply};

const DEPTH_MAX: usize = 15;
const COMPLEXITY_MAX: usize = 1_000;
const ALIASES_MAX: usize = 20;
/// Fields of a request with its fragments spread.
const SELECTIONS_MAX: usize = 5_000;

pub(crate) type Schema = async_graphql::Schema<Query, Mutation, Live>;

pub(crate) fn build() -> Schema {
    Schema::build(Query, Mutation, Live)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .limit_directives(10)
        .extension(FewAliases)
        .finish()
}

fn moment(field: &'static str, text: Option<String>) -> model::Result<Option<Timestamp>> {
    text.map(|t| t.parse().map_err(|_| model::Error::invalid(field, "is not an RFC 3339 time, such as 2026-01-31T12:00:00Z"))).transpose()
}

fn id<T: std::str::FromStr>(field: &'static str, text: Option<ID>) -> model::Result<Option<T>> {
    text.map(|text| text.parse().map_err(|_| model::Error::invalid(field, "is not an id"))).transpose()
}

pub(crate) struct Query;

#[Object]
impl Query {
    /// Who is logged in.
    async fn me(&self, ctx: &Context<'_>) -> async_graphql::Result<Me> {
        let identity = &asking(ctx)?.shared.app.identity;
        let caller = caller(ctx).await?;
        let user = caller.user().ok_or_else(|| refuse(model::Error::not_found("user")))?;
        let user = identity.user(&caller, user).await.map_err(refuse)?;
        let tenant = identity.tenant(&caller, caller.tenant).await.map_err(refuse)?;
        let memberships = identity.memberships_of(&caller).await.map_err(refuse)?;
        Ok(Me {
            user: user.into(),
            tenant: tenant.into(),
            permissions: caller.permissions.iter().map(|p| p.name().to_owned()).collect(),
            memberships: memberships
                .into_iter()
                .map(|m| Membership {
                    tenant: m.tenant.into(),
                    role: m.membership.role.name().to_owned(),
                    since: m.membership.created.to_string(),
                })
                .collect(),
        })
    }

    /// Things, oldest first.
    async fn things(
        &self,
        ctx: &Context<'_>,
        limit: Option<u32>,
        cursor: Option<String>,
        name_contains: Option<String>,
        tag: Option<String>,
    ) -> async_graphql::Result<ThingPage> {
        let things = &asking(ctx)?.shared.app.things;
        let filter = ThingFilter { name_contains, tag, ..ThingFilter::default() };
        let page = PageRequest::new(limit, cursor).map_err(refuse)?;
        let found = things.things(&caller(ctx).await?, &filter, &page).await.map_err(refuse)?;
        Ok(ThingPage { items: found.items.into_iter().map(Thing::from).collect(), next: found.next })
    }

    /// A thing by id or key; null when there is none.
    async fn thing(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Thing>> {
        let things = &asking(ctx)?.shared.app.things;
        Ok(or_null(things.thing(&caller(ctx).await?, &id).await)?.map(Thing::from))
    }

    /// A thing's messages, newest first. Bounds are inclusive RFC 3339 times.
    #[expect(clippy::too_many_arguments, reason = "a field's arguments are its filter")]
    async fn messages(
        &self,
        ctx: &Context<'_>,
        thing: ID,
        direction: Option<Direction>,
        from: Option<String>,
        to: Option<String>,
        #[graphql(default = true)] newest_first: bool,
        limit: Option<u32>,
        cursor: Option<String>,
    ) -> async_graphql::Result<MessagePage> {
        let things = &asking(ctx)?.shared.app.things;
        let filter = MessageFilter {
            from: moment("from", from).map_err(refuse)?,
            to: moment("to", to).map_err(refuse)?,
            direction: direction.map(Into::into),
        };
        let page = PageRequest::new(limit, cursor).map_err(refuse)?;
        let found = things.messages(&caller(ctx).await?, &thing, &filter, newest_first, &page).await.map_err(refuse)?;
        Ok(MessagePage { items: found.items.into_iter().map(Message::from).collect(), next: found.next })
    }

    /// Rules, in the order they were made.
    async fn rules(&self, ctx: &Context<'_>, limit: Option<u32>, cursor: Option<String>) -> async_graphql::Result<RulePage> {
        let rules = &asking(ctx)?.shared.app.rules;
        let page = PageRequest::new(limit, cursor).map_err(refuse)?;
        let found = rules.rules(&caller(ctx).await?, &page).await.map_err(refuse)?;
        Ok(RulePage { items: found.items.into_iter().map(Into::into).collect(), next: found.next })
    }

    /// Alerts, newest first. `state` is `raised`, `acknowledged` or `cleared`.
    async fn alerts(
        &self,
        ctx: &Context<'_>,
        state: Option<String>,
        rule: Option<ID>,
        thing: Option<ID>,
        limit: Option<u32>,
        cursor: Option<String>,
    ) -> async_graphql::Result<AlertPage> {
        let rules = &asking(ctx)?.shared.app.rules;
        let known = |text: String| AlertState::ALL.into_iter().find(|state| state.name() == text);
        let wrong = || model::Error::invalid("state", "is not one of raised, acknowledged, cleared");
        let filter = AlertFilter {
            state: state.map(|text| known(text).ok_or_else(wrong)).transpose().map_err(refuse)?,
            rule: id("rule", rule).map_err(refuse)?,
            thing: id("thing", thing).map_err(refuse)?,
        };
        let page = PageRequest::new(limit, cursor).map_err(refuse)?;
        let found = rules.alerts(&caller(ctx).await?, filter, &page).await.map_err(refuse)?;
        Ok(AlertPage { items: found.items.into_iter().map(Into::into).collect(), next: found.next })
    }

    /// Notifications, newest first.
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 100)] limit: u32,
        #[graphql(default)] offset: u64,
    ) -> async_graphql::Result<NotificationPage> {
        let rules = &asking(ctx)?.shared.app.rules;
        let slice = Slice { offset, limit: PageRequest::new(Some(limit), None).map_err(refuse)?.limit };
        let found = rules.notifications(&caller(ctx).await?, slice).await.map_err(refuse)?;
        Ok(NotificationPage { items: found.items.into_iter().map(Into::into).collect(), total: found.total })
    }

    /// What the tenant has used of its plan.
    async fn usage(&self, ctx: &Context<'_>) -> async_graphql::Result<Usage> {
        let things = &asking(ctx)?.shared.app.things;
        Ok(things.usage(&caller(ctx).await?).await.map_err(refuse)?.into())
    }

    /// The tenant's audit trail, newest first.
    async fn audit(
        &self,
        ctx: &Context<'_>,
        actor: Option<String>,
        action: Option<String>,
        allowed: Option<bool>,
        limit: Option<u32>,
        cursor: Option<String>,
    ) -> async_graphql::Result<AuditPage> {
        let identity = &asking(ctx)?.shared.app.identity;
        let filter = AuditFilter { actor, action, allowed, ..AuditFilter::default() };
        let page = PageRequest::new(limit, cursor).map_err(refuse)?;
        let found = identity.audit(&caller(ctx).await?, &filter, &page).await.map_err(refuse)?;
        Ok(AuditPage { items: found.items.into_iter().map(Into::into).collect(), next: found.next })
    }
}

/// A thing to be.
#[derive(InputObject)]
pub(crate) struct ProvisionInput {
    /// The handle its makers chose; made when absent.
    key: Option<String>,
    /// Its name; the key when absent.
    name: Option<String>,
    /// What sort of device.
    kind: Option<String>,
    /// Free labels.
    #[graphql(default)]
    tags: Vec<String>,
    /// Also make a secret to sign in with over MQTT?
    #[graphql(default)]
    secret: bool,
}

/// What comes of provisioning.
#[derive(Default, SimpleObject)]
pub(crate) struct ProvisionReply {
    success: Option<bool>,
    code: Option<String>,
    message: Option<String>,
    thing: Option<Thing>,
    /// The secret, told this once.
    secret: Option<String>,
}

/// A message for a thing.
#[derive(InputObject)]
pub(crate) struct PublishInput {
    /// The thing, by id or key.
    thing: ID,
    /// The payload as text.
    text: Option<String>,
    /// The payload as JSON, instead.
    json: Option<async_graphql::Json<serde_json::Value>>,
    /// The same key for the same thing within 24 hours sends once.
    idempotency_key: Option<String>,
    /// When it is no longer worth delivering, RFC 3339.
    expires: Option<String>,
}

/// What comes of publishing.
#[derive(Default, SimpleObject)]
pub(crate) struct PublishReply {
    success: Option<bool>,
    code: Option<String>,
    message: Option<String>,
    /// What was stored, and waits for the thing.
    stored: Option<Message>,
    /// Was it stored before, under the same idempotency key?
    duplicate: Option<bool>,
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    /// Log in: the token is good for what `exp` in it says.
    async fn login(&self, ctx: &Context<'_>, input: LoginInput) -> async_graphql::Result<LoginReply> {
        login(ctx, input).await
    }

    /// Ends the token this is called with, and no other.
    async fn logout(&self, ctx: &Context<'_>) -> async_graphql::Result<Reply> {
        logout(ctx).await
    }

    /// Provisions a thing.
    async fn provision_thing(&self, ctx: &Context<'_>, input: ProvisionInput) -> async_graphql::Result<ProvisionReply> {
        let things = &asking(ctx)?.shared.app.things;
        let caller = caller(ctx).await?;
        let new = NewThing {
            key: input.key,
            name: input.name,
            kind: input.kind.unwrap_or_default(),
            tags: input.tags,
            credentials: if input.secret { Credentials::Secret } else { Credentials::None },
            ..NewThing::default()
        };
        Ok(match things.provision(&caller, new).await {
            Ok(made) => ProvisionReply {
                success: Some(true),
                code: Some("SUCCESS".to_owned()),
                message: Some("Thing provisioned".to_owned()),
                thing: Some(made.thing.into()),
                secret: made.secret.map(|s| identity::ExposeSecret::expose_secret(&s).to_owned()),
            },
            Err(error) if must_not_reply(&error) => return Err(refuse(error)),
            Err(error) => ProvisionReply {
                success: Some(false),
                code: Some(code(&error).to_owned()),
                message: Some(error.to_string()),
                ..ProvisionReply::default()
            },
        })
    }

    /// Deprovisions a thing: its sessions end, its certificates are revoked, its messages are gone.
    async fn deprovision_thing(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Reply> {
        let things = &asking(ctx)?.shared.app.things;
        reply(things.deprovision(&caller(ctx).await?, &id).await, "SUCCESS", "Thing deprovisioned")
    }

    /// Creates a rule. It looks at what is said from now on.
    async fn create_rule(&self, ctx: &Context<'_>, input: RuleInput) -> async_graphql::Result<RuleReply> {
        let rules = &asking(ctx)?.shared.app.rules;
        let caller = caller(ctx).await?;
        let outcome = async { rules.create_rule(&caller, input.try_into()?).await };
        RuleReply::of(outcome.await, "Rule created")
    }

    /// Creates a notification.
    async fn create_notification(&self, ctx: &Context<'_>, input: NotificationInput) -> async_graphql::Result<NotificationReply> {
        let rules = &asking(ctx)?.shared.app.rules;
        let caller = caller(ctx).await?;
        let outcome = async { rules.create_notification(&caller, input.try_into()?).await };
        NotificationReply::of(outcome.await, "Notification created")
    }

    /// Somebody has seen the alert.
    async fn acknowledge_alert(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<AlertReply> {
        let rules = &asking(ctx)?.shared.app.rules;
        let caller = caller(ctx).await?;
        let outcome = match id.parse() {
            Ok(id) => rules.acknowledge_alert(&caller, id).await,
            Err(_) => Err(model::Error::not_found("alert")),
        };
        AlertReply::of(outcome, "Alert acknowledged")
    }

    /// Sends a message to a thing; it waits in the thing's inbox until the thing takes it.
    async fn publish(&self, ctx: &Context<'_>, input: PublishInput) -> async_graphql::Result<PublishReply> {
        let things = &asking(ctx)?.shared.app.things;
        let caller = caller(ctx).await?;
        let outcome = async {
            let payload = match (input.text, input.json) {
                (Some(text), None) => Bytes::from(text),
                (None, Some(json)) => Bytes::from(serde_json::to_vec(&json.0).map_err(model::Error::internal)?),
                _ => return Err(model::Error::invalid("input", "takes either text or json")),
            };
            let outgoing = Outgoing { payload, idempotency_key: input.idempotency_key, expires: moment("expires", input.expires)? };
            things.send(&caller, &input.thing, outgoing).await
        };
        Ok(match outcome.await {
            Ok(sent) => PublishReply {
                success: Some(true),
                code: Some("SUCCESS".to_owned()),
                message: Some("Message published".to_owned()),
                stored: Some(sent.message.into()),
                duplicate: Some(sent.duplicate),
            },
            Err(error) if must_not_reply(&error) => return Err(refuse(error)),
            Err(error) => PublishReply {
                success: Some(false),
                code: Some(code(&error).to_owned()),
                message: Some(error.to_string()),
                ..PublishReply::default()
            },
        })
    }
}

pub(crate) struct Live;

#[Subscription]
impl Live {
    /// Messages as they are stored: of one thing, or of every thing of the tenant. A reader that falls behind is told so and ended.
    /// The subscription ends with its token.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        thing: Option<ID>,
    ) -> async_graphql::Result<impl Stream<Item = async_graphql::Result<Message>> + use<>> {
        let asking = asking(ctx)?.clone();
        let caller = asking.caller().await.map_err(refuse)?;
        let place = asking.shared.places.take(caller.tenant).map_err(refuse)?;
        let live = asking.shared.app.things.live(&caller, thing.as_ref().map(|id| id.as_str())).await.map_err(refuse)?;
        Ok(futures_util::stream::unfold(Some((live, asking, place)), |state| async {
            let (mut live, asking, place) = state?;
            match live.next().await? {
                Ok(message) => match asking.caller().await.and_then(|now| now.require(model::Permission::MessageRead)) {
                    Ok(()) => Some((Ok(message.into()), Some((live, asking, place)))),
                    // The token has ended since, or may no longer read.
                    Err(error) => Some((Err(refuse(error)), None)),
                },
                Err(_) => Some((
                    Err(refuse(model::Error::unavailable(
                        "this subscription fell behind; ask for the messages missed and subscribe again",
                    ))),
                    None,
                )),
            }
        }))
    }
}

/// Refuses documents that ask for one field under many names: each alias of `login` would be a try of its own.
struct FewAliases;

impl ExtensionFactory for FewAliases {
    fn create(&self) -> std::sync::Arc<dyn Extension> {
        std::sync::Arc::new(FewAliases)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for FewAliases {
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        // Measured first: what comes next already walks through every fragment as often as it is spread.
        let Ok(document) = async_graphql::parser::parse_query(query) else { return next.run(ctx, query, variables).await };
        let aliases: usize = document.operations.iter().map(|(_, op)| aliases(&op.node.selection_set.node)).sum::<usize>()
            + document.fragments.values().map(|f| aliases(&f.node.selection_set.node)).sum::<usize>();
        let mut spread = Spread { document: &document, known: HashMap::new() };
        let size = document.operations.iter().fold(Size::default(), |sum, (_, op)| sum.and(spread.size(&op.node.selection_set.node)));
        if aliases > ALIASES_MAX || size.logins > 1 || size.selections > SELECTIONS_MAX {
            let why = format!("more than {ALIASES_MAX} aliases, {SELECTIONS_MAX} fields, or more than one login, in one request");
            let mut error = ServerError::new(why, None);
            error.extensions.get_or_insert_default().set("code", Value::from("BAD_USER_INPUT"));
            return Err(error);
        }
        next.run(ctx, query, variables).await
    }
}

/// What a selection comes to with its fragments spread.
#[derive(Clone, Copy, Default)]
struct Size {
    selections: usize,
    logins: usize,
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self { selections: self.selections.saturating_add(other.selections), logins: self.logins.saturating_add(other.logins) }
    }
}

/// Each fragment is measured once: spread out, thirty that hold each other twice are a thousand million fields.
struct Spread<'a> {
    document: &'a ExecutableDocument,
    /// Under way, while `None`: a fragment that holds itself has no size.
    known: HashMap<&'a str, Option<Size>>,
}

impl<'a> Spread<'a> {
    fn size(&mut self, set: &'a SelectionSet) -> Size {
        set.items.iter().fold(Size::default(), |sum, item| {
            let one = match &item.node {
                Selection::Field(field) => {
                    let login = usize::from(field.node.name.node == "login");
                    Size { selections: 1, logins: login }.and(self.size(&field.node.selection_set.node))
                }
                Selection::InlineFragment(fragment) => self.size(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node),
            };
            sum.and(one)
        })
    }

    fn fragment(&mut self, name: &'a str) -> Size {
        let Some(fragment) = self.document.fragments.get(name) else { return Size::default() };
        match self.known.get(name) {
            Some(Some(size)) => *size,
            Some(None) => Size { selections: usize::MAX, logins: 0 },
            None => {
                self.known.insert(name, None);
                let size = Size { selections: 1, logins: 0 }.and(self.size(&fragment.node.selection_set.node));
                self.known.insert(name, Some(size));
                size
            }
        }
    }
}

fn aliases(set: &SelectionSet) -> usize {
    set.items
        .iter()
        .map(|item| match &item.node {
            Selection::Field(field) => usize::from(field.node.alias.is_some()) + aliases(&field.node.selection_set.node),
            Selection::InlineFragment(fragment) => aliases(&fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => 0,
        })
        .sum()
}
