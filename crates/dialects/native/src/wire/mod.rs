//! What travels: requests and answers of this API, and how they map to the core's nouns.
//!
//! All times are RFC 3339 in UTC; ids are UUIDs; members that are absent are left out, not null.

mod gateway;
mod messages;
mod people;
mod rules;
mod things;

pub use gateway::*;
pub use messages::*;
pub use people::*;
pub use rules::*;
pub use things::*;

use std::borrow::Cow;
use std::fmt;

use identity::{ExposeSecret, SecretString};
use jiff::Timestamp;
use model::{CertificateStatus, Direction, Grant, MessageStatus, Permission, PlanName, Role, ThingStatus};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins: hand it back as `cursor`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T: ToSchema> Page<T> {
    /// The core's page in wire form.
    pub fn of<M: Into<T>>(page: model::Page<M>) -> Self {
        Self { items: page.items.into_iter().map(Into::into).collect(), next: page.next }
    }
}

impl<T: ToSchema> From<Vec<T>> for Page<T> {
    fn from(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

impl Paging {
    /// Checked.
    pub fn request(self) -> model::Result<model::PageRequest> {
        model::PageRequest::new(self.limit, self.cursor)
    }
}

/// For members that may be changed but not removed: absent leaves as is, null is refused.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

/// For members that may be removed: absent leaves as is, null removes (RFC 7396).
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(reader).map(Some)
}

/// A secret on its way in; never printed.
#[derive(Clone)]
pub struct Secret(pub SecretString);

impl Secret {
    /// The text, for the verb that checks it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        String::deserialize(reader).map(|text| Self(text.into()))
    }
}

impl PartialSchema for Secret {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Password);
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).format(Some(format)).into()
    }
}

impl ToSchema for Secret {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Secret")
    }
}

/// A moment in a query: RFC 3339, or seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl Moment {
    fn parse(text: &str) -> Option<Timestamp> {
        if let Ok(seconds) = text.parse::<i64>() {
            return Timestamp::from_second(seconds).ok();
        }
        // An unescaped plus sign reaches us as a blank.
        text.parse().ok().or_else(|| text.rsplit_once(' ').and_then(|(time, zone)| format!("{time}+{zone}").parse().ok()))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Moment;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in RFC 3339 (2026-01-31T12:00:00Z) or seconds since the epoch")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                Moment::parse(text).map(Moment).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Moment, E> {
                Timestamp::from_second(n).map(Moment).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Moment, E> {
                let seconds = i64::try_from(n).ok().and_then(|s| Timestamp::from_second(s).ok());
                seconds.map(Moment).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(n), &self))
            }
        }
        reader.deserialize_any(Reader)
    }
}

/// A closed set of words in the document, taken from the core so that the two agree by construction.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident as $text:literal = $list:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some($list)).into()
            }
        }
        impl ToSchema for $name {
            fn name() -> Cow<'static, str> { Cow::Borrowed($text) }
        }
    )*};
}

words! {
    /// A plan's name.
    PlanWord as "Plan" = PlanName::ALL.iter().map(|p| p.name());
    /// A member's role.
    RoleWord as "Role" = Role::ALL.iter().map(|r| r.name());
    /// A grant.
    GrantWord as "Grant" = Grant::ALL.iter().map(|g| g.name());
    /// A permission.
    PermissionWord as "Permission" = Permission::ALL.iter().map(|p| p.name());
    /// A message's direction.
    DirectionWord as "Direction" = [Direction::Inbound, Direction::Outbound].map(word);
    /// What became of a message.
    MessageStatusWord as "MessageStatus" =
        [MessageStatus::Stored, MessageStatus::Queued, MessageStatus::Delivered, MessageStatus::Expired, MessageStatus::Dead].map(word);
    /// Has a thing been heard of?
    ThingStatusWord as "ThingStatus" = [ThingStatus::Created, ThingStatus::Verified].map(word);
    /// May a certificate be used?
    CertificateStatusWord as "CertificateStatus" = [CertificateStatus::Active, CertificateStatus::Inactive, CertificateStatus::Revoked].map(word);
    /// A signature algorithm.
    AlgorithmWord as "Algorithm" = [identity::Algorithm::Rs256, identity::Algorithm::EdDsa, identity::Algorithm::Hs512].map(|a| a.name());
}

fn word<T: Serialize>(value: T) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment(text: &str) -> Option<String> {
        Moment::parse(text).map(|t| t.to_string())
    }

    #[test]
    fn moments_come_in_two_forms() {
        assert_eq!(moment("1563587144").as_deref(), Some("2019-07-20T01:45:44Z"));
        assert_eq!(moment("2019-07-20T01:45:44Z").as_deref(), Some("2019-07-20T01:45:44Z"));
        assert_eq!(moment("2019-07-20T03:45:44.5+02:00").as_deref(), Some("2019-07-20T01:45:44.5Z"));
        assert_eq!(moment("2019-07-20T03:45:44 02:00").as_deref(), Some("2019-07-20T01:45:44Z"));
        assert_eq!(moment("1563587144000"), None, "milliseconds are refused, not taken for the year 51516");
        for bad in ["", "yesterday", "2019-07-20", "2019-07-20T01:45:44", "1e9", "0x10"] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Patch {
            #[serde(deserialize_with = "present")]
            name: Option<String>,
            #[serde(deserialize_with = "nullable")]
            nick: Option<Option<String>>,
        }
        let read = |text: &str| serde_json::from_str::<Patch>(text);
        assert_eq!(read("{}").unwrap(), Patch::default());
        assert_eq!(read(r#"{"nick":null}"#).unwrap().nick, Some(None));
        assert_eq!(read(r#"{"nick":"x"}"#).unwrap().nick, Some(Some("x".into())));
        assert!(read(r#"{"name":null}"#).is_err());
    }

    #[test]
    fn pages_are_one_to_a_thousand_rows() {
        let ask = |limit| Paging { limit, cursor: Some(String::new()) }.request();
        assert_eq!(ask(None).unwrap().limit, 100);
        assert_eq!(ask(None).unwrap().cursor, None, "an empty cursor is none");
        assert!(ask(Some(0)).is_err() && ask(Some(1_001)).is_err() && ask(Some(1_000)).is_ok());
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.expose(), "hunter2");
    }

    proptest! {
        #[test]
        fn a_printed_moment_reads_back(micros in 0i64..4_102_444_800_000_000) {
            let at = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(Moment::parse(&at.to_string()), Some(at));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = Moment::parse(&text);
        }
    }
}
