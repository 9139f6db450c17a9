//! What the resources share: bodies, ids, pages, lists of `{"id": …}`.

use std::str::FromStr;

use edge::Payload;
use http::HeaderMap;
use identity::Span;
use model::{Caller, Error, Result, TenantId, UserId};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use crate::query::Query;
use crate::reply::Paging;

/// Rows of the largest page.
const PAGE_MAX: u64 = 100;

/// A JSON object. Properties nobody asked for are ignored, as the platform did.
pub(super) fn object<T: serde::de::DeserializeOwned>(payload: Payload) -> Result<T> {
    let value: Value = edge::json(&payload.0?)?;
    if !value.is_object() {
        return Err(Error::invalid("body", "has to be an object"));
    }
    serde_json::from_value(value).map_err(|e| Error::invalid("body", e.to_string()))
}

/// The same where the body may be left out.
pub(super) fn optional<T: serde::de::DeserializeOwned>(payload: Payload) -> Result<Option<T>> {
    let text = payload.0?;
    if text.iter().all(u8::is_ascii_whitespace) { Ok(None) } else { object(Payload(Ok(text))).map(Some) }
}

/// An id in a path or a query.
pub(super) fn id<T: FromStr>(field: &'static str, text: &str) -> Result<T> {
    // Of a UUID's forms the hyphenated one is the platform's.
    if text.len() != 36 {
        return Err(Error::invalid(field, "is not a UUID"));
    }
    text.parse().map_err(|_| Error::invalid(field, "is not a UUID"))
}

pub(super) fn user(text: &str) -> Result<UserId> {
    id("userId", text)
}

/// The tenant of a path, which has to be the token's: others are not there.
pub(super) fn own_tenant(caller: &Caller, text: &str) -> Result<TenantId> {
    let tenant: TenantId = id("tenantId", text)?;
    if tenant == caller.tenant { Ok(tenant) } else { Err(Error::not_found("tenant")) }
}

/// The token the caller was recognised by.
pub(super) fn token(headers: &HeaderMap) -> &str {
    edge::bearer(headers).unwrap_or_default()
}

/// `page` and `pageSize`.
pub(super) fn paging(query: &Query) -> Result<(Paging, Span)> {
    let paging = Paging::read(query, PAGE_MAX)?;
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok((paging, Span { skip: number(paging.offset()), take: number(paging.size) }))
}

/// `{"id": …}`.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    id: String,
}

/// Their ids.
pub(super) fn ids(field: &'static str, all: &[Reference]) -> Result<Vec<Uuid>> {
    all.iter().map(|r| id(field, &r.id)).collect()
}

/// For a field that may be absent (`None`), null (`Some(None)`) or there.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A name as the platform allows it: `least` to `most` of letters, digits, blanks, `_` and `-`.
pub(super) fn plain_name(field: &'static str, name: &str, least: usize, most: usize) -> Result<()> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if (least..=most).contains(&name.len()) && name.chars().all(good) && name.trim().len() >= least {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("must be {least} to {most} letters, digits, blanks or any of _ -")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert!(plain_name("name", "Key user_1-a", 3, 32).is_ok());
        for bad in ["", "ab", "   ", " a ", "näme", "a/b", "a\nb", &"x".repeat(33)] {
            assert!(plain_name("name", bad, 3, 32).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_have_one_form() {
        let good = "0190a0b0-1234-7abc-8def-0123456789ab";
        assert!(id::<Uuid>("id", good).is_ok());
        for bad in
            ["", "x", "{0190a0b0-1234-7abc-8def-0123456789ab}", "0190a0b012347abc8def0123456789ab", "urn:uuid:0190a0b0-1234-7abc-8def-0"]
        {
            assert!(id::<Uuid>("id", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn absent_null_and_there_differ() {
        #[derive(Deserialize)]
        struct Sample {
            #[serde(default, deserialize_with = "nullable")]
            a: Option<Option<String>>,
        }
        let read = |text: &str| serde_json::from_str::<Sample>(text).unwrap().a;
        assert_eq!((read("{}"), read(r#"{"a":null}"#), read(r#"{"a":"b"}"#)), (None, Some(None), Some(Some("b".to_owned()))));
    }
}
