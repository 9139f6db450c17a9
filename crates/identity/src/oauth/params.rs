//! Request parameters: none twice, none oversized, empty ones as if absent (RFC 6749 3.1, 3.2).

use std::collections::BTreeMap;

use super::OAuthError;

/// The longest value taken; a redirect URI, state or token stays far below.
const VALUE_MAX: usize = 8 * 1024;
const COUNT_MAX: usize = 64;

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, Vec<String>>);

/// Parameters that may stand several times (RFC 8707 2, RFC 8693 2.1).
const REPEATED: [&str; 2] = ["resource", "audience"];

impl Params {
    /// Takes decoded name-value pairs. Only `resource` and `audience` may stand several times (RFC 8707 2, RFC 8693 2.1).
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, OAuthError> {
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (count, (name, value)) in pairs.into_iter().enumerate() {
            if count >= COUNT_MAX || value.len() > VALUE_MAX || name.len() > 128 {
                return Err(OAuthError::invalid_request("too many parameters, or one of them is too long"));
            }
            if value.is_empty() {
                continue;
            }
            let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
            let several = REPEATED.contains(&name.as_str());
            let values = seen.entry(name).or_default();
            if !values.is_empty() && !several {
                return Err(OAuthError::invalid_request(format!("parameter {shown} stands more than once")));
            }
            values.push(value);
        }
        Ok(Self(seen))
    }

    /// A parameter, if it is there and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    /// Every value of a parameter that may stand several times.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// A parameter that must be there.
    pub fn need(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("Missing form parameter: {name}")))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Result<Params, OAuthError> {
        Params::new(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn empty_is_absent_and_twice_is_refused() {
        let p = params(&[("a", ""), ("b", "1"), ("a", "2")]).unwrap();
        assert_eq!((p.get("a"), p.get("b"), p.get("c")), (Some("2"), Some("1"), None));
        assert!(params(&[("a", "1"), ("a", "1")]).is_err());
        let p = params(&[("resource", "x"), ("b", "1"), ("resource", "y")]).unwrap();
        assert_eq!(p.all("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(p.iter().collect::<Vec<_>>(), [("b", "1"), ("resource", "x"), ("resource", "y")]);
        assert!(params(&[("a", &"x".repeat(9000))]).is_err());
        assert!(params(&vec![("", "1"); 65]).is_err());
    }
}
