//! Tests of a whole gateway, from outside: over its sockets, its command line, its files.
//!
//! - [`unauthorized`]: every operation, tried by everybody who may not.
//! - [`isolation`]: another tenant's objects look exactly like absent ones.
//! - [`attacks`]: forged tokens at every face, broken HTTP, bombs.
//! - [`crash`]: killed under load, nothing acknowledged is missing.
//! - [`commands`]: the command line's promises.
//! - [`flashlex`], [`native`]: each API as its users meet it.
//! - [`flash_payments`]: GraphQL, by the seed, by other clients, and clicked.
//! - [`fleet_story`]: one thing, seen through every face.
//! - [`flotas`]: the fleet API, its trackers and its back ends.
//! - [`lightelligence`]: the OSRAM platform's devices and notifications, held to its OpenAPI file.
//! - [`openid`]: the OpenID provider through other people's clients.
//! - [`lightelligence_tenancy`]: tenants, users, roles and applications of the Lightelligence API.
//! - [`open_iot`]: Open IoT Service Platform: tokens, users and accounts.
//! - [`clients`]: other people's devices and tools.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod attacks;
mod clients;
mod commands;
mod crash;
mod flash_payments;
mod flashlex;
mod fleet_story;
mod flotas;
mod isolation;
mod lightelligence;
mod lightelligence_tenancy;
mod native;
mod open_iot;
mod openid;
mod queues;
mod unauthorized;

use std::path::PathBuf;

use testkit::Child;
use testkit::fleet::FLEET;

/// The binary under test.
const HELIOGRAPH: &str = env!("CARGO_BIN_EXE_heliograph");

/// A data directory, and the fleet's provisioning file beside it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fleet.toml"), FLEET).unwrap();
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn fleet(&self) -> String {
        self.folder.path().join("fleet.toml").display().to_string()
    }

    /// Starts the binary here, with the fleet.
    fn start(&self) -> Child {
        Child::start(HELIOGRAPH, &self.data(), &["--provision", &self.fleet()])
    }
}
