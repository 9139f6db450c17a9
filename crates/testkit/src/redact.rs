//! What differs from run to run is replaced, so that the rest can be compared letter by letter.

use std::collections::HashMap;

/// Replaces UUIDs (numbered in order of appearance), tokens, fingerprints, PEM blocks, times and local ports.
///
/// ```
/// let id = "0199c1a2-0000-7000-8000-000000000001";
/// assert_eq!(testkit::redact(&format!("{id} at 2026-01-02T03:04:05Z, again {id}")), "[id 1] at [time], again [id 1]");
/// ```
#[must_use]
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut rest = text;
    let mut in_word = false;
    while let Some(next) = rest.chars().next() {
        let found = if in_word { None } else { recognise(rest) };
        match found {
            Some((Kind::Id, length)) => {
                let number = ids.len() + 1;
                let number = *ids.entry(rest[..length].to_ascii_lowercase()).or_insert(number);
                out.push_str(&format!("[id {number}]"));
                rest = &rest[length..];
            }
            Some((Kind::Other(name), length)) => {
                out.push_str(name);
                rest = &rest[length..];
            }
            None => {
                out.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        in_word = found.is_none() && next.is_ascii_alphanumeric();
    }
    out
}

enum Kind {
    Id,
    Other(&'static str),
}

fn recognise(text: &str) -> Option<(Kind, usize)> {
    let run = |allowed: fn(u8) -> bool| text.bytes().take_while(|b| allowed(*b)).count();
    if text.is_char_boundary(36) && text.len() >= 36 && uuid::Uuid::try_parse(&text[..36]).is_ok() {
        return Some((Kind::Id, 36));
    }
    let hex = run(|b| b.is_ascii_hexdigit());
    if hex == 64 {
        return Some((Kind::Other("[fingerprint]"), 64));
    }
    if text.starts_with("eyJ") {
        let length = run(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if text[..length].matches('.').count() == 2 {
            return Some((Kind::Other("[token]"), length));
        }
    }
    if let Some(body) = text.strip_prefix("-----BEGIN ") {
        let label = body.split("-----").next()?;
        let end = format!("-----END {label}-----");
        let length = text.find(&end)? + end.len();
        return Some((Kind::Other("[pem]"), length));
    }
    if let Some(port) = text.strip_prefix("127.0.0.1:") {
        let digits = port.bytes().take_while(u8::is_ascii_digit).count();
        return (digits > 0).then_some((Kind::Other("127.0.0.1:[port]"), 10 + digits));
    }
    // 2026-01-02T03:04:05, with or without a fraction and a zone.
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    if bytes.len() >= shape.len() && shape.iter().zip(bytes).all(|(s, b)| if *s == b'd' { b.is_ascii_digit() } else { s == b }) {
        let tail = bytes[shape.len()..].iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b'Z')).count();
        return Some((Kind::Other("[time]"), shape.len() + tail));
    }
    // Seconds, milliseconds or microseconds since the epoch, between 2023 and 2033.
    let digits = run(|b| b.is_ascii_digit());
    if matches!(digits, 10 | 13 | 16) && matches!(&text[..2], "17" | "18" | "19") {
        return Some((Kind::Other("[epoch]"), digits));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn what_differs_is_replaced() {
        let a = "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01";
        let b = "ecd13b11-6d91-4e8e-9156-60e451a3c975";
        assert_eq!(redact(&format!("{b} {a} {b}")), "[id 1] [id 2] [id 1]");
        assert_eq!(redact(&"ab".repeat(32)), "[fingerprint]");
        assert_eq!(redact("Bearer eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln end"), "Bearer [token] end");
        assert_eq!(redact("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"), "[pem]\n");
        assert_eq!(redact(r#"{"at":"2026-01-02T03:04:05.123Z","n":1767323045}"#), r#"{"at":"[time]","n":[epoch]}"#);
        assert_eq!(redact("http://127.0.0.1:40123/x"), "http://127.0.0.1:[port]/x");
    }

    #[test]
    fn what_does_not_differ_stays() {
        for text in ["", "plain", "ünï çødé", "1234", "x1767323045", "2026-01-02", "deadbeef", "eyJust a word"] {
            assert_eq!(redact(text), text);
        }
    }
}
