//! The gateway: arguments, configuration, wiring.
pub mod config;
mod problem;
pub mod provision;
pub use config::Config;
pub use problem::Problem;
