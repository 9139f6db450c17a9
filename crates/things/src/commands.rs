//! Commands: what is sent to a thing of a type, in a form that each dialect renders its own way.
//!
//! A command is an outbound message like any other: it waits in the thing's inbox, or its gateway's. Its payload is JSON that
//! [`Command::read`] takes apart again, for a dialect whose devices expect another shape.

use model::{Caller, Error, Message, MessageId, Object, Result, Selector, ThingId, Value};

use crate::{Channel, Things};

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
        let _ = message;
        None
    }

    /// On which channel the message travels.
    #[must_use]
    pub fn channel(topic: &str) -> Channel {
        let _ = topic;
        Channel::Plain
    }
}

impl Things {
    /// Tells a device to act: done once the message waits in its inbox, or its gateway's. The answer is the action's id.
    /// Errors: Invalid when its type knows no such action, or not with such a payload. Permission: `message:write`.
    pub async fn act(&self, caller: &Caller, handle: &str, action: &Action) -> Result<MessageId> {
        let _ = (caller, handle, action);
        Err(Error::unavailable("begun"))
    }

    /// Tells every device that the selector chooses and whose type knows the action with that payload; answers how many.
    /// Permission: `message:write`.
    pub async fn act_all(&self, caller: &Caller, selector: &Selector, action: &Action) -> Result<u64> {
        let _ = (caller, selector, action);
        Err(Error::unavailable("begun"))
    }
}
