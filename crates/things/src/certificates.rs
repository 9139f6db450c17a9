//! Certificates: issued here or brought along, recognised by fingerprint, revoked at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::{CertificateFacts, IssuedCertificate};
use jiff::Timestamp;
use model::{
    Caller, Certificate, CertificateFingerprint, CertificateStatus, Error, Permission, Principal, Result, TenantId, Thing, ThingId,
};
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::{Ended, ThingKeys, Things, thing_permissions};

/// Most certificates a thing may have, revoked ones included.
const PER_THING: usize = 100;
/// The longest PEM text taken, in bytes.
const MAX_PEM: usize = 16 << 10;
/// The longest DER certificate looked at, in bytes.
const MAX_DER: usize = 8 << 10;
/// Where other nodes write to the same database, their changes are seen after this long.
const SHARED_FRESH: Duration = Duration::from_secs(1);

const UNKNOWN: Error = Error::Unauthenticated { reason: "the certificate is not registered, or no longer valid" };

/// What was found for a fingerprint.
#[derive(Clone, Debug)]
struct Known {
    thing: Arc<Thing>,
    not_before: Timestamp,
    not_after: Timestamp,
    read: Instant,
}

/// Certificates recognised before, so that a crowd coming back after an outage doesn't ask the database one by one.
#[derive(Debug)]
pub(crate) struct Cache {
    limit: usize,
    shared: bool,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    known: HashMap<CertificateFingerprint, Known>,
    /// Grows with every change: what was read before a change must not be remembered after it.
    generation: u64,
}

impl Cache {
    pub(crate) fn new(limit: usize, shared: bool) -> Self {
        Self { limit, shared, entries: RwLock::default() }
    }

    fn get(&self, fingerprint: &CertificateFingerprint) -> (Option<Known>, u64) {
        let entries = self.entries.read();
        let known = entries.known.get(fingerprint).filter(|known| !self.shared || known.read.elapsed() < SHARED_FRESH).cloned();
        (known, entries.generation)
    }

    fn put(&self, fingerprint: CertificateFingerprint, known: Known, generation: u64) {
        let mut entries = self.entries.write();
        if entries.generation != generation {
            return;
        }
        if entries.known.len() >= self.limit {
            entries.known.clear();
        }
        entries.known.insert(fingerprint, known);
    }

    /// Something about the thing changed; its certificates are read again.
    pub(crate) fn forget(&self, thing: ThingId) {
        let mut entries = self.entries.write();
        entries.generation += 1;
        entries.known.retain(|_, known| known.thing.id != thing);
    }
}

pub(crate) fn issued_row(tenant: TenantId, thing: ThingId, issued: &IssuedCertificate, created: Timestamp) -> Certificate {
    Certificate {
        fingerprint: issued.fingerprint.clone(),
        tenant,
        thing,
        pem: issued.certificate_pem.clone(),
        public_key: issued.public_key_pem.clone(),
        status: CertificateStatus::Active,
        issued_here: true,
        not_before: issued.not_before,
        not_after: issued.not_after,
        created,
    }
}

impl Things {
    /// The thing's newest certificate of our CA that is active, with its keys; none when it has no such. The private key is handed
    /// out only to callers with `thing:write`. Permission: `thing:read`.
    pub async fn keys(&self, caller: &Caller, handle: &str) -> Result<Option<ThingKeys>> {
        let found = self.find(caller, handle, Permission::ThingRead, false).await?;
        let rows = self.inner.db.read().await?.certificates(caller.tenant, found.thing.id).await?;
        let newest = rows.into_iter().rev().find(|row| row.certificate.status == CertificateStatus::Active && row.sealed_key.is_some());
        let Some((certificate, sealed)) = newest.and_then(|row| Some((row.certificate, row.sealed_key?))) else { return Ok(None) };
        let private_key_pem =
            if caller.permissions.has(Permission::ThingWrite) { Some(self.unseal_key(found.thing.id, &sealed)?) } else { None };
        Ok(Some(ThingKeys {
            fingerprint: certificate.fingerprint,
            certificate_pem: certificate.pem,
            private_key_pem,
            public_key_pem: certificate.public_key,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }))
    }

    /// Seals a private key so that it opens only as this thing's.
    pub(crate) fn seal_key(&self, thing: ThingId, pem: &str) -> Vec<u8> {
        self.inner.identity.seal(pem.as_bytes(), thing.uuid().as_bytes())
    }

