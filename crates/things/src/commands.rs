//! Commands: what is sent to a thing of a type, in a form that each dialect renders its own way.
//!
//! A command is an outbound message like any other: it waits in the thing's inbox, or its gateway's. Its payload is JSON that
//! [`Command::read`] takes apart again, for a dialect whose devices expect another shape.

use bytes::Bytes;
use journal::NORMAL_PRIORITY;
use model::{
    Caller, Direction, Error, Message, MessageId, Object, Permission, Permissions, Result, Selector, Slice, TenantId, ThingId, Value,
};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinSet};

use crate::{Channel, Incoming, Known, Things};

/// The topics of commands in the history. No client can publish under them: they begin with `$`.
const CONFIGURATION: &str = "$configuration";
const ACTION: &str = "$action";
/// Actions for many devices that are written at a time.
const AT_A_TIME: usize = 256;
/// The longest name of an action, in bytes.
const MAX_ACTION: usize = 255;

/// A command's payload, as it is stored and as things of a dialect without a form of its own get it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Body {
    Configuration { thing: ThingId, aliases: Vec<String>, configuration: Object },
    Action { thing: ThingId, aliases: Vec<String>, action: String, payload: Value },
}

/// An action to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its name, as the type declares it.
    pub name: String,
    /// What with; at most the largest payload.
    pub payload: Value,
}

/// What an outbound message asks of a thing.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Take over these settings: the keys that changed, each with its whole new value; null: it is gone.
    Configuration {
        /// The thing that is meant; not the one that gets the message, if it is behind a gateway.
        thing: ThingId,
        /// Its aliases.
        aliases: Vec<String>,
        /// The settings.
        configuration: Object,
    },
    /// Do this.
    Action {
        /// As above.
        thing: ThingId,
        /// As above.
        aliases: Vec<String>,
        /// Answers will name it: the message's id.
        id: MessageId,
        /// What to do.
        action: Action,
    },
}

impl Command {
    /// The command a message carries; none when it is a plain message.
    #[must_use]
    pub fn read(message: &Message) -> Option<Self> {
        if message.direction != Direction::Outbound || Self::channel(&message.topic) == Channel::Plain {
            return None;
        }
        Some(match serde_json::from_slice(&message.payload).ok()? {
            Body::Configuration { thing, aliases, configuration } => Self::Configuration { thing, aliases, configuration },
            Body::Action { thing, aliases, action, payload } => {
                Self::Action { thing, aliases, id: message.id, action: Action { name: action, payload } }
            }
        })
    }

    /// On which channel the message travels.
    #[must_use]
    pub fn channel(topic: &str) -> Channel {
        match topic {
            CONFIGURATION => Channel::Configuration,
            ACTION => Channel::Action,
            _ => Channel::Plain,
        }
    }
}

impl Things {
    /// Tells a device to act: done once the message waits in its inbox, or its gateway's. The answer is the action's id.
    /// Errors: Invalid when its type knows no such action, or not with such a payload. Permission: `message:write`.
    pub async fn act(&self, caller: &Caller, handle: &str, action: &Action) -> Result<MessageId> {
        let found = self.find(caller, handle, Permission::MessageWrite, false).await?;
        check(action)?;
        let known = self.known(caller.tenant, found.thing.id).await?.ok_or(Error::not_found("thing"))?;
        if let Some(compiled) = &known.compiled {
            compiled.action(&action.name, &action.payload).map_err(|fault| fault.refusal("action"))?;
        }
        self.deliver(caller, &known, ACTION, &body(&known, action)).await
    }

