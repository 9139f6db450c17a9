//! What goes over the wire, field by field in the documented order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{Caller, Direction, Message, PlanName, Thing, ThingStatus, User, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::{Uuid, uuid};

use crate::payload;

/// The envelope around every answer but tokens and zips.
#[derive(Debug, Serialize)]
pub(crate) struct Envelope<T> {
    /// The HTTP status in words (`OK`, `Not Found`).
    pub status: &'static str,
    /// The HTTP status as a number.
    pub code: u16,
    /// What happened, for people.
    pub messages: [Note; 1],
    /// The answer proper.
    pub result: T,
    /// What the platform's front door put into a refusal (`Unauthorized`); only with 401.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
}

/// One remark in an envelope.
#[derive(Debug, Serialize)]
pub(crate) struct Note {
    pub key: &'static str,
    pub value: String,
}

impl<T> Envelope<T> {
    /// Status 200.
    pub(crate) fn ok(text: impl Into<String>, result: T) -> Self {
        Self { status: "OK", code: 200, messages: [Note { key: "message", value: text.into() }], result, message: None }
    }
}

/// `{}`, where there is nothing to tell.
#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

/// The answer of `/token`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    pub access_token: String,
}

/// UTC epoch seconds, and the same instant in words.
#[derive(Debug, Serialize)]
pub(crate) struct Instant {
    pub fltimestamp: i64,
    pub datecreated: String,
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self { fltimestamp: at.as_second(), datecreated: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() }
    }
}

/// A thing's certificate and keys as a response shows them.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub certificate_id: String,
    pub certificate_pem: String,
    /// Empty when it is not to be told, or is not ours to know.
    pub private: String,
    pub public: String,
}

/// A thing.
#[derive(Debug, Serialize)]
pub(crate) struct ThingWire {
    pub flthingspk: String,
    #[serde(flatten)]
    pub created: Instant,
    #[serde(rename = "certificateId")]
    pub certificate_id: String,
    pub fluserspk: Uuid,
    #[serde(rename = "certificatePem")]
    pub certificate_pem: String,
    #[serde(rename = "keyPairPrivate")]
    pub private: String,
    #[serde(rename = "keyPairPublic")]
    pub public: String,
    #[serde(rename = "testStatus")]
    pub status: &'static str,
    #[serde(rename = "thingDist")]
    pub distribution: String,
    #[serde(rename = "thingName")]
    pub name: String,
    #[serde(rename = "thingType")]
    pub kind: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl ThingWire {
    pub(crate) fn new(thing: Thing, keys: Keys) -> Self {
        Self {
            fluserspk: owner(&thing),
            flthingspk: thing.key,
            created: thing.created.into(),
            certificate_id: keys.certificate_id,
            certificate_pem: keys.certificate_pem,
            private: keys.private,
            public: keys.public,
            status: match thing.status {
                ThingStatus::Created => "CREATED",
                ThingStatus::Verified => "VERIFIED",
            },
            distribution: thing.distribution,
            name: thing.name,
            kind: thing.kind,
            attributes: thing.attributes,
        }
    }
}

/// The user namespace a thing lives in: whoever provisioned it, or else the tenant.
pub(crate) fn owner(thing: &Thing) -> Uuid {
    thing.owner.map_or(thing.tenant.uuid(), UserId::uuid)
}

/// The user namespace of a caller: the user, or else the tenant.
pub(crate) fn namespace(caller: &Caller) -> Uuid {
    caller.user().map_or(caller.tenant.uuid(), UserId::uuid)
}

/// What may stand in the body of `POST /things`; everything is optional in practice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CreateThing {
    pub flthingspk: Option<String>,
    #[serde(rename = "thingName")]
    pub thing_name: Option<String>,
    pub name: Option<String>,
    #[serde(rename = "thingType")]
    pub thing_type: Option<String>,
    #[serde(rename = "thingDist")]
    pub thing_dist: Option<String>,
    pub attributes: Option<BTreeMap<String, Scalar>>,
}

/// An attribute's value: text, or what reads as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
}

impl From<Scalar> for String {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Flag(flag) => flag.to_string(),
        }
    }
}

/// A stored message.
#[derive(Debug, Serialize)]
pub(crate) struct MessageWire {
    pub payload: Box<RawValue>,
    pub flthingspk: String,
    pub messagetype: &'static str,
    #[serde(flatten)]
    pub at: Instant,
    pub fluserspk: Uuid,
    pub flmessagespk: Uuid,
    /// `base64` when the payload was not text and stands here as its base64 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
}

impl MessageWire {
    pub(crate) fn new(thing: &Thing, message: &Message) -> Self {
        let rendered = payload::render(&message.payload);
        Self {
            payload: rendered.json,
            flthingspk: thing.key.clone(),
            messagetype: match message.direction {
                Direction::Inbound => "egress",
                Direction::Outbound => "ingress",
            },
            at: message.at.into(),
            fluserspk: owner(thing),
            flmessagespk: message.id.uuid(),
            encoding: rendered.base64.then_some("base64"),
        }
    }
}