    fn unseal_key(&self, thing: ThingId, sealed: &[u8]) -> Result<Zeroizing<String>> {
        let plain = self.inner.identity.unseal(sealed, thing.uuid().as_bytes())?;
        let text = std::str::from_utf8(&plain).map_err(|_| Error::internal("a sealed private key is no text"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The thing's certificates, oldest first, revoked ones too. Permission: `thing:read`.
    pub async fn certificates(&self, caller: &Caller, handle: &str) -> Result<Vec<Certificate>> {
        let found = self.find(caller, handle, Permission::ThingRead, false).await?;
        let rows = self.inner.db.read().await?.certificates(caller.tenant, found.thing.id).await?;
        Ok(rows.into_iter().map(|row| row.certificate).collect())
    }

    /// Registers a certificate the thing has already, whoever issued it: it is recognised by its fingerprint. Registering it again
    /// for the same thing changes nothing; a revoked one stays revoked (Conflict). Permission: `thing:write`.
    pub async fn register_certificate(&self, caller: &Caller, handle: &str, pem: &str) -> Result<Certificate> {
        let result = self.register_certificate_inner(caller, handle, pem, None).await;
        let target = result.as_ref().map_or_else(|_| format!("thing:{handle:.64}"), |c| format!("certificate:{}", c.fingerprint));
        self.audit(caller, "certificate.registered", &target, &result);
        result
    }

    /// `fresh`: it must not be registered yet, and begins like that.
    async fn register_certificate_inner(
        &self,
        caller: &Caller,
        handle: &str,
        pem: &str,
        fresh: Option<CertificateStatus>,
    ) -> Result<Certificate> {
        caller.require(Permission::ThingWrite)?;
        if pem.len() > MAX_PEM {
            return Err(Error::TooLarge { limit: MAX_PEM as u64 });
        }
        let facts = self.inner.identity.read_certificate(pem)?;
        let now = self.now();
        if facts.not_after <= now {
            return Err(Error::invalid("certificate", "has expired"));
        }
        let mut tx = self.inner.db.begin().await?;
        let thing = self.find_in(&mut tx, caller, handle).await?.thing;
        if let Some(there) = tx.certificate(&facts.fingerprint).await? {
            let there = there.certificate;
            let repeated = fresh.is_none() && there.tenant == caller.tenant && there.thing == thing.id;
            return match (repeated, there.status) {
                (true, CertificateStatus::Active | CertificateStatus::Inactive) => Ok(there),
                (true, CertificateStatus::Revoked) => Err(Error::conflict("certificate", "was revoked; make a new one")),
                (false, _) => Err(Error::conflict("certificate", "is registered already")),
            };
        }
        if tx.certificates(caller.tenant, thing.id).await?.len() >= PER_THING {
            return Err(Error::conflict("certificate", format!("a thing has {PER_THING} certificates at most")));
        }
        let status = fresh.unwrap_or(CertificateStatus::Active);
        let certificate = Certificate { status, ..registered_row(&thing, facts, now) };
        match tx.insert_certificate(&certificate, None).await {
            Ok(()) => {}
            Err(e) if e.is_unique_violation() => return Err(Error::conflict("certificate", "is registered already")),
            Err(e) => return Err(e.into()),
        }
        tx.commit().await?;
        Ok(certificate)
    }

    /// Revokes a certificate: sessions opened with it end, a private key kept for it is destroyed. Revoking it again changes nothing.
    /// Error: NotFound(certificate) unless it is this thing's. Permission: `thing:write`.
    pub async fn revoke_certificate(&self, caller: &Caller, handle: &str, fingerprint: &CertificateFingerprint) -> Result<()> {
        let result = self.revoke_certificate_inner(caller, handle, fingerprint).await;
        // A repetition is no event.
        if !matches!(result, Ok(false)) {
            self.audit(caller, "certificate.revoked", &format!("certificate:{fingerprint}"), &result);
        }
        result.map(|_| ())
    }

    async fn revoke_certificate_inner(&self, caller: &Caller, handle: &str, fingerprint: &CertificateFingerprint) -> Result<bool> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        let thing = self.find_in(&mut tx, caller, handle).await?.thing;
        let there = tx.certificate(fingerprint).await?.filter(|row| row.certificate.thing == thing.id);
        there.ok_or(Error::not_found("certificate"))?;
        let changed = tx.revoke_certificate(caller.tenant, fingerprint).await?;
        tx.commit().await?;
        self.inner.certificates.forget(thing.id);
        self.end(Ended::Certificate(fingerprint.clone()));
        Ok(changed)
    }

    /// Registers a certificate the thing has already, active or inactive, whoever issued it. Errors: Conflict(certificate) whoever has it
    /// already, also this thing; Invalid(status) for one that would begin revoked. Permission: `thing:write`.
    pub async fn add_certificate(&self, caller: &Caller, handle: &str, pem: &str, status: CertificateStatus) -> Result<Certificate> {
        let result = match status {
            CertificateStatus::Revoked => Err(Error::invalid("status", "must be active or inactive at first")),
            _ => self.register_certificate_inner(caller, handle, pem, Some(status)).await,
        };
        let target = result.as_ref().map_or_else(|_| format!("thing:{handle:.64}"), |c| format!("certificate:{}", c.fingerprint));
        self.audit(caller, "certificate.registered", &target, &result);
        result
    }

    /// Changes what a certificate may be used for. Inactive ends the sessions opened with it; revoked does so for good (Conflict for who
    /// wants it back). Error: NotFound(certificate) unless it is this thing's. Permission: `thing:write`.
    pub async fn set_certificate_status(
        &self,
        caller: &Caller,
        handle: &str,
        fingerprint: &CertificateFingerprint,
        status: CertificateStatus,
    ) -> Result<Certificate> {
        if status == CertificateStatus::Revoked {
            self.revoke_certificate(caller, handle, fingerprint).await?;
            let mut tx = self.inner.db.read().await?;
            return Ok(tx.certificate(fingerprint).await?.ok_or(Error::not_found("certificate"))?.certificate);
        }
        let result = self.set_certificate_status_inner(caller, handle, fingerprint, status).await;
        self.audit(caller, "certificate.changed", &format!("certificate:{fingerprint}"), &result);
        result
    }

    async fn set_certificate_status_inner(
        &self,
        caller: &Caller,
        handle: &str,
        fingerprint: &CertificateFingerprint,
        status: CertificateStatus,
    ) -> Result<Certificate> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        let mut certificate = self.certificate_of(&mut tx, caller, handle, fingerprint).await?;
        if certificate.status == CertificateStatus::Revoked || !tx.set_certificate_status(caller.tenant, fingerprint, status).await? {
            return Err(Error::conflict("certificate", "was revoked; make a new one"));
        }
        tx.commit().await?;
        certificate.status = status;
        self.inner.certificates.forget(certificate.thing);
        if status == CertificateStatus::Inactive {
            self.end(Ended::Certificate(fingerprint.clone()));
        }
        Ok(certificate)
    }

    /// Deletes a certificate; sessions opened with it end. Error: NotFound(certificate) unless it is this thing's.
    /// Permission: `thing:write`.
    pub async fn delete_certificate(&self, caller: &Caller, handle: &str, fingerprint: &CertificateFingerprint) -> Result<()> {
        let result = self.delete_certificate_inner(caller, handle, fingerprint).await;
        self.audit(caller, "certificate.deleted", &format!("certificate:{fingerprint}"), &result);
        result
    }

    async fn delete_certificate_inner(&self, caller: &Caller, handle: &str, fingerprint: &CertificateFingerprint) -> Result<()> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        let certificate = self.certificate_of(&mut tx, caller, handle, fingerprint).await?;
        tx.delete_certificate(caller.tenant, fingerprint).await?;
        tx.commit().await?;
        self.inner.certificates.forget(certificate.thing);
        self.end(Ended::Certificate(fingerprint.clone()));
        self.end(Ended::Keys(certificate.thing));
        Ok(())
    }

