//! The gateway: arguments, configuration, wiring.
//!
//! [`start`] takes a [`Config`] and answers a [`Running`] gateway that is ready: the data directory is locked, everything in it is
//! open ([`House`]), every listener is bound. The binary is [`cli::main`] around it; other commands speak the gateway's own REST API,
//! to the running gateway if there is one, else to the same routers over the data directory, without a socket ([`client`]).
//! A dialect is mounted by one line in `site` and one in `start`.

mod backup;
mod certificate;
pub mod cli;
pub mod client;
pub mod config;
mod data;
mod host;
mod house;
mod maintain;
mod metrics;
mod operator;
mod problem;
pub mod provision;
mod site;
mod start;
#[cfg(test)]
mod tests;
mod users;
mod welcome;

pub use config::Config;
pub use house::House;
pub use problem::Problem;
pub use start::{Ready, Running, start};
