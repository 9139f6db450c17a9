//! Payloads: what is JSON stays JSON, compact and to the letter; everything else becomes a JSON string.
//!
//! Why so careful: a device of this platform whose callback is `persistent` stops receiving for good, without a word, at the first
//! payload its JSON parser refuses. So nothing leaves here that is not valid JSON of moderate depth.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Error, Result};
use serde_json::value::{RawValue, to_raw_value};

/// How deep JSON may nest, coming in and going out (Python's parser gives up near 1,000, most others earlier).
pub(crate) const MAX_DEPTH: usize = 128;

/// A payload ready to stand in a JSON document.
pub(crate) struct Rendered {
    /// Valid JSON without blanks between tokens.
    pub json: Box<RawValue>,
    /// The bytes were not text, and `json` is a string of their base64 form.
    pub base64: bool,
}

/// A stored payload as it appears in a message, in an archive and on the device's topic.
pub(crate) fn render(payload: &[u8]) -> Rendered {
    let Ok(text) = std::str::from_utf8(payload) else {
        return Rendered { json: string(&STANDARD.encode(payload)), base64: true };
    };
    let json = match parse(text) {
        Parsed::Json(raw) => raw,
        Parsed::TooDeep | Parsed::Text => string(text),
    };
    Rendered { json, base64: false }
}

/// The body of a publish, checked: JSON (stored compact) or any other UTF-8 text (stored as it is).
pub(crate) fn json_or_text(body: &[u8]) -> Result<Vec<u8>> {
    let text = utf8(body)?;
    if text.trim().is_empty() {
        return Err(Error::invalid("body", "is empty; send JSON or free text"));
    }
    match parse(text) {
        Parsed::Json(raw) => Ok(Box::<str>::from(raw).into_string().into_bytes()),
        Parsed::TooDeep => Err(too_deep()),
        Parsed::Text => Ok(body.to_vec()),
    }
}

/// The body of a collect, checked: JSON, stored compact.
pub(crate) fn json(body: &[u8]) -> Result<Vec<u8>> {
    match parse(utf8(body)?) {
        Parsed::Json(raw) => Ok(Box::<str>::from(raw).into_string().into_bytes()),
        Parsed::TooDeep => Err(too_deep()),
        Parsed::Text => Err(Error::invalid("body", "is not valid JSON")),
    }
}

/// The body as text.
pub(crate) fn utf8(body: &[u8]) -> Result<&str> {
    // A byte-order mark is what some Windows clients put in front; JSON has no room for it.
    let text = std::str::from_utf8(body).map_err(|_| Error::invalid("body", "is not valid UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn too_deep() -> Error {
    Error::invalid("body", format!("is JSON nested deeper than {MAX_DEPTH} levels"))
}

enum Parsed {
    Json(Box<RawValue>),
    TooDeep,
    Text,
}

fn parse(text: &str) -> Parsed {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return Parsed::Text };
    match compact(raw.get()) {
        Some(text) => RawValue::from_string(text).map_or(Parsed::Text, Parsed::Json),
        None => Parsed::TooDeep,
    }
}

/// Takes the blanks between tokens out of valid JSON; numbers and escapes stay as they were written. `None` when it nests too deep.
fn compact(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                ' ' | '\t' | '\r' | '\n' => continue,
                '"' => in_string = true,
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return None;
            }
        }
        out.push(c);
    }
    Some(out)
}

fn string(text: &str) -> Box<RawValue> {
    // A `str` always serializes; the other arm is there for the types only.
    to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(payload: &[u8]) -> String {
        render(payload).json.get().to_owned()
    }

    #[test]
    fn json_keeps_its_letters_and_loses_its_blanks() {
        assert_eq!(shown(b" {\"b\" : 1.50,\n\"a\":[ 1e3 , \"x  y\\\" z\" ] } "), r#"{"b":1.50,"a":[1e3,"x  y\" z"]}"#);
        assert_eq!(shown(b"12345678901234567890123"), "12345678901234567890123");
    }

    #[test]
    fn text_becomes_a_string() {
        assert_eq!(shown(b"FOO|BAR|This is a message."), r#""FOO|BAR|This is a message.""#);
        assert_eq!(shown(b"{broken"), r#""{broken""#);
        assert_eq!(shown(br#"{"v": NaN}"#), r#""{\"v\": NaN}""#);
        assert_eq!(shown(b""), r#""""#);
    }

    #[test]
    fn bytes_become_base64() {
        let it = render(&[0xff, 0x00]);
        assert!(it.base64);
        assert_eq!(it.json.get(), r#""/wA=""#);
    }

    #[test]
    fn a_publish_takes_json_or_text_but_not_bytes_or_nothing() {
        assert_eq!(json_or_text(b"{ \"a\" : 1 }").unwrap(), br#"{"a":1}"#);
        assert_eq!(json_or_text(b"{ \"a\" : ").unwrap(), b"{ \"a\" : ");
        assert_eq!(json_or_text("\u{feff}{}".as_bytes()).unwrap(), b"{}");
        for bad in [
            &b""[..],
            b"  \n",
            b"\xff\xfe",
            "[".repeat(129).as_bytes().iter().chain("]".repeat(129).as_bytes()).copied().collect::<Vec<_>>().as_slice(),
        ] {
            assert!(matches!(json_or_text(bad), Err(Error::Invalid { field: "body", .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_collect_takes_json_only() {
        assert_eq!(json(b"{\"foo\": \"bar\"}").unwrap(), br#"{"foo":"bar"}"#);
        for bad in [&b""[..], b"{", b"foo", b"{\"v\": NaN}", b"{} {}", b"\xff"] {
            assert!(json(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(json(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(json(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(shown(nested(100_000).as_bytes()).starts_with('"'), "shown as text instead");
        assert!(json(format!("\"{}\"", "[".repeat(1_000)).as_bytes()).is_ok(), "brackets in a string do not nest");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_leaves_as_json(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let it = render(&payload);
            prop_assert!(serde_json::from_str::<serde_json::Value>(it.json.get()).is_ok());
        }

        #[test]
        fn compacting_changes_no_meaning(text in "[\\[\\]{}\",:0-9a-z\\\\ \n-]{0,40}") {
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                let it = render(text.as_bytes());
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(it.json.get()).unwrap(), value);
            }
        }
    }
}
