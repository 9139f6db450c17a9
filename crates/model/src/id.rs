//! Typed identifiers: a `ThingId` cannot be passed where a `TenantId` is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The identifier as a bare UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!(stringify!($name), "({})"), self.0) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> { Uuid::parse_str(text).map(Self) }
        }
        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self { Self(id) }
        }
        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid { id.0 }
        }
    )*};
}

typed_id! {
    /// A tenant, the unit of isolation.
    TenantId;
    /// A user, who may be a member of several tenants.
    UserId;
    /// A thing (device).
    ThingId;
    /// One message, inbound or outbound.
    MessageId;
    /// A signed-in session, and the family of its refresh tokens.
    SessionId;
    /// An API key's public handle (never the key itself).
    ApiKeyId;
    /// One line of the audit trail.
    AuditId;
    /// A thing type.
    ThingTypeId;
    /// Something that happened to a thing.
    EventId;
    /// A rule.
    RuleId;
    /// Something a rule found.
    AlertId;
    /// A notification: whom to tell what, when.
    NotificationId;
    /// One request, from the edge to the last log line.
    RequestId;
}

/// Lower-case hex SHA-256 of a certificate's DER form; what identifies a certificate (FlashLex `certificateId`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CertificateFingerprint(String);

impl CertificateFingerprint {
    /// Accepts 64 hexadecimal digits, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The fingerprint as 64 lower-case hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFingerprint({})", self.0)
    }
}
