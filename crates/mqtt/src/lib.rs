//! MQTT 3.1.1 and 5 on one port, over any byte stream.
//!
//! The [`Broker`] runs one connection per [`Broker::serve`], keeps sessions and the topic tree of each tenant, and stores every
//! message in the journal before it acknowledges it. Who may connect and what a topic means is the [`Host`]'s business: this crate
//! knows nothing of users, things or certificates.
//!
//! A message's way in: bytes → `codec` (borrowed slices) → [`Host::accept`] → `journal.append` → the connection reads on while the
//! batch is written → once it is durable: acknowledgement, [`Host::stored`], fan-out. Its way out: straight to the queue of a
//! connected clean session, or through the journal's inbox (persistent sessions, things), in order and within the receive maximum.
//!
//! Where the standards leave a choice:
//!
//! - A refused publish: MQTT 5 gets the reason in PUBACK or PUBREC; 3.1.1 is disconnected, because there an acknowledgement would say
//!   that the message is stored. The same holds when the disk refuses it.
//! - `QoS` 2 in: the message is stored and handed on at PUBLISH (the standard's figure 4.3); its identifier stays known until PUBREL, also
//!   between the connections of a persistent session, but not beyond a restart of the process.
//! - Overlapping subscriptions give one copy, at the highest `QoS`, with all identifiers.
//! - A session belongs to its principal: the same client id of another one is another session.
//! - Retained messages on their way to a new subscriber, and messages routed without an inbox, are not kept beyond the process.
//! - Subscriptions of a resumed session are asked of the host again; those no longer allowed end silently.
//! - A session's expiry counts from the restart when the process restarts meanwhile.
//! - A keep alive limit changes the client's own value on MQTT 5 only; 3.1.1 has no way to say so.
//! - Enhanced authentication is refused (0x8C).

mod broker;
pub mod codec;
mod connection;
mod host;
mod limits;
mod reason;
mod records;
mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use broker::{Broker, PublishError};
pub use codec::{Level, Properties, Publish};
pub use host::{
    Accepted, ConnectRequest, Ended, Host, Inbox, Peer, Refusal, SavedSession, SavedSubscription, StreamMeta, Subscription, Undelivered,
};
pub use limits::{Limits, Stats};
pub use reason::Reason;
pub use records::PacketWrites;
