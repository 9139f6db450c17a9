//! Every crate that is built must have a licence that `deny.toml` allows.

use crate::metadata::Metadata;
use crate::walls::Deny;

/// Complaints about crates whose licence expression cannot be met from the list.
#[must_use]
pub fn check(metadata: &Metadata, deny: &Deny) -> Vec<String> {
    let mut complaints: Vec<String> = metadata
        .packages
        .iter()
        .filter_map(|package| match &package.license {
            None => Some(format!("{} {} names no licence", package.name, package.version)),
            Some(text) if !met(text, &deny.licenses.allow) => Some(format!(
                "{} {}: licence {text} is not on deny.toml's list: replace the crate, or add the licence knowingly",
                package.name, package.version
            )),
            Some(_) => None,
        })
        .collect();
    complaints.sort();
    complaints
}

/// Can this SPDX expression be met from the list? `/` is the old way to write OR.
fn met(expression: &str, allow: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allow)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allow: &[String]) -> bool {
    let mut ok = both(words, allow);
    while words.next_if_eq(&"OR").is_some() {
        ok |= both(words, allow);
    }
    ok
}

fn both(words: &mut Words<'_>, allow: &[String]) -> bool {
    let mut ok = one(words, allow);
    while words.next_if_eq(&"AND").is_some() {
        ok &= one(words, allow);
    }
    ok
}

fn one(words: &mut Words<'_>, allow: &[String]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let ok = either(words, allow);
        words.next_if_eq(&")");
        return ok;
    }
    // An exception only adds rights.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allow.iter().any(|a| a == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allow = ["MIT", "Apache-2.0"].map(str::to_owned);
        for good in
            ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Apache-2.0", "Apache-2.0 WITH LLVM-exception OR GPL-2.0"]
        {
            assert!(met(good, &allow), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND OpenSSL"] {
            assert!(!met(bad, &allow), "{bad}");
        }
    }

    #[test]
    fn every_crate_has_an_allowed_licence() {
        assert_eq!(check(&Metadata::read().unwrap(), &Deny::read().unwrap()), Vec::<String>::new());
    }
}
