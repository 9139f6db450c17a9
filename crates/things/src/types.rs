//! What goes in and comes out of the verbs: pure shapes.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use journal::Durability;
use model::{CertificateFingerprint, Direction, Message, Plan, Quota, Thing, ThingId, ThingStatus};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// What [`Things::open`](crate::Things::open) needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest payload, in bytes.
    pub max_payload: usize,
    /// The longest topic, in bytes.
    pub max_topic: usize,
    /// When a message handed in by `send` or `collect` counts as accepted.
    pub durability: Durability,
    /// How many certificates are remembered in memory.
    pub certificate_cache: usize,
}

impl Default for Options {
    /// 128 KiB payloads, 4 KiB topics, on disk before the answer, 65,536 certificates.
    fn default() -> Self {
        Self { max_payload: 128 << 10, max_topic: 4 << 10, durability: Durability::Sync, certificate_cache: 1 << 16 }
    }
}

/// By what a new thing is to be recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// A certificate of our CA with an RSA key, 2,048 bits; what FlashLex devices expect.
    RsaCertificate,
    /// A certificate of our CA with a P-256 key.
    EcdsaCertificate,
    /// A shared secret.
    Secret,
    /// Nothing yet: a certificate is registered, or a secret set, later.
    #[default]
    None,
}

/// A thing to be.
#[derive(Clone, Debug, Default)]
pub struct NewThing {
    /// Its handle, unique in the tenant; the text of its id when absent.
    pub key: Option<String>,
    /// Its name, unique in the tenant; the key when absent.
    pub name: Option<String>,
    /// What sort of device, at most 128 bytes.
    pub kind: String,
    /// What software it runs, at most 128 bytes.
    pub distribution: String,
    /// Labels, at most 64 of at most 256 bytes.
    pub tags: Vec<String>,
    /// Pairs, at most 64; names at most 64 bytes, values at most 1,024.
    pub attributes: BTreeMap<String, String>,
    /// By what it is recognised.
    pub credentials: Credentials,
    /// A secret of its maker's choosing: 16 to 256 bytes (any length for the operator); one is made when `credentials` asks for it and this is absent.
    pub secret: Option<SecretString>,
}

/// A new thing, with what is told once.
#[derive(Debug)]
pub struct Provisioned {
    /// The thing.
    pub thing: Thing,
    /// Its certificate and keys, if it got any.
    pub keys: Option<ThingKeys>,
    /// Its secret, if it has one.
    pub secret: Option<SecretString>,
}

/// A thing's certificate of our CA with its key pair.
pub struct ThingKeys {
    /// SHA-256 of the certificate's DER form.
    pub fingerprint: CertificateFingerprint,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM (RSA: PKCS#1, P-256: PKCS#8); absent for callers who may not change the thing.
    pub private_key_pem: Option<Zeroizing<String>>,
    /// The public key, SPKI PEM.
    pub public_key_pem: String,
    /// When the certificate begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

impl fmt::Debug for ThingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThingKeys").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// Which things a list shows; absent fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThingFilter {
    /// Part of the name, in any case.
    pub name_contains: Option<String>,
    /// A tag it has.
    pub tag: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its status.
    pub status: Option<ThingStatus>,
}

/// What to change; absent fields stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThingChange {
    /// A new handle.
    pub key: Option<String>,
    /// A new name. The thing's topics change with it, so its sessions end and it comes back under the new name.
    pub name: Option<String>,
    /// A new kind.
    pub kind: Option<String>,
    /// A new distribution.
    pub distribution: Option<String>,
    /// All its tags.
    pub tags: Option<Vec<String>>,
    /// All its attributes.
    pub attributes: Option<BTreeMap<String, String>>,
}

/// A message to a thing.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The payload.
    pub payload: Bytes,
    /// 1 to 255 bytes; the same key for the same thing within 24 hours sends once.
    pub idempotency_key: Option<String>,
    /// When it is no longer worth delivering; it never outlives the plan's retention.
    pub expires: Option<Timestamp>,
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message; the first one with its idempotency key.
    pub message: Message,
    /// Was it sent before, under the same idempotency key?
    pub duplicate: bool,
}

/// A message on its way into the journal.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The thing it comes from or goes to; nil for tenant-local traffic, which is neither history nor counted.
    pub thing: ThingId,
    /// Inbound from the thing, or outbound into its inbox.
    pub direction: Direction,
    /// The topic, UTF-8.
    pub topic: Bytes,
    /// The payload.
    pub payload: Bytes,
    /// MQTT quality of service.
    pub qos: u8,
    /// MQTT retain.
    pub retain: bool,
    /// Opaque (MQTT 5 properties).
    pub properties: Bytes,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// From [`idempotency`](crate::idempotency).
    pub idempotency: Option<[u8; 16]>,
}

/// Which messages are meant; both ends are inclusive, absent fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// One direction only.
    pub direction: Option<Direction>,
}

/// What a tenant has used of its plan in the present period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The plan.
    pub plan: Plan,
    /// When the period began.
    pub period_start: Timestamp,
    /// When it ends (exclusive).
    pub period_end: Timestamp,
    /// Things there are.
    pub things: Quota,
    /// Inbound messages this period.
    pub collected: Quota,
    /// Outbound messages this period.
    pub published: Quota,
}

/// A credential or a whole thing came to its end: sessions that rest on it end too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The thing was deprovisioned, or renamed: every session of it.
    Thing(ThingId),
    /// The certificate was revoked: every session opened with it.
    Certificate(CertificateFingerprint),
    /// A certificate of the thing is gone, and nobody can look up whose it was: every session opened with a token the thing signed.
    Keys(ThingId),
    /// The thing's secret was changed or removed: every session opened with it.
    Secret(ThingId),
}

/// So many messages were dropped because the reader was too slow; reading on continues with the oldest one kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} messages were missed")]
pub struct Lagged(pub u64);
