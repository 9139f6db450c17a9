//! Things and their certificates.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CertificateFingerprint, Error, Result, TenantId, ThingId, UserId};

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// Its id, unique on this gateway.
    pub id: ThingId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The handle its makers chose (serial number, IMEI, `dev-1`, a UUID), unique in the tenant; the id's text by default.
    pub key: String,
    /// Its name, unique in the tenant; part of its topics.
    pub name: String,
    /// What sort of device, in its platform's words ("RaspberryPi").
    pub kind: String,
    /// What software it runs, in its platform's words ("Python").
    pub distribution: String,
    /// Free labels.
    pub tags: Vec<String>,
    /// Free name-value pairs.
    pub attributes: BTreeMap<String, String>,
    /// Has it been heard of?
    pub status: ThingStatus,
    /// Who provisioned it.
    pub owner: Option<UserId>,
    /// When it was provisioned.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Has the thing proved that its set-up works?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ThingStatus {
    /// Provisioned, its test not yet run.
    Created,
    /// Its test message arrived.
    Verified,
}

impl Thing {
    /// The longest key or name.
    pub const NAME_MAX: usize = 128;

    /// A key or name: 1 to 128 letters, digits, `-_.:@` — so that it is one topic level, one path segment and one file name.
    pub fn check_name(field: &'static str, text: &str) -> Result<()> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@');
        if text.is_empty() || text.len() > Self::NAME_MAX || !text.chars().all(good) || text.starts_with('.') {
            return Err(Error::invalid(
                field,
                format!("must be 1 to {} letters, digits or any of -_.:@ and not begin with a dot", Self::NAME_MAX),
            ));
        }
        Ok(())
    }
}

/// A certificate by which a thing is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub fingerprint: CertificateFingerprint,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its thing.
    pub thing: ThingId,
    /// The certificate, PEM.
    pub pem: String,
    /// Its public key, SPKI PEM.
    pub public_key: String,
    /// May it still be used?
    pub status: CertificateStatus,
    /// Did our own CA issue it?
    pub issued_here: bool,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// When it was registered.
    pub created: Timestamp,
}

/// May a certificate be used?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateStatus {
    /// Yes, within its validity.
    Active,
    /// Not at present; it may become active again.
    Inactive,
    /// Never again.
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_level_of_everything() {
        for good in ["dev-1", "ecd13b11-mything", "356938035643809", "a.b:c@d_e"] {
            assert!(Thing::check_name("name", good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a b", "+", "#", "..", ".hidden", "é", "a\0", &"x".repeat(129)] {
            assert!(Thing::check_name("name", bad).is_err(), "{bad}");
        }
    }
}
