//! Things over a store, a journal and an identity of their own, with a clock set by hand; the same stories on both engines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

#[macro_use]
mod house;

mod catalogue;
mod certificates;
mod devices;
mod messages;
mod projection;
mod queue;
mod quota;
mod remains;
