//! Things, their keys and certificates, and what the tenant uses.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{CertificateStatus, PlanName, ThingStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{CertificateStatusWord, PlanWord, Secret, ThingStatusWord, nullable, present};

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub struct Thing {
    /// Its id, unique on this gateway.
    pub id: Uuid,
    /// The handle its makers chose, unique in the tenant; the id by default.
    #[schema(example = "dev-1")]
    pub key: String,
    /// Its name, unique in the tenant.
    #[schema(example = "truck-1")]
    pub name: String,
    /// What sort of device.
    #[schema(example = "RaspberryPi")]
    pub kind: String,
    /// What software it runs.
    #[schema(example = "Python")]
    pub distribution: String,
    /// Free labels.
    pub tags: Vec<String>,
    /// Free name-value pairs.
    pub attributes: BTreeMap<String, String>,
    /// `CREATED` until its test message arrives.
    #[schema(value_type = ThingStatusWord)]
    pub status: ThingStatus,
    /// The user who provisioned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    /// When it was provisioned.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl From<model::Thing> for Thing {
    fn from(t: model::Thing) -> Self {
        Self {
            id: t.id.uuid(),
            key: t.key,
            name: t.name,
            kind: t.kind,
            distribution: t.distribution,
            tags: t.tags,
            attributes: t.attributes,
            status: t.status,
            owner: t.owner.map(model::UserId::uuid),
            created: t.created,
            updated: t.updated,
        }
    }
}

/// Which things.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ThingQuery {
    /// Only names that contain this.
    pub name: Option<String>,
    /// Only things with this tag.
    pub tag: Option<String>,
    /// Only things of this kind.
    pub kind: Option<String>,
    /// Only things in this state.
    #[param(value_type = Option<ThingStatusWord>)]
    pub status: Option<ThingStatus>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// By what a thing shall be recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Nothing is made; register a certificate or set a secret later.
    #[default]
    None,
    /// A certificate of the gateway's CA with a fresh RSA key pair.
    RsaCertificate,
    /// A certificate of the gateway's CA with a fresh key pair on P-256.
    EcdsaCertificate,
    /// A secret.
    Secret,
}

/// A thing to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "dev-1", "name": "truck-1", "kind": "tracker", "tags": ["north"], "credentials": "ecdsa_certificate"}))]
pub struct NewThing {
    /// Its handle, unique in the tenant: 1 to 128 letters, digits or any of `-_.:@`; its id when absent.
    pub key: Option<String>,
    /// Its name, unique in the tenant; the key when absent.
    pub name: Option<String>,
    /// What sort of device.
    #[serde(default)]
    pub kind: String,
    /// What software it runs.
    #[serde(default)]
    pub distribution: String,
    /// Free labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Free name-value pairs.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What to make for it.
    #[serde(default)]
    pub credentials: CredentialKind,
    /// The secret, with `credentials` `secret`; made when absent.
    pub secret: Option<Secret>,
}

