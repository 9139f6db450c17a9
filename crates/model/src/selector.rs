//! Which things are meant: conditions joined by AND, the alternatives of one condition by OR.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, ThingId, ThingTypeId};

/// Chooses things. An empty list does not choose; a selector of empty lists chooses every thing of the tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// One of these things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub things: Vec<ThingId>,
    /// Has one of these tags, in any case; `*` stands for any text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Is of one of these types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<ThingTypeId>,
    /// Its type is called one of these, in any case; `*` stands for any text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub type_names: Vec<String>,
    /// Its type is in one of these categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Is behind one of these gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connected_by: Vec<ThingId>,
    /// Is called one of these, in any case; `*` stands for any text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Has one of these aliases; `*` stands for any text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// What a selector looks at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The thing.
    pub id: ThingId,
    /// Its name.
    pub name: &'a str,
    /// Its tags.
    pub tags: &'a [String],
    /// Its type.
    pub thing_type: Option<ThingTypeId>,
    /// Its type's name; empty without a type.
    pub type_name: &'a str,
    /// Its type's categories.
    pub categories: &'a [String],
    /// The gateway it is behind.
    pub connected_by: Option<ThingId>,
    /// Its aliases.
    pub aliases: &'a [String],
}

impl Selector {
    /// Does it choose every thing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The most alternatives in all conditions together.
    pub const MAX: usize = 1_000;
    /// The longest alternative, in bytes.
    pub const MAX_TEXT: usize = 512;

    /// Checks sizes. Error: Invalid(selector).
    pub fn check(&self) -> Result<()> {
        let texts = [&self.tags, &self.type_names, &self.categories, &self.names, &self.aliases];
        let count: usize =
            texts.iter().map(|list| list.len()).sum::<usize>() + self.things.len() + self.types.len() + self.connected_by.len();
        if count > Self::MAX {
            return Err(Error::invalid("selector", format!("has {count} alternatives; at most {} are allowed", Self::MAX)));
        }
        if texts.iter().any(|list| list.iter().any(|text| text.is_empty() || text.len() > Self::MAX_TEXT)) {
            return Err(Error::invalid("selector", format!("must hold texts of 1 to {} bytes", Self::MAX_TEXT)));
        }
        Ok(())
    }

    /// Is the thing chosen?
    #[must_use]
    pub fn matches(&self, thing: &Subject<'_>) -> bool {
        fn one<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
            wanted.is_empty() || wanted.iter().any(is)
        }
        let folded = |pattern: &str, text: &str| wildcard(&pattern.to_lowercase(), &text.to_lowercase());
        one(&self.things, |id| *id == thing.id)
            && one(&self.tags, |tag| thing.tags.iter().any(|has| folded(tag, has)))
            && one(&self.types, |id| Some(*id) == thing.thing_type)
            && one(&self.type_names, |name| folded(name, thing.type_name))
            && one(&self.categories, |category| thing.categories.contains(category))
            && one(&self.connected_by, |id| Some(*id) == thing.connected_by)
            && one(&self.names, |name| folded(name, thing.name))
            && one(&self.aliases, |alias| thing.aliases.iter().any(|has| wildcard(alias, has)))
    }
}

/// Does the text look like the pattern, in which `*` stands for any text, also none? Linear in memory, at worst quadratic in time.
#[must_use]
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in
            [("", ""), ("*", ""), ("*", "x"), ("living*", "livingroom"), ("*room", "livingroom"), ("l*r*m", "livingroom"), ("a**b", "ab")]
        {
            assert!(wildcard(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "x"), ("living", "livingroom"), ("*x", "livingroom"), ("l*r*z", "livingroom"), ("ab*ba", "aba")] {
            assert!(!wildcard(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn conditions_join_by_and_alternatives_by_or() {
        let (tags, aliases) = (vec!["lighthouse".to_owned(), "room1".to_owned()], vec!["front".to_owned()]);
        let thing = Subject {
            id: ThingId(Uuid::nil()),
            name: "Living Room",
            tags: &tags,
            thing_type: None,
            type_name: "",
            categories: &[],
            connected_by: None,
            aliases: &aliases,
        };
        let selector = Selector { tags: vec!["nowhere".into(), "ROOM1".into()], names: vec!["living*".into()], ..Selector::default() };
        assert!(Selector::default().matches(&thing) && selector.matches(&thing));
        assert!(!Selector { aliases: vec!["Front".into()], ..selector }.matches(&thing));
        assert!(!Selector { types: vec![ThingTypeId(Uuid::nil())], ..Selector::default() }.matches(&thing));
    }
}
