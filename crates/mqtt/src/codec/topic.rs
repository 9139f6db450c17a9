//! Topic names and filters (4.7, 4.8.2).

use super::DecodeError;
use crate::Reason;

/// Checks a topic name: not empty, no wildcards. UTF-8 and U+0000 were checked when it was read.
pub fn check_topic(topic: &str) -> Result<(), DecodeError> {
    let bad = |detail| Err(DecodeError { reason: Reason::TopicNameInvalid, detail });
    if topic.is_empty() {
        return bad("the topic is empty");
    }
    if topic.len() > 65_535 {
        return bad("the topic is too long");
    }
    if topic.bytes().any(|b| matches!(b, b'+' | b'#' | 0)) {
        return bad("a wildcard in a topic name");
    }
    Ok(())
}

/// A topic filter, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// The group of a shared subscription.
    pub group: Option<&'a str>,
    /// The filter proper.
    pub filter: &'a str,
}

/// Checks a topic filter and splits `$share/group/filter`.
pub fn check_filter(text: &str) -> Result<Filter<'_>, DecodeError> {
    let bad = |detail| Err(DecodeError { reason: Reason::TopicFilterInvalid, detail });
    let parsed = match text.strip_prefix("$share/") {
        None => Filter { group: None, filter: text },
        Some(rest) => match rest.split_once('/') {
            Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) => Filter { group: Some(group), filter },
            _ => return bad("a shared subscription is $share/GROUP/FILTER"),
        },
    };
    if parsed.filter.is_empty() {
        return bad("the topic filter is empty");
    }
    if text.len() > 65_535 || text.contains('\0') {
        return bad("the topic filter is too long or holds U+0000");
    }
    let mut levels = parsed.filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => return bad("# must be the last level"),
            "#" | "+" => {}
            _ if level.contains(['+', '#']) => return bad("a wildcard must be a whole level"),
            _ => {}
        }
    }
    Ok(parsed)
}
