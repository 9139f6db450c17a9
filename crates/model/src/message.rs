//! Messages: inbound from a thing, outbound to a thing.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{MessageId, TenantId, ThingId};

/// Which way a message travels, seen from the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From a thing (FlashLex: egress).
    Inbound,
    /// To a thing (FlashLex: ingress).
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        })
    }
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id, sorted by time.
    pub id: MessageId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing it comes from or goes to.
    pub thing: ThingId,
    /// Which way.
    pub direction: Direction,
    /// When the gateway took it.
    pub at: Timestamp,
    /// The topic it came in on, or the channel it was handed in by (`http:collect`); empty for a plain outbound message.
    pub topic: String,
    /// The payload, as it was handed in.
    pub payload: Vec<u8>,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// What became of it.
    pub status: MessageStatus,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// Inbound: stored.
    Stored,
    /// Outbound: waits in the thing's inbox.
    Queued,
    /// Outbound: the thing acknowledged it.
    Delivered,
    /// Outbound: its time ran out first.
    Expired,
    /// Outbound: it could not be delivered, or was taken aside; it waits among the dead letters.
    Dead,
}
