//! Names and ids a client may choose when it provisions a thing.

use model::{Error, Result, Thing, UserId};
use uuid::Uuid;

/// A thing's full name: the first eight characters of its owner's id, a hyphen, the name asked for. An own prefix is not set twice.
pub(crate) fn prefixed(owner: Uuid, name: &str) -> Result<String> {
    let prefix = prefix(owner);
    let name = name.trim();
    let full = if name.strip_prefix(&prefix).is_some_and(|rest| !rest.is_empty()) { name.to_owned() } else { format!("{prefix}{name}") };
    if full.len() == prefix.len() {
        return Err(Error::invalid("thingName", "is empty"));
    }
    Thing::check_name("thingName", &full)?;
    Ok(full)
}

/// The name of a thing nobody named: its id's first part.
pub(crate) fn default_name(key: &str) -> &str {
    key.split('-').next().unwrap_or(key)
}

/// `ecd13b11-`, the namespace of the user's things.
fn prefix(owner: Uuid) -> String {
    let mut text = owner.hyphenated().to_string();
    text.truncate(8);
    text.push('-');
    text
}

/// An id as clients hand it in: a hyphenated UUID in either case, kept in lower case.
pub(crate) fn thing_id(text: &str) -> Result<String> {
    match (text.len(), Uuid::try_parse(text)) {
        (36, Ok(id)) => Ok(id.hyphenated().to_string()),
        _ => Err(Error::invalid("flthingspk", "is not a UUID")),
    }
}

/// A handle in a path: the documented ids in lower case, keys of things provisioned in other ways as they are.
pub(crate) fn handle(text: &str) -> String {
    thing_id(text).unwrap_or_else(|_| text.to_owned())
}

/// A user id in a path.
pub(crate) fn user_id(text: &str) -> Result<UserId> {
    text.parse().map_err(|_| Error::not_found("user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Uuid = uuid::uuid!("ecd13b11-6d91-4e8e-9156-60e451a3c975");

    #[test]
    fn a_name_gets_its_owners_prefix_once() {
        assert_eq!(prefixed(OWNER, "mything").unwrap(), "ecd13b11-mything");
        assert_eq!(prefixed(OWNER, "ecd13b11-mything").unwrap(), "ecd13b11-mything");
        assert_eq!(prefixed(OWNER, "reedway-home-1").unwrap(), "ecd13b11-reedway-home-1");
        assert_eq!(prefixed(OWNER, "a1333b61-mything").unwrap(), "ecd13b11-a1333b61-mything", "somebody else's prefix is part of the name");
        assert_eq!(prefixed(OWNER, "ecd13b11-").unwrap(), "ecd13b11-ecd13b11-");
    }

    #[test]
    fn a_name_must_fit_a_topic_and_a_file() {
        for bad in ["", "  ", "a/b", "a b", "+", "#", "é", &"x".repeat(120)] {
            assert!(matches!(prefixed(OWNER, bad), Err(Error::Invalid { field: "thingName", .. })), "{bad}");
        }
    }

    #[test]
    fn ids_are_uuids_in_lower_case() {
        assert_eq!(thing_id("5DA91B24-28F2-4B55-829E-26528BA7A2EB").unwrap(), "5da91b24-28f2-4b55-829e-26528ba7a2eb");
        for bad in ["", "dev-1", "5da91b2428f24b55829e26528ba7a2eb", "{5da91b24-28f2-4b55-829e-26528ba7a2eb}", "../../etc/passwd"] {
            assert!(thing_id(bad).is_err(), "{bad}");
        }
        assert_eq!(handle("dev-1"), "dev-1");
        assert_eq!(default_name("5da91b24-28f2-4b55-829e-26528ba7a2eb"), "5da91b24");
    }
}
