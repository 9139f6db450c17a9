//! Certificates by which things are recognised, with the sealed keys of those issued here.

use model::{Certificate, CertificateFingerprint, CertificateStatus, TenantId, ThingId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    BY_FINGERPRINT = "select fingerprint, tenant, thing, pem, public_key, private_key, status, issued_here, not_before, not_after, created \
                      from certificate where fingerprint = $1";
    OF_THING = "select fingerprint, tenant, thing, pem, public_key, private_key, status, issued_here, not_before, not_after, created \
                from certificate where tenant = $1 and thing = $2 order by created, fingerprint limit $3";
    INSERT = "insert into certificate (fingerprint, tenant, thing, pem, public_key, private_key, status, issued_here, not_before, not_after, created) \
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    SET_STATUS = "update certificate set status = $3 where fingerprint = $1 and tenant = $2 and status <> 'revoked'";
    DELETE = "delete from certificate where fingerprint = $1 and tenant = $2";
    REVOKE = "update certificate set status = 'revoked', private_key = null where fingerprint = $1 and tenant = $2 and status <> 'revoked'";
}

row! {
    struct CertificateRow {
        fingerprint: String, tenant: Uuid, thing: Uuid, pem: String, public_key: String, private_key: Option<Vec<u8>>, status: String,
        issued_here: bool, not_before: i64, not_after: i64, created: i64,
    }
}

/// A certificate and, when its key was made here and it is not revoked, that key, sealed under the master key.
#[derive(Clone, Debug)]
pub struct CertificateAndKey {
    /// The certificate.
    pub certificate: Certificate,
    /// The sealed private key.
    pub sealed_key: Option<Vec<u8>>,
}

fn status_name(status: CertificateStatus) -> &'static str {
    match status {
        CertificateStatus::Active => "active",
        CertificateStatus::Inactive => "inactive",
        CertificateStatus::Revoked => "revoked",
    }
}

impl CertificateRow {
    fn model(self) -> Result<CertificateAndKey, Error> {
        let Some(fingerprint) = CertificateFingerprint::parse(&self.fingerprint) else {
            return Err(Error::corrupt("certificate", "fingerprint", &self.fingerprint, "not 64 hex digits"));
        };
        let status = match self.status.as_str() {
            "active" => CertificateStatus::Active,
            "inactive" => CertificateStatus::Inactive,
            "revoked" => CertificateStatus::Revoked,
            other => return Err(Error::corrupt("certificate", "status", &self.fingerprint, other)),
        };
        Ok(CertificateAndKey {
            certificate: Certificate {
                fingerprint,
                tenant: TenantId(self.tenant),
                thing: ThingId(self.thing),
                pem: self.pem,
                public_key: self.public_key,
                status,
                issued_here: self.issued_here,
                not_before: timestamp("certificate", "not_before", self.not_before)?,
                not_after: timestamp("certificate", "not_after", self.not_after)?,
                created: timestamp("certificate", "created", self.created)?,
            },
            sealed_key: self.private_key,
        })
    }
}

/// More certificates than any thing needs: renewals keep their predecessors for the record.
pub(crate) const PER_THING: i64 = 200;

impl Tx {
    /// The certificate with this fingerprint, of whatever tenant, revoked or not.
    pub async fn certificate(&mut self, fingerprint: &CertificateFingerprint) -> Result<Option<CertificateAndKey>, Error> {
        fetch_optional!(self, CertificateRow, sql::BY_FINGERPRINT, fingerprint.as_str())?.map(CertificateRow::model).transpose()
    }

    /// A thing's certificates, oldest first, revoked ones too; at most 200.
    pub async fn certificates(&mut self, tenant: TenantId, thing: ThingId) -> Result<Vec<CertificateAndKey>, Error> {
        fetch_all!(self, CertificateRow, sql::OF_THING, tenant.uuid(), thing.uuid(), PER_THING)?
            .into_iter()
            .map(CertificateRow::model)
            .collect()
    }

    /// Adds a certificate, with its sealed private key if it was made here.
    pub async fn insert_certificate(&mut self, c: &Certificate, sealed_key: Option<&[u8]>) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            c.fingerprint.as_str(),
            c.tenant.uuid(),
            c.thing.uuid(),
            &c.pem,
            &c.public_key,
            sealed_key.map(<[u8]>::to_vec),
            status_name(c.status),
            c.issued_here,
            micros(c.not_before),
            micros(c.not_after),
            micros(c.created),
        )?;
        Ok(())
    }

    /// Revokes a certificate and drops its private key; false when it was revoked already, or the tenant has none such.
    pub async fn revoke_certificate(&mut self, tenant: TenantId, fingerprint: &CertificateFingerprint) -> Result<bool, Error> {
        Ok(execute!(self, sql::REVOKE, fingerprint.as_str(), tenant.uuid())? == 1)
    }

    /// Changes a certificate's status; false when it was revoked, or the tenant has none such.
    pub async fn set_certificate_status(
        &mut self,
        tenant: TenantId,
        fingerprint: &CertificateFingerprint,
        status: CertificateStatus,
    ) -> Result<bool, Error> {
        Ok(execute!(self, sql::SET_STATUS, fingerprint.as_str(), tenant.uuid(), status_name(status))? == 1)
    }

    /// Removes a certificate; false when the tenant has none such.
    pub async fn delete_certificate(&mut self, tenant: TenantId, fingerprint: &CertificateFingerprint) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, fingerprint.as_str(), tenant.uuid())? == 1)
    }
}
