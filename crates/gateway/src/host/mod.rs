//! The broker's host: who connects, what a topic means, where sessions are kept.
//!
//! A connection is a *thing* (by certificate, secret or its own token), a *member* (user or client, by token or API key) or, only if
//! the operator says so, *anonymous*. A thing has the topics its dialects give it. A member hears its tenant and writes to things'
//! inboxes and to topics that are no thing's. Anonymous clients share one tenant's free topic space.

mod follow;
mod sessions;
mod sign_in;
mod topics;

pub use follow::follow;
pub use topics::{Heralds, MqttHost};
