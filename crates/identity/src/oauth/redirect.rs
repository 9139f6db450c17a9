//! Answers that travel through the browser: where to, and in which form.

use super::{OAuthError, OAuthErrorCode};

/// How the answer travels (OAuth 2.0 Multiple Response Type Encoding Practices; Form Post Response Mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query.
    Query,
    /// In the fragment.
    Fragment,
    /// In a form that sends itself.
    FormPost,
}

impl ResponseMode {
    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "query" => Some(Self::Query),
            "fragment" => Some(Self::Fragment),
            "form_post" => Some(Self::FormPost),
            _ => None,
        }
    }
}

/// An answer for a registered redirect URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Where to: registered, compared letter by letter.
    pub uri: String,
    /// How.
    pub mode: ResponseMode,
    /// The answer's parameters.
    pub params: Vec<(&'static str, String)>,
}

impl Redirect {
    /// An error for the client; `iss` tells it who speaks (RFC 9207).
    pub(crate) fn error(uri: &str, mode: ResponseMode, error: &OAuthError, state: Option<&str>, issuer: String) -> Self {
        let mut params = vec![("error", error.code.name().to_owned()), ("error_description", error.description.clone())];
        params.extend(state.map(|state| ("state", state.to_owned())));
        params.push(("iss", issuer));
        Self { uri: uri.to_owned(), mode, params }
    }

    /// The error it carries, for a client that asks over its own connection (RFC 9126 2.3).
    pub(crate) fn told(&self) -> OAuthError {
        let of = |name: &str| self.params.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()).unwrap_or_default();
        let code = OAuthErrorCode::from_name(&of("error")).unwrap_or(OAuthErrorCode::InvalidRequest);
        OAuthError::new(code, of("error_description"))
    }

    /// The address to go to, for the modes that have one; a form posts to `uri` instead.
    #[must_use]
    pub fn location(&self) -> String {
        let mut encoded = String::new();
        for (name, value) in &self.params {
            if !encoded.is_empty() {
                encoded.push('&');
            }
            encoded.push_str(name);
            encoded.push('=');
            percent_encode(value, &mut encoded);
        }
        let joint = match self.mode {
            ResponseMode::Fragment => '#',
            // A registered URI may have a query of its own, which stays (RFC 6749 3.1.2).
            _ if self.uri.contains('?') => '&',
            _ => '?',
        };
        format!("{}{joint}{encoded}", self.uri)
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 2.3).
pub(crate) fn percent_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
            }
        }
    }
}

/// Is this redirect URI registered? Letter by letter; only a loopback address may come with any port (RFC 8252 7.3).
#[must_use]
pub(crate) fn registered(registered: &[String], uri: &str) -> bool {
    registered.iter().any(|known| known == uri || (loopback_parts(known).is_some() && loopback_parts(known) == loopback_parts(uri)))
}

/// A loopback URI without its port.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    for host in ["http://127.0.0.1", "http://[::1]"] {
        let Some(rest) = uri.strip_prefix(host) else { continue };
        let (port, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let port_ok = port.is_empty()
            || port.strip_prefix(':').is_some_and(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()));
        return (port_ok && !path.contains('#')).then_some((host, path));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_uris_match_letter_by_letter() {
        let known = vec!["https://app.example/cb".to_owned(), "http://127.0.0.1/cb?x=1".to_owned()];
        for good in ["https://app.example/cb", "http://127.0.0.1/cb?x=1", "http://127.0.0.1:8912/cb?x=1"] {
            assert!(registered(&known, good), "{good}");
        }
        for bad in [
            "https://app.example/cb/",
            "https://app.example/cb?x",
            "https://app.example:443/cb",
            "HTTPS://app.example/cb",
            "https://app.example/../cb",
            "http://127.0.0.1.evil.example/cb?x=1",
            "http://127.0.0.1:80@evil.example/cb?x=1",
            "http://127.0.0.1:/cb?x=1",
            "http://127.0.0.1:8912/cb",
            "http://localhost/cb?x=1",
            "",
        ] {
            assert!(!registered(&known, bad), "{bad}");
        }
    }

    #[test]
    fn answers_are_encoded() {
        let mut answer = Redirect {
            uri: "https://a/cb?k=v".into(),
            mode: ResponseMode::Query,
            params: vec![("code", "a+b/=".into()), ("state", "ü &".into())],
        };
        assert_eq!(answer.location(), "https://a/cb?k=v&code=a%2Bb%2F%3D&state=%C3%BC%20%26");
        answer.mode = ResponseMode::Fragment;
        assert_eq!(answer.location(), "https://a/cb?k=v#code=a%2Bb%2F%3D&state=%C3%BC%20%26");
    }
}
