//! A request's query: single values, and lists that come comma separated, repeated, or both.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use model::{Error, Result};

/// The names and values of a query, percent-decoded, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// The most values of one list.
    pub(crate) const LIST_MAX: usize = 1_000;

    /// Reads the text after the question mark.
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value of that name; empty is absent, twice is refused.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(Error::invalid(name, "is given twice")),
            (value, None) => Ok(value.filter(|v| !v.is_empty())),
            (None, Some(_)) => Ok(None),
        }
    }

    /// The same, which must be there.
    pub(crate) fn need(&self, name: &'static str) -> Result<&str> {
        self.one(name)?.ok_or_else(|| Error::invalid(name, "is required"))
    }

    /// The values of a list, by any of its names.
    pub(crate) fn list(&self, names: &[&'static str]) -> Result<Vec<&str>> {
        let values = self.0.iter().filter(|(n, _)| names.iter().any(|name| n == name || n.strip_suffix("[]") == Some(name)));
        let list: Vec<&str> = values.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect();
        if list.len() > Self::LIST_MAX {
            return Err(Error::invalid(names.first().copied().unwrap_or("query"), format!("has more than {} values", Self::LIST_MAX)));
        }
        Ok(list)
    }

    /// Is one of these names there?
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.0.iter().any(|(n, value)| !value.is_empty() && names.iter().any(|name| n == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_and_lists() {
        let query = Query::parse("a=1&b=x,y%2Cz&b=w&c=&d=1&d=2&e[]=q");
        assert_eq!(query.one("a"), Ok(Some("1")));
        assert_eq!(query.one("c"), Ok(None));
        assert!(query.one("d").is_err());
        assert!(query.need("c").is_err());
        assert_eq!(query.list(&["b"]), Ok(vec!["x", "y", "z", "w"]));
        assert_eq!(query.list(&["e", "f"]), Ok(vec!["q"]));
        assert!(query.has(&["z", "a"]) && !query.has(&["c"]));
        assert!(Query::parse(&format!("x={}", "1,".repeat(1_001))).list(&["x"]).is_err());
    }
}
