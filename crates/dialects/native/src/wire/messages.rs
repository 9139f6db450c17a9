//! Messages. A payload is any bytes; JSON has none, so it is told in one of two ways, and a third time where that helps:
//! `payload` when it is UTF-8, `payload_base64` when it is not, and `json` besides when the text is a JSON document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use model::{Direction, MessageStatus};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{DirectionWord, MessageStatusWord, Moment};
use crate::Failure;

/// A stored message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// The thing it comes from or goes to, by id.
    pub thing: Uuid,
    /// Which way, seen from the gateway.
    #[schema(value_type = DirectionWord)]
    pub direction: Direction,
    /// When the gateway took it.
    pub at: Timestamp,
    /// The MQTT topic it came in on, or the channel (`http:collect`); absent for a plain outbound message.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "things/dev-1/position")]
    pub topic: String,
    /// What became of it.
    #[schema(value_type = MessageStatusWord)]
    pub status: MessageStatus,
    /// When it is no longer worth delivering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// 0 to 9; 9 is delivered first. Told in the inbox, among the dead letters, and for a single message that was sent to the thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Why it is a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_since: Option<Timestamp>,
    /// The payload, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "{\"t\":21.5}")]
    pub payload: Option<String>,
    /// The payload in base64, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// The payload as a value besides, when it is a JSON document; numbers keep every digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>, example = json!({"t": 21.5}))]
    pub json: Option<Box<RawValue>>,
}

impl From<model::Message> for Message {
    fn from(m: model::Message) -> Self {
        let (payload, payload_base64) = match String::from_utf8(m.payload) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(STANDARD.encode(bytes.as_bytes()))),
        };
        let json = payload.as_deref().and_then(document);
        Self {
            id: m.id.uuid(),
            thing: m.thing.uuid(),
            direction: m.direction,
            at: m.at,
            topic: m.topic,
            status: m.status,
            expires: m.expires,
            priority: None,
            reason: None,
            dead_since: None,
            payload,
            payload_base64,
            json,
        }
    }
}

impl From<things::Queued> for Message {
    fn from(queued: things::Queued) -> Self {
        let (reason, dead_since) = queued.dead.map_or((None, None), |dead| (Some(dead.reason), dead.since));
        Self { priority: queued.priority, reason, dead_since, ..queued.message.into() }
    }
}

/// The text as JSON on one line, if it is JSON.
fn document(text: &str) -> Option<Box<RawValue>> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    // A line end in valid JSON is always between tokens, never inside a string.
    RawValue::from_string(value.get().replace(['\r', '\n'], " ")).ok()
}

/// A message to be sent to a thing: exactly one of `payload`, `payload_base64` and `json`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"json": {"led": "on"}, "expires_in": 3600}))]
pub struct NewMessage {
    /// The payload as text.
    pub payload: Option<String>,
    /// The payload as any bytes, in base64.
    pub payload_base64: Option<String>,
    /// The payload as a JSON value; sent as it is written here.
    #[schema(value_type = Option<serde_json::Value>)]
    pub json: Option<Box<RawValue>>,
    /// Seconds after which it is no longer worth delivering; when absent, and at most, as long as the plan keeps messages.
    #[schema(minimum = 1)]
    pub expires_in: Option<u32>,
    /// 0 to 9, 4 when absent: what has a higher one is delivered first, what has the same in the order of sending.
    #[schema(minimum = 0, maximum = 9)]
    pub priority: Option<u8>,
}

/// How a message is sent once more.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redelivery {
    /// Before everything that waits, instead of at the end of its priority.
    pub first: bool,
}

/// Why a message is taken aside.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the firmware cannot read it"}))]
pub struct Burial {
    /// 1 to 500 characters.
    pub reason: String,
}

/// How safely a tenant's messages are kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct TenantDurability {
    /// `sync`, `flush` or `memory`: the tenant's own level; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "flush")]
    pub level: Option<&'static str>,
    /// What holds for its messages that come by no MQTT listener with a level of its own.
    #[schema(example = "sync")]
    pub effective: &'static str,
}

/// A tenant's own durability level.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"level": "flush"}))]
pub struct DurabilityChange {
    /// `sync`, `flush` or `memory`; null for none.
    pub level: Option<String>,
}

impl NewMessage {
    /// The payload's bytes.
    pub fn bytes(&self) -> Result<Bytes, Failure> {
        match (&self.payload, &self.payload_base64, &self.json) {
            (Some(text), None, None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(text), None) => {
                STANDARD.decode(text).map(Bytes::from).map_err(|e| Failure::input("payload_base64", format!("is not base64: {e}")))
            }
            (None, None, Some(value)) => Ok(Bytes::copy_from_slice(value.get().as_bytes())),
            _ => Err(Failure::input("payload", "give exactly one of payload, payload_base64 and json")),
        }
    }