/// The answer to a collect or a publish.
#[derive(Debug, Serialize)]
pub(crate) struct Collected {
    pub message: &'static str,
    pub flthingspk: String,
    pub flmessagespk: Uuid,
}

/// A user.
#[derive(Debug, Serialize)]
pub(crate) struct UserWire {
    pub fluserspk: Uuid,
    #[serde(flatten)]
    pub created: Instant,
    pub emailverified: bool,
    pub username: String,
}

impl From<User> for UserWire {
    fn from(user: User) -> Self {
        Self { fluserspk: user.id.uuid(), created: user.created.into(), emailverified: user.verified, username: user.email }
    }
}

/// A subscription: a plan for one period.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subscription {
    pub common_name: &'static str,
    pub startts: i64,
    pub endts: i64,
    pub flstatus: &'static str,
    pub plan_name: String,
    pub flsubscriptionspk: Uuid,
    pub fltimestamp: i64,
    pub datecreated: String,
    pub fluserspk: Uuid,
    pub product_id: String,
    pub plan_id: String,
}

/// What of a plan is used up.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SubscriptionPolicy {
    pub subscription: Subscription,
    pub policy: Policy,
}

/// The statements of a policy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Policy {
    #[serde(rename = "Statement")]
    pub statement: Vec<PolicyStatement>,
}

/// One statement: may there be one more?
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyStatement {
    pub action: &'static str,
    pub effect: &'static str,
    pub resource: String,
    pub allowed_count: u64,
    pub actual_count: u64,
}

/// `flsubscriptionspk` of a tenant's period: always the same for the same two.
const PERIODS: Uuid = uuid!("5e7a0c86-6f0f-5a0e-9d53-3f1c6c0c5a10");

/// One tenant's plan in one period.
pub(crate) struct Period {
    pub plan: PlanName,
    pub retention_days: u64,
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Subscription {
    pub(crate) fn new(caller: &Caller, period: &Period) -> Self {
        let Instant { fltimestamp, datecreated } = period.start.into();
        let name = [caller.tenant.uuid().as_bytes().as_slice(), &period.start.as_microsecond().to_be_bytes()].concat();
        let common_name = period.plan.name();
        let lower = common_name.to_ascii_lowercase();
        Self {
            common_name,
            startts: fltimestamp,
            endts: period.end.as_second(),
            flstatus: "active",
            plan_name: format!("Flashlex {} {}", title(common_name), period.retention_days),
            flsubscriptionspk: Uuid::new_v5(&PERIODS, &name),
            fltimestamp,
            datecreated,
            fluserspk: namespace(caller),
            product_id: format!("prod_{lower}"),
            plan_id: format!("plan_{lower}_{}", period.retention_days),
        }
    }
}

impl PolicyStatement {
    /// `flashex` has one l too few in the only documented action; ours follow it.
    pub(crate) fn new(fluserspk: Uuid, quota: model::Quota) -> Self {
        let (action, noun) = match quota.kind {
            model::QuotaKind::Things => ("flashex:createThing", "thing"),
            model::QuotaKind::Collected => ("flashex:collectMessage", "message:egress"),
            model::QuotaKind::Published => ("flashex:publishMessage", "message:ingress"),
        };
        Self {
            action,
            effect: if quota.allows() { "Allow" } else { "Deny" },
            resource: format!("{fluserspk}:{noun}:*"),
            allowed_count: quota.allowed,
            actual_count: quota.actual,
        }
    }
}

/// `SAPPHIRE` → `Sapphire`.
fn title(upper: &str) -> String {
    let mut chars = upper.chars();
    chars.next().into_iter().chain(chars.flat_map(char::to_lowercase)).collect()
}

#[cfg(test)]
mod tests {
    use model::{MessageId, MessageStatus, Permissions, Principal, Quota, QuotaKind, RequestId, TenantId, ThingId};

    use super::*;

    const ALICE: Uuid = uuid!("ecd13b11-6d91-4e8e-9156-60e451a3c975");
    const ACME: Uuid = uuid!("7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01");

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn thing() -> Thing {
        Thing {
            id: ThingId(Uuid::from_u128(7)),
            tenant: TenantId(ACME),
            key: "349c5942-77d6-4f36-880b-1762a3b07f06".into(),
            name: "ecd13b11-mything".into(),
            kind: "RaspberryPi".into(),
            distribution: "Python".into(),
            tags: vec![],
            attributes: BTreeMap::new(),
            status: ThingStatus::Created,
            owner: Some(UserId(ALICE)),
            created: at(1_563_587_144),
            updated: at(1_563_587_144),
        }
    }

    fn caller() -> Caller {
        Caller {
            tenant: TenantId(ACME),
            principal: Principal::User(UserId(ALICE)),
            permissions: Permissions::NONE,
            request: RequestId(Uuid::nil()),
            address: None,
        }
    }