/// A fresh thing with what it needs to connect.
#[derive(Serialize, ToSchema)]
pub struct CreatedThing {
    /// The thing.
    #[serde(flatten)]
    pub thing: Thing,
    /// Its certificate and keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<ThingKeys>,
    /// Its secret, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What to change of a thing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"name": "truck-2", "attributes": {"colour": "red", "plate": null}}))]
pub struct ThingPatch {
    /// A new handle. The thing's sessions end, because its topics carry the key.
    #[serde(deserialize_with = "present")]
    pub key: Option<String>,
    /// A new name. The thing's sessions end, because some platforms' topics carry the name.
    #[serde(deserialize_with = "present")]
    pub name: Option<String>,
    /// A new kind; null empties it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub kind: Option<Option<String>>,
    /// A new distribution; null empties it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub distribution: Option<Option<String>>,
    /// All labels anew; null empties them.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>)]
    pub tags: Option<Option<Vec<String>>>,
    /// Pairs to set; a pair whose value is null is removed, others stay. Null for the whole empties them.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    pub attributes: Option<Option<BTreeMap<String, Option<String>>>>,
}

/// Merges a patch into name-value pairs (RFC 7396).
pub fn merge(mut pairs: BTreeMap<String, String>, patch: Option<BTreeMap<String, Option<String>>>) -> BTreeMap<String, String> {
    let Some(patch) = patch else { return BTreeMap::new() };
    for (name, value) in patch {
        match value {
            Some(value) => pairs.insert(name, value),
            None => pairs.remove(&name),
        };
    }
    pairs
}

/// A thing's certificate and keys, as made by the gateway.
#[derive(Serialize, ToSchema)]
pub struct ThingKeys {
    /// SHA-256 of the certificate's DER form, hexadecimal.
    pub fingerprint: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM; absent when it was not made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// The public key, PEM.
    pub public_key: String,
    /// When the certificate begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// The CA's certificate by which a device knows the gateway, PEM.
    pub ca: String,
}

/// A certificate by which a thing is recognised.
#[derive(Debug, Serialize, ToSchema)]
pub struct Certificate {
    /// SHA-256 of its DER form, hexadecimal.
    pub fingerprint: String,
    /// The certificate, PEM.
    pub pem: String,
    /// May it still be used?
    #[schema(value_type = CertificateStatusWord)]
    pub status: CertificateStatus,
    /// Did the gateway's own CA issue it?
    pub issued_here: bool,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// When it was registered.
    pub created: Timestamp,
}

impl From<model::Certificate> for Certificate {
    fn from(c: model::Certificate) -> Self {
        Self {
            fingerprint: c.fingerprint.as_str().to_owned(),
            pem: c.pem,
            status: c.status,
            issued_here: c.issued_here,
            not_before: c.not_before,
            not_after: c.not_after,
            created: c.created,
        }
    }
}

/// A certificate to be registered; any issuer, also self-signed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// The certificate, PEM.
    #[schema(example = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n")]
    pub pem: String,
}

/// A new secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The secret; made when absent.
    pub secret: Option<Secret>,
}

/// A thing's secret, shown this once.
#[derive(Serialize, ToSchema)]
pub struct ThingSecret {
    /// The secret.
    pub secret: String,
}

/// What the tenant uses in this period.
#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    /// The plan.
    #[schema(value_type = PlanWord)]
    pub plan: PlanName,
    /// How long messages stay, seconds.
    pub retention_seconds: u64,
    /// When the period began.
    pub period_start: Timestamp,
    /// When it ends.
    pub period_end: Timestamp,
    /// Things that exist.
    pub things: Count,
    /// Inbound messages this period.
    pub collected: Count,
    /// Outbound messages this period.
    pub published: Count,
}

/// A plan's limit beside what is used.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    /// How many the plan allows.
    pub allowed: u64,
    /// How many there are.
    pub actual: u64,
}

impl From<model::Quota> for Count {
    fn from(q: model::Quota) -> Self {
        Self { allowed: q.allowed, actual: q.actual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn attributes_are_merged_pair_by_pair() {
        let patch: ThingPatch = serde_json::from_str(r#"{"attributes":{"a":null,"b":"2","c":"3"}}"#).unwrap();
        let merged = merge(pairs(&[("a", "1"), ("b", "1"), ("d", "1")]), patch.attributes.unwrap());
        assert_eq!(merged, pairs(&[("b", "2"), ("c", "3"), ("d", "1")]));
        let patch: ThingPatch = serde_json::from_str(r#"{"attributes":null}"#).unwrap();
        assert_eq!(merge(pairs(&[("a", "1")]), patch.attributes.unwrap()), BTreeMap::new());
        assert!(serde_json::from_str::<ThingPatch>("{}").unwrap().attributes.is_none());
    }

    #[test]
    fn a_patch_refuses_what_cannot_change() {
        for text in [r#"{"key":null}"#, r#"{"id":"x"}"#, r#"{"status":"VERIFIED"}"#, r#"{"name":null}"#] {
            assert!(serde_json::from_str::<ThingPatch>(text).is_err(), "{text}");
        }
    }
}