    /// When it is no longer worth delivering.
    pub fn expires(&self, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        match self.expires_in {
            None => Ok(None),
            Some(0) => Err(Failure::input("expires_in", "is at least 1 second")),
            Some(seconds) => now
                .checked_add(jiff::SignedDuration::from_secs(i64::from(seconds)))
                .map(Some)
                .map_err(|_| Failure::input("expires_in", "is too far away")),
        }
    }
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Newest first.
    #[default]
    Desc,
    /// Oldest first.
    Asc,
}

/// Which messages.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct MessageQuery {
    /// Not before: RFC 3339 or seconds since the epoch.
    #[param(value_type = Option<String>, example = "2026-01-31T12:00:00Z")]
    pub from: Option<Moment>,
    /// Not after: RFC 3339 or seconds since the epoch.
    #[param(value_type = Option<String>)]
    pub to: Option<Moment>,
    /// Only this direction.
    #[param(value_type = Option<DirectionWord>)]
    pub direction: Option<Direction>,
    /// Newest (`desc`) or oldest (`asc`) first.
    #[param(default = "desc", inline)]
    pub order: Option<Order>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Which messages to delete.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RangeQuery {
    /// Not before: RFC 3339 or seconds since the epoch.
    #[param(value_type = Option<String>)]
    pub from: Option<Moment>,
    /// Not after: RFC 3339 or seconds since the epoch.
    #[param(value_type = Option<String>)]
    pub to: Option<Moment>,
    /// Only this direction.
    #[param(value_type = Option<DirectionWord>)]
    pub direction: Option<Direction>,
}

/// How many messages are gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Their number.
    pub deleted: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(payload: &[u8]) -> Message {
        Message::from(model::Message {
            id: Uuid::from_u128(1).into(),
            tenant: Uuid::from_u128(2).into(),
            thing: Uuid::from_u128(3).into(),
            direction: Direction::Inbound,
            at: Timestamp::UNIX_EPOCH,
            topic: "things/dev-1/t".into(),
            payload: payload.to_vec(),
            expires: None,
            status: MessageStatus::Stored,
        })
    }

    #[test]
    fn payloads_in_their_three_forms() {
        let shown = |payload: &[u8]| {
            let m = message(payload);
            (m.payload, m.payload_base64, m.json.map(|j| j.get().to_owned()))
        };
        assert_eq!(shown(b"hello"), (Some("hello".into()), None, None));
        assert_eq!(shown(b"\xff\x00"), (None, Some("/wA=".into()), None));
        assert_eq!(shown(b""), (Some(String::new()), None, None));
        let exact = "{\"n\": 12345678901234567890.000000000001}";
        assert_eq!(shown(exact.as_bytes()), (Some(exact.into()), None, Some(exact.into())), "digits are kept");
        assert_eq!(shown(b"{\r\n\"a\":1}\n").2.as_deref(), Some("{  \"a\":1}"), "one line");
        assert_eq!(shown(b"{\"a\":1} x").2, None);
    }

    #[test]
    fn the_whole_message() {
        insta::assert_snapshot!(serde_json::to_string(&message(b"{\"t\":21.5}")).unwrap(), @r#"{"id":"00000000-0000-0000-0000-000000000001","thing":"00000000-0000-0000-0000-000000000003","direction":"inbound","at":"1970-01-01T00:00:00Z","topic":"things/dev-1/t","status":"stored","payload":"{\"t\":21.5}","json":{"t":21.5}}"#);
    }

    fn sent(text: &str) -> Result<Vec<u8>, Failure> {
        serde_json::from_str::<NewMessage>(text).unwrap().bytes().map(|b| b.to_vec())
    }

    #[test]
    fn one_payload_and_no_more() {
        assert_eq!(sent(r#"{"payload":"é"}"#).unwrap(), "é".as_bytes());
        assert_eq!(sent(r#"{"payload_base64":"/wA="}"#).unwrap(), b"\xff\x00");
        assert_eq!(sent(r#"{"json": {"a" : 1.50} }"#).unwrap(), b"{\"a\" : 1.50}", "as it is written");
        assert_eq!(sent(r#"{"payload":""}"#).unwrap(), b"");
        for bad in ["{}", r#"{"payload":"a","json":1}"#, r#"{"payload_base64":"%"}"#] {
            assert!(sent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn expiry_counts_from_now() {
        let of = |seconds| {
            NewMessage { payload: None, payload_base64: None, json: None, expires_in: seconds, priority: None }
                .expires(Timestamp::UNIX_EPOCH)
        };
        assert_eq!(of(Some(60)).unwrap().unwrap().as_second(), 60);
        assert_eq!(of(None), Ok(None));
        assert!(of(Some(0)).is_err());
    }

    proptest! {
        #[test]
        fn any_payload_can_be_told_and_read_back(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let shown = serde_json::to_value(message(&payload)).unwrap();
            let back = match (&shown["payload"], &shown["payload_base64"]) {
                (serde_json::Value::String(text), serde_json::Value::Null) => text.clone().into_bytes(),
                (serde_json::Value::Null, serde_json::Value::String(text)) => STANDARD.decode(text).unwrap(),
                _ => panic!("one of the two"),
            };
            prop_assert_eq!(back, payload);
        }
    }
}