    async fn certificate_of(
        &self,
        tx: &mut store::Tx,
        caller: &Caller,
        handle: &str,
        fingerprint: &CertificateFingerprint,
    ) -> Result<Certificate> {
        let thing = self.find_in(tx, caller, handle).await?.thing;
        let there = tx.certificate(fingerprint).await?.filter(|row| row.certificate.thing == thing.id);
        Ok(there.ok_or(Error::not_found("certificate"))?.certificate)
    }

    /// Who shows this certificate (DER)? It must be registered, active and within its validity; possession of its key is the
    /// handshake's to prove. Unknown, revoked and expired are told apart for nobody: Unauthenticated.
    pub async fn recognise_certificate(&self, der: &[u8]) -> Result<(Caller, Thing)> {
        if der.is_empty() || der.len() > MAX_DER {
            return Err(UNKNOWN);
        }
        let fingerprint = identity::certificate_fingerprint(der);
        let now = self.now();
        let (known, generation) = self.inner.certificates.get(&fingerprint);
        let known = match known {
            Some(known) => known,
            None => {
                let known = self.look_up_certificate(&fingerprint).await?;
                self.inner.certificates.put(fingerprint, known.clone(), generation);
                known
            }
        };
        if now < known.not_before || now > known.not_after {
            return Err(UNKNOWN);
        }
        let thing = Thing::clone(&known.thing);
        let caller = Caller {
            tenant: thing.tenant,
            principal: Principal::Thing(thing.id),
            permissions: thing_permissions(),
            request: self.inner.identity.clock().new_id(),
            address: None,
        };
        Ok((caller, thing))
    }

    async fn look_up_certificate(&self, fingerprint: &CertificateFingerprint) -> Result<Known> {
        let mut tx = self.inner.db.read().await?;
        let row = tx.certificate(fingerprint).await?.filter(|row| row.certificate.status == CertificateStatus::Active);
        let certificate = row.ok_or(UNKNOWN)?.certificate;
        let thing = tx.thing(certificate.tenant, certificate.thing).await?.ok_or(UNKNOWN)?;
        // So that its first message is counted against its plan.
        self.state(&mut tx, certificate.tenant).await?;
        let (not_before, not_after) = (certificate.not_before, certificate.not_after);
        Ok(Known { thing: Arc::new(thing), not_before, not_after, read: Instant::now() })
    }
}

fn registered_row(thing: &Thing, facts: CertificateFacts, created: Timestamp) -> Certificate {
    Certificate {
        fingerprint: facts.fingerprint,
        tenant: thing.tenant,
        thing: thing.id,
        pem: facts.certificate_pem,
        public_key: facts.public_key_pem,
        status: CertificateStatus::Active,
        issued_here: facts.issued_here,
        not_before: facts.not_before,
        not_after: facts.not_after,
        created,
    }
}