    /// Tells every device that the selector chooses and whose type knows the action with that payload; answers how many. Things without
    /// a type are left alone. Permission: `message:write`.
    pub async fn act_all(&self, caller: &Caller, selector: &Selector, action: &Action) -> Result<u64> {
        caller.require(Permission::MessageWrite)?;
        check(action)?;
        let (mut offset, mut told) = (0, 0);
        // Chosen before anything is sent, so that no connection is held while the disk works.
        let mut chosen = Vec::new();
        loop {
            let slice = Slice { offset, limit: Slice::MAX };
            let found = self.chosen(&mut self.inner.db.read().await?, caller, selector, slice).await?;
            offset += found.items.len() as u64;
            let end = found.items.is_empty() || offset >= found.total;
            chosen.extend(found.items);
            if end {
                break;
            }
        }
        // Many at a time, so that they share the disk's syncs.
        let mut under_way = JoinSet::new();
        for id in chosen {
            let Some(known) = self.known(caller.tenant, id).await? else { continue };
            if known.compiled.as_ref().is_some_and(|compiled| compiled.action(&action.name, &action.payload).is_ok()) {
                if under_way.len() >= AT_A_TIME {
                    told += told_one(under_way.join_next().await)?;
                }
                let (things, caller, body) = (self.clone(), caller.clone(), body(&known, action));
                under_way.spawn(async move { things.deliver(&caller, &known, ACTION, &body).await });
            }
        }
        while let Some(done) = under_way.join_next().await {
            told += told_one(Some(done))?;
        }
        Ok(told)
    }

    /// Tells a device its new configuration. It is stored already, so that a message that cannot be sent is noted, not an error.
    pub(crate) async fn configure(&self, caller: &Caller, thing: ThingId, configuration: Object) {
        // Who may change the device may have it told.
        let caller = Caller { permissions: caller.permissions.union(Permissions::of(&[Permission::MessageWrite])), ..caller.clone() };
        let result = async {
            let known = self.known(caller.tenant, thing).await?.ok_or(Error::not_found("thing"))?;
            let body = Body::Configuration { thing, aliases: aliases(&known), configuration };
            self.deliver(&caller, &known, CONFIGURATION, &body).await
        };
        if let Err(error) = result.await {
            tracing::warn!(%error, %thing, "a configuration was stored but could not be sent");
            self.note(caller.tenant, thing, &format!("The configuration could not be sent: {error}"));
        }
    }

    async fn deliver(&self, caller: &Caller, known: &Known, topic: &'static str, body: &Body) -> Result<MessageId> {
        let tenant: TenantId = known.thing.tenant;
        debug_assert_eq!(tenant, caller.tenant);
        let payload = serde_json::to_vec(body).map_err(Error::internal)?;
        let incoming = Incoming {
            thing: known.thing.id,
            direction: Direction::Outbound,
            topic: Bytes::from_static(topic.as_bytes()),
            payload: payload.into(),
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires: None,
            idempotency: None,
        };
        let gateway = known.twin.as_ref().and_then(|twin| twin.connected_by);
        Ok(self.store_for(caller, &known.thing, incoming, NORMAL_PRIORITY, gateway).await?.message.id)
    }
}

/// Was the device told? One that has gone meanwhile was not, which is no error.
fn told_one(done: Option<std::result::Result<Result<MessageId>, JoinError>>) -> Result<u64> {
    match done {
        None | Some(Ok(Err(Error::NotFound { .. }))) => Ok(0),
        Some(Ok(result)) => result.map(|_| 1),
        Some(Err(error)) => Err(Error::internal(error)),
    }
}

fn aliases(known: &Known) -> Vec<String> {
    known.twin.as_ref().map(|twin| twin.aliases.clone()).unwrap_or_default()
}

fn body(known: &Known, action: &Action) -> Body {
    let Action { name, payload } = action.clone();
    Body::Action { thing: known.thing.id, aliases: aliases(known), action: name, payload }
}

fn check(action: &Action) -> Result<()> {
    if action.name.is_empty() || action.name.len() > MAX_ACTION || action.name.chars().any(char::is_control) {
        return Err(Error::invalid("action", format!("must have 1 to {MAX_ACTION} bytes and no control characters")));
    }
    Ok(())
}
