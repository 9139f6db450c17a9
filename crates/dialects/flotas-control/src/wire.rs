//! Small forms that several operations share.

use model::{Error, Result, Timestamp};
use serde::Serialize;

/// A time as the platform writes it: UTC with `Z`, whole seconds or exactly three digits, which old Pythons insist on.
pub(crate) fn time(at: Timestamp) -> String {
    let format = if at.subsec_nanosecond() / 1_000_000 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%3fZ" };
    at.strftime(format).to_string()
}

/// A time somebody sends: RFC 3339, or a date and time or date alone, in UTC.
pub(crate) fn moment(field: &'static str, text: &str) -> Result<Timestamp> {
    things::moment(text).ok_or_else(|| Error::invalid(field, "must be an ISO 8601 date and time such as 2024-06-01T00:00:00Z"))
}

/// `%41` to `A`; none for what is not UTF-8 or ends midway.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
            out.push(digit(bytes.next())? << 4 | digit(bytes.next())?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// One named member, for envelopes: `{"devices": …}`.
pub(crate) fn named<T: Serialize>(name: &'static str, value: T) -> std::collections::BTreeMap<&'static str, T> {
    std::collections::BTreeMap::from([(name, value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let shown = |text: &str| time(text.parse().unwrap());
        assert_eq!(shown("2023-12-31T23:59:59Z"), "2023-12-31T23:59:59Z");
        assert_eq!(shown("2024-06-02T08:48:25.0094Z"), "2024-06-02T08:48:25.009Z");
        assert_eq!(shown("2024-06-02T08:48:25.0004Z"), "2024-06-02T08:48:25Z");
        assert!(moment("from", "yesterday").is_err());
    }

    #[test]
    fn percents() {
        assert_eq!(percent_decoded("a%3Ab%40c").as_deref(), Some("a:b@c"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
