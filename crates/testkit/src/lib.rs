//! (development) A whole gateway in the test's own process or beside it, and everything a test needs to talk to it.
//!
//! - [`Gateway`]: a whole gateway in this process, with a clock that the test turns.
//! - [`Child`]: the `heliograph` binary as a process, which can be killed and started again on the same data.
//! - [`Http`]: requests as somebody ([`Auth`]); the answer is an [`Exchange`], whose text form has ids, times and tokens redacted,
//!   ready for an inline snapshot.
//! - [`mqtt`]: a small MQTT client of its own, so that the broker's codec is never tested against itself.
//! - [`clients`]: Python, Mosquitto and other programs, with a time limit.
//! - [`postgres`]: a fresh database for a test, and what happens where there is none.
//!
//! A helper fails its test by panicking.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a helper fails its test by panicking")]

mod child;
pub mod clients;
pub mod fleet;
mod http;
pub mod mqtt;
pub mod postgres;
mod redact;
mod whole;

pub use child::Child;
pub use http::{Auth, Exchange, Http, client};
pub use redact::redact;
pub use whole::{Builder, Gateway};

/// An environment variable that `./test` sets. Where it is unset the test says so and skips itself, unless `./test` runs it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test script says what it started through the environment")]
pub fn environment(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    assert!(value.is_some() || std::env::var("HELIOGRAPH_TEST_REQUIRE").is_err(), "{name} is not set, but ./test promises it");
    if value.is_none() {
        eprintln!("skipped: {name} is not set (./test sets it)");
    }
    value
}

/// Does `./test` run the tests, which has installed everything they want?
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the test script says so through the environment")]
pub fn required() -> bool {
    std::env::var("HELIOGRAPH_TEST_REQUIRE").is_ok()
}

/// Waits until `check` holds, at most `seconds`; then fails with `what`.
pub async fn eventually(what: &str, seconds: u64, mut check: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
    while !check().await {
        assert!(tokio::time::Instant::now() < end, "not within {seconds} s: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A port that nobody listens on right now.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
