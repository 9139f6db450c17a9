//! Bodies and path segments: JSON read with the place of what is wrong, values that may be absent, null or given.

use edge::Payload;
use model::{Error, Result};
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};

use crate::error::{Answer, Refusal};

/// A body of JSON; the refusal names the path of what is wrong.
pub(crate) fn body<T: DeserializeOwned>(payload: Payload) -> Answer<T> {
    let text = payload.0?;
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::invalid("body", "is empty, a JSON object is expected").into());
    }
    // Arrays would be read as structs by position.
    if text.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Error::invalid("body", "has to be an Object").into());
    }
    let mut json = serde_json::Deserializer::from_slice(&text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { "body".to_owned() } else { path };
        Refusal::body(at, error.into_inner().to_string())
    })?;
    json.end().map_err(|error| Refusal::body("body".to_owned(), error.to_string()))?;
    Ok(value)
}

/// An id in a path, a query or a filter.
pub(crate) fn id<T: std::str::FromStr>(name: &'static str, text: &str) -> Result<T> {
    // The braced, urn and hyphenless forms of a UUID are not the platform's.
    match text.parse() {
        Ok(id) if text.len() == 36 => Ok(id),
        _ => Err(Error::invalid(name, "is not a UUID")),
    }
}

/// A value of a partial object: absent keeps what is there, null removes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) enum Patch<T> {
    #[default]
    Keep,
    Remove,
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Remove, Self::Set))
    }
}

impl<T> Patch<T> {
    /// The value of a new object, where null is as good as absent.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Remove => None,
        }
    }

    /// A change; the inner none removes.
    pub(crate) fn change(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Remove => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }

    /// A change of a list, which null empties.
    pub(crate) fn list(self) -> Option<T>
    where
        T: Default,
    {
        self.change().map(Option::unwrap_or_default)
    }

    /// The same of something else.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Remove => Patch::Remove,
            Self::Set(value) => Patch::Set(f(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::ThingId;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default)]
        a: Patch<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        n: u8,
    }

    fn read(text: &'static str) -> Answer<Sample> {
        body(Payload(Ok(text.into())))
    }

    #[test]
    fn absent_null_and_given() {
        assert_eq!(read("{}").unwrap().a, Patch::Keep);
        assert_eq!(read(r#"{"a":null}"#).unwrap().a, Patch::Remove);
        assert_eq!(read(r#" {"a":{"n":1}} "#).unwrap().a.change(), Some(Some(Inner { n: 1 })));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, at) in [
            ("", "is empty"),
            ("[{}]", "Object"),
            ("{", "EOF"),
            ("{} x", "trailing"),
            (r#"{"a":{"n":300}}"#, "a.n"),
            (r#"{"a":[]}"#, "\"a\""),
        ] {
            let said = format!("{:?}", read(text).unwrap_err());
            assert!(said.contains(at), "{text}: {said}");
        }
    }

    #[test]
    fn ids_have_one_form() {
        assert!(id::<ThingId>("deviceId", "497f6eca-6276-4993-bfeb-53cbbbba6f08").is_ok());
        for bad in ["", "497f6eca62764993bfeb53cbbbba6f08", "urn:uuid:497f6eca-6276-4993-bfeb-53cbbbba6f08", "dev-1"] {
            assert!(id::<ThingId>("deviceId", bad).is_err(), "{bad}");
        }
    }
}
