//! Parameters out of a query or a form body.

use edge::Payload;
use identity::oauth::{OAuthError, Params};

/// The parameters of a query string.
pub(crate) fn query(uri: &http::Uri) -> Result<Params, OAuthError> {
    parse(uri.query().unwrap_or_default().as_bytes())
}

/// The parameters of a form body. What stands in the query does not count (contracts/lightelligence.md 2.3).
pub(crate) fn body(payload: Payload) -> Result<Params, OAuthError> {
    parse(&payload.0?)
}

fn parse(bytes: &[u8]) -> Result<Params, OAuthError> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(bytes).map_err(|_| OAuthError::invalid_request("the parameters are not form-urlencoded UTF-8"))?;
    if pairs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}')) {
        return Err(OAuthError::invalid_request("a parameter is not UTF-8"));
    }
    Params::new(pairs)
}

/// The same parameters, form-urlencoded.
pub(crate) fn encode<'a>(params: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    serde_urlencoded::to_string(params.into_iter().collect::<Vec<_>>()).unwrap_or_default()
}
