//! What a request shows of its sender: credentials, proof of possession, certificate. Syntax only; `identity` judges.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use http::Method;
use http::request::Parts;
use identity::oauth::{ClientAuth, Dpop, Shown};

use crate::headers::{Basic, basic, bearer, dpop_token};
use crate::origin::PeerCertificate;

/// What a request shows. Usable as an axum extractor.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    method: Method,
    path: String,
    basic: Option<Basic>,
    token: Option<String>,
    dpop_scheme: bool,
    dpop: Vec<String>,
    certificate: Option<Arc<[u8]>>,
}

impl Presented {
    /// The access token, sent as `Bearer` or as `DPoP`; what it is bound to is for `Identity::verify_shown` to check.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// How a client proves itself, by what stands in the header and the handshake.
    #[must_use]
    pub fn client(&self) -> ClientAuth<'_> {
        ClientAuth { basic: self.basic.as_ref().map(|b| (b.user.as_str(), b.password.as_str())), shown: self.shown() }
    }

    /// What it shows beside its credentials.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        let dpop = match self.dpop.as_slice() {
            [] => Dpop::Absent,
            [one] if !one.is_empty() => Dpop::One(one),
            _ => Dpop::Malformed,
        };
        Shown {
            method: self.method.as_str(),
            path: &self.path,
            dpop,
            dpop_scheme: self.dpop_scheme,
            certificate: self.certificate.as_deref(),
        }
    }

    fn of(parts: &Parts) -> Self {
        let headers = &parts.headers;
        let path = parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.path(), |uri| uri.path()).to_owned();
        let (plain, bound) = (bearer(headers), dpop_token(headers));
        Self {
            method: parts.method.clone(),
            path,
            basic: basic(headers),
            dpop_scheme: bound.is_some(),
            token: plain.or(bound).map(str::to_owned),
            // One that is no text is as good as an empty one: refused.
            dpop: headers.get_all("dpop").iter().map(|value| value.to_str().unwrap_or_default().trim().to_owned()).collect(),
            certificate: parts.extensions.get::<PeerCertificate>().map(|c| c.0.clone()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Presented {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(headers: &[(&str, &str)]) -> Presented {
        let mut request = http::Request::builder().method("POST").uri("/oauth2/token?x=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Presented::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn one_proof_and_one_token() {
        let plain = presented(&[("authorization", "Bearer t")]);
        assert_eq!((plain.token(), plain.shown().dpop_scheme, plain.shown().dpop), (Some("t"), false, Dpop::Absent));
        let bound = presented(&[("authorization", "dpop t"), ("dpop", " p ")]);
        assert_eq!((bound.token(), bound.shown().dpop_scheme, bound.shown().dpop), (Some("t"), true, Dpop::One("p")));
        assert_eq!((bound.shown().method, bound.shown().path), ("POST", "/oauth2/token"));
        for bad in [&[("dpop", "p"), ("dpop", "p")][..], &[("dpop", "")]] {
            assert_eq!(presented(bad).shown().dpop, Dpop::Malformed);
        }
        assert_eq!(presented(&[("authorization", "Bearer a"), ("authorization", "DPoP b")]).token(), None);
    }
}
