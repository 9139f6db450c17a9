//! Credentials out of headers: syntax only, who they belong to is for `identity`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

// Some device libraries leave the padding away.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// User and password of HTTP Basic (RFC 7617); what they name (user, client, thing) is the dialect's business.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// Before the first colon.
    pub user: String,
    /// After it; may be empty and may contain colons.
    pub password: String,
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The one value of a header as text; `None` when it is absent, repeated or not visible ASCII.
#[must_use]
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim),
        _ => None,
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 2.1; the scheme in any case). Two Authorization headers are none.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "bearer").filter(|token| !token.contains(' '))
}

/// The token of `Authorization: DPoP …` (RFC 9449 7.1; the scheme in any case).
#[must_use]
pub fn dpop_token(headers: &HeaderMap) -> Option<&str> {
    scheme(headers, "dpop").filter(|token| !token.contains(' '))
}

/// User and password of `Authorization: Basic …` (RFC 7617, UTF-8; the scheme in any case, padding optional).
#[must_use]
pub fn basic(headers: &HeaderMap) -> Option<Basic> {
    let decoded = LENIENT.decode(scheme(headers, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Basic { user: user.to_owned(), password: password.to_owned() })
}

/// The value of a cookie (RFC 6265 5.4); the first one of that name.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
}

fn scheme<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) = header(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    let rest = rest.trim();
    (scheme.eq_ignore_ascii_case(wanted) && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn bearer_takes_the_scheme_in_any_case_and_one_token() {
        for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(bearer(&with(good)), Some("abc"), "{good}");
        }
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "abc"] {
            assert_eq!(bearer(&with(bad)), None, "{bad}");
        }
        let mut twice = with("Bearer abc");
        twice.append(AUTHORIZATION, "Bearer def".parse().unwrap());
        assert_eq!(bearer(&twice), None, "two tokens: neither may win");
    }

    #[test]
    fn basic_splits_at_the_first_colon() {
        // RFC 7617 2: Aladdin, open sesame; and test / 123 with a pound sign in UTF-8 (2.1).
        let aladdin = basic(&with("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")).unwrap();
        assert_eq!((aladdin.user.as_str(), aladdin.password.as_str()), ("Aladdin", "open sesame"));
        assert_eq!(basic(&with("basic dGVzdDoxMjPCow")).unwrap().password, "123£");
        assert_eq!(basic(&with("Basic YTpiOmM=")).unwrap().password, "b:c");
        for bad in ["Basic !!", "Basic YWJj", "Basic /w==", "Bearer YTpi"] {
            assert_eq!(basic(&with(bad)), None, "{bad}");
        }
        assert!(!format!("{aladdin:?}").contains("sesame"), "a password must not be printed");
    }

    #[test]
    fn cookies() {
        let headers = HeaderMap::from_iter([(COOKIE, "a=1; session=\"x=y\"; b".parse().unwrap())]);
        assert_eq!(cookie(&headers, "session"), Some("x=y"));
        assert_eq!(cookie(&headers, "b"), None);
    }

    proptest! {
        #[test]
        fn basic_reads_back_what_was_encoded(user in "[^:\\x00-\\x1f]{0,20}", password in "\\PC{0,20}") {
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            prop_assert_eq!(basic(&with(&format!("Basic {text}"))), Some(Basic { user, password }));
        }

        #[test]
        fn no_header_makes_the_parsers_fall(text in "[ -~]{0,60}") {
            let headers = with(&text);
            let _ = (bearer(&headers), basic(&headers));
        }
    }
}
