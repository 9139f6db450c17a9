//! What a stranger with a keyboard sends: forged and foreign tokens at every face, and HTTP that is not quite HTTP. Everything is
//! refused in the face's own words, nothing is an internal error, and the log knows no panic.

mod bombs;
mod http;
mod texts;
mod tokens;

use testkit::Child;

/// No handler fell and nothing was answered with 5xx.
#[track_caller]
fn assert_quiet(gateway: &Child) {
    let log = gateway.log();
    for line in log.lines() {
        assert!(!line.contains("panicked") && !line.contains("status=5"), "{line}");
    }
}