    #[test]
    fn the_envelope_is_in_documented_order_and_compact() {
        let result = Collected {
            message: "Message collected.",
            flthingspk: "5da91b24-28f2-4b55-829e-26528ba7a2eb".into(),
            flmessagespk: uuid!("f5f10afe-0bb8-46be-a8c4-661c7a2e08bf"),
        };
        assert_eq!(
            serde_json::to_string(&Envelope::ok("Message collected.", result)).unwrap(),
            r#"{"status":"OK","code":200,"messages":[{"key":"message","value":"Message collected."}],"result":{"message":"Message collected.","flthingspk":"5da91b24-28f2-4b55-829e-26528ba7a2eb","flmessagespk":"f5f10afe-0bb8-46be-a8c4-661c7a2e08bf"}}"#
        );
    }

    #[test]
    fn a_message_is_written_as_in_the_platforms_archives() {
        let message = Message {
            id: MessageId(uuid!("1bdae18a-d97f-48ac-8256-f753de1c032f")),
            tenant: TenantId(ACME),
            thing: thing().id,
            direction: Direction::Inbound,
            at: Timestamp::from_microsecond(1_563_587_144_999_999).unwrap(),
            topic: "http:collect".into(),
            payload: br#"{"foo": "bar"}"#.to_vec(),
            expires: None,
            status: MessageStatus::Stored,
        };
        assert_eq!(
            serde_json::to_string(&MessageWire::new(&thing(), &message)).unwrap(),
            r#"{"payload":{"foo":"bar"},"flthingspk":"349c5942-77d6-4f36-880b-1762a3b07f06","messagetype":"egress","fltimestamp":1563587144,"datecreated":"2019-07-20T01:45:44Z","fluserspk":"ecd13b11-6d91-4e8e-9156-60e451a3c975","flmessagespk":"1bdae18a-d97f-48ac-8256-f753de1c032f"}"#
        );
    }

    #[test]
    fn a_thing_has_every_documented_field_in_order() {
        let keys =
            Keys { certificate_id: "c".repeat(64), certificate_pem: "CERT".into(), private: "PRIVATE".into(), public: "PUBLIC".into() };
        let json = serde_json::to_string(&ThingWire::new(thing(), keys)).unwrap();
        let order = [
            "flthingspk",
            "fltimestamp",
            "datecreated",
            "certificateId",
            "fluserspk",
            "certificatePem",
            "keyPairPrivate",
            "keyPairPublic",
            "testStatus",
            "thingDist",
            "thingName",
            "thingType",
        ];
        let places: Vec<_> =
            order.iter().map(|key| json.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in {json}"))).collect();
        assert!(places.is_sorted(), "{json}");
        assert!(!json.contains("attributes"), "absent when there are none");
    }

    #[test]
    fn a_subscription_keeps_its_id_through_its_period() {
        let period = |start| Period { plan: PlanName::Sapphire, retention_days: 30, start: at(start), end: at(start + 2_592_000) };
        let one = Subscription::new(&caller(), &period(1_558_824_554));
        assert_eq!(one.flsubscriptionspk, Subscription::new(&caller(), &period(1_558_824_554)).flsubscriptionspk);
        assert_ne!(one.flsubscriptionspk, Subscription::new(&caller(), &period(1_558_824_555)).flsubscriptionspk);
        assert_eq!((one.common_name, one.plan_name.as_str(), one.fluserspk), ("SAPPHIRE", "Flashlex Sapphire 30", ALICE));
    }

    #[test]
    fn a_statement_denies_from_the_last_one_allowed() {
        let statement = |actual| PolicyStatement::new(ALICE, Quota { kind: QuotaKind::Things, allowed: 1, actual });
        assert_eq!(statement(0).effect, "Allow");
        assert_eq!(
            serde_json::to_string(&statement(3)).unwrap(),
            r#"{"Action":"flashex:createThing","Effect":"Deny","Resource":"ecd13b11-6d91-4e8e-9156-60e451a3c975:thing:*","AllowedCount":1,"ActualCount":3}"#
        );
    }

    #[test]
    fn a_things_attributes_may_be_numbers_and_flags() {
        let it: CreateThing =
            serde_json::from_str(r#"{"flthingspk":"x","attributes":{"location":"Living Room","floor":2,"lit":true},"new":1}"#).unwrap();
        let attributes: BTreeMap<String, String> = it.attributes.unwrap().into_iter().map(|(k, v)| (k, v.into())).collect();
        assert_eq!(attributes.into_values().collect::<Vec<_>>(), ["2", "true", "Living Room"]);
        for bad in [r#"{"flthingspk":7}"#, r#"{"thingName":["a"]}"#, r#"{"attributes":[1]}"#, r#"{"attributes":{"a":{}}}"#] {
            assert!(serde_json::from_str::<CreateThing>(bad).is_err(), "{bad}");
        }
    }
}
