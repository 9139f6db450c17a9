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
//! Decisions where the standards leave a choice are in [`Host`], [`Limits`] and [`Reason`].

mod broker;
pub mod codec;
mod connection;
mod host;
mod limits;
mod reason;
mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use broker::{Broker, PublishError};
pub use codec::{Level, Properties, Publish};
pub use host::{Accepted, ConnectRequest, Ended, Host, Inbox, Peer, Refusal, SavedSession, SavedSubscription, StreamMeta, Subscription};
pub use limits::{Limits, Stats};
pub use reason::Reason;
