//! Certificates: recognised by fingerprint, whoever issued them; revoked at once.

use base64::Engine as _;
use identity::{Identity, KeyKind, MasterKey};
use model::{CertificateStatus, Clock, Error, PlanName, Principal};
use store::Db;
use things::{Credentials, Ended, NewThing, ThingChange};

use crate::house::House;

/// A certificate's DER form.
pub fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}

/// Another gateway: its certificates are foreign here.
async fn elsewhere(clock: &Clock) -> (Identity, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::sqlite_unsynced(&dir.path().join("store.db")).await.unwrap();
    let options = identity::Options::new(clock.clone(), "https://elsewhere.example.com", MasterKey::generate());
    (Identity::open(db, options).await.unwrap(), dir)
}

fn unknown<T: std::fmt::Debug>(result: &model::Result<T>) -> bool {
    matches!(result, Err(Error::Unauthenticated { .. }))
}

async fn an_issued_certificate_is_recognised(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let new = NewThing { key: Some("dev-1".into()), credentials: Credentials::EcdsaCertificate, ..NewThing::default() };
    let made = house.things.provision(&owner, new).await.unwrap();
    let der = der(&made.keys.unwrap().certificate_pem);
    for _ in 0..2 {
        let (caller, thing) = house.things.recognise_certificate(&der).await.unwrap();
        assert_eq!(
            (caller.tenant, caller.principal, caller.permissions),
            (owner.tenant, Principal::Thing(thing.id), things::thing_permissions())
        );
        assert_eq!(thing, made.thing);
    }
    // What is remembered keeps up with the thing.
    house.things.update(&owner, "dev-1", ThingChange { kind: Some("lamp".into()), ..ThingChange::default() }).await.unwrap();
    assert_eq!(house.things.recognise_certificate(&der).await.unwrap().1.kind, "lamp");
    house.things.mark_verified(made.thing.id).await.unwrap();
    assert_eq!(house.things.recognise_certificate(&der).await.unwrap().1.status, model::ThingStatus::Verified);

    let mut altered = der.clone();
    altered[100] ^= 1;
    for wrong in [altered.as_slice(), &[], &[0; 9_000], b"certificate"] {
        assert!(unknown(&house.things.recognise_certificate(wrong).await));
    }
}

async fn validity_is_the_clocks_affair(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let new = NewThing { key: Some("dev-1".into()), credentials: Credentials::EcdsaCertificate, ..NewThing::default() };
    let keys = house.things.provision(&owner, new).await.unwrap().keys.unwrap();
    let der = der(&keys.certificate_pem);
    let now = house.clock.now();
    assert!(house.things.recognise_certificate(&der).await.is_ok());
    house.clock.set(keys.not_after);
    assert!(house.things.recognise_certificate(&der).await.is_ok());
    house.clock.set(keys.not_after.checked_add(std::time::Duration::from_secs(1)).unwrap());
    assert!(unknown(&house.things.recognise_certificate(&der).await));
    house.clock.set(keys.not_before.checked_sub(std::time::Duration::from_secs(1)).unwrap());
    assert!(unknown(&house.things.recognise_certificate(&der).await));
    house.clock.set(now);
    assert!(house.things.recognise_certificate(&der).await.is_ok());
}

async fn a_foreign_certificate_is_as_good(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    let (foreign, _dir) = elsewhere(&house.clock).await;
    // Issued by a CA we don't know, and one that is a CA itself and signed by itself.
    let issued = foreign.issue_certificate(KeyKind::EcdsaP256).await.unwrap().certificate_pem;
    let own = foreign.ca_certificate_pem();
    for pem in [&issued, &own] {
        assert!(unknown(&house.things.recognise_certificate(&der(pem)).await));
        let registered = house.things.register_certificate(&owner, "dev-1", pem).await.unwrap();
        assert!(!registered.issued_here);
        assert_eq!(registered.fingerprint, identity::certificate_fingerprint(&der(pem)));
        assert_eq!(house.things.recognise_certificate(&der(pem)).await.unwrap().1.id, thing.id);
        // Again for the same thing: nothing changes.
        assert_eq!(house.things.register_certificate(&owner, "dev-1", pem).await.unwrap(), registered);
    }
    assert_eq!(house.things.certificates(&owner, "dev-1").await.unwrap().len(), 2);
    assert!(house.things.keys(&owner, "dev-1").await.unwrap().is_none(), "their keys are not ours to hand out");
    // For another thing, here or elsewhere: taken.
    house.thing(&owner, "dev-2").await;
    let other = house.tenant("other", PlanName::Amber).await;
    house.thing(&other, "dev-1").await;
    for (caller, handle) in [(&owner, "dev-2"), (&other, "dev-1")] {
        let taken = house.things.register_certificate(caller, handle, &issued).await;
        assert!(matches!(taken, Err(Error::Conflict { what: "certificate", .. })), "{taken:?}");
    }
    for bad in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(house.things.register_certificate(&owner, "dev-1", bad).await, Err(Error::Invalid { .. })), "{bad:?}");
    }
    let huge = "x".repeat(20 << 10);
    assert!(matches!(house.things.register_certificate(&owner, "dev-1", &huge).await, Err(Error::TooLarge { .. })));
}

async fn revoked_is_revoked(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let new = NewThing { key: Some("dev-1".into()), credentials: Credentials::EcdsaCertificate, ..NewThing::default() };
    let keys = house.things.provision(&owner, new).await.unwrap().keys.unwrap();
    house.thing(&owner, "dev-2").await;
    let der = der(&keys.certificate_pem);
    assert!(house.things.recognise_certificate(&der).await.is_ok());
    let not_its = house.things.revoke_certificate(&owner, "dev-2", &keys.fingerprint).await;
    assert!(matches!(not_its, Err(Error::NotFound { what: "certificate" })));
    let mut ended = house.things.ended();
    house.things.revoke_certificate(&owner, "dev-1", &keys.fingerprint).await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Certificate(keys.fingerprint.clone()));
    assert!(unknown(&house.things.recognise_certificate(&der).await), "at once, remembered or not");
    house.things.revoke_certificate(&owner, "dev-1", &keys.fingerprint).await.unwrap();
    let listed = house.things.certificates(&owner, "dev-1").await.unwrap();
    assert_eq!((listed.len(), listed[0].status), (1, CertificateStatus::Revoked));
    assert!(house.things.keys(&owner, "dev-1").await.unwrap().is_none());
    let again = house.things.register_certificate(&owner, "dev-1", &keys.certificate_pem).await;
    assert!(matches!(again, Err(Error::Conflict { what: "certificate", .. })), "revoked for good");
    let house = house.kill().await;
    assert!(unknown(&house.things.recognise_certificate(&der).await));
}

async fn a_certificate_remembered_during_its_revocation_is_not_remembered_after(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let new = NewThing { key: Some("dev-1".into()), credentials: Credentials::EcdsaCertificate, ..NewThing::default() };
    let keys = house.things.provision(&owner, new).await.unwrap().keys.unwrap();
    let der = der(&keys.certificate_pem);
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let (things, der) = (house.things.clone(), der.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    let _ = things.recognise_certificate(&der).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    house.things.revoke_certificate(&owner, "dev-1", &keys.fingerprint).await.unwrap();
    assert!(unknown(&house.things.recognise_certificate(&der).await));
    for one in crowd {
        one.await.unwrap();
    }
    assert!(unknown(&house.things.recognise_certificate(&der).await));
}

async fn an_inactive_certificate_may_come_back(house: House) {
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let (one, other) = (house.thing(&owner, "dev-1").await, house.thing(&owner, "dev-2").await);
    let (foreign, _dir) = elsewhere(&house.clock).await;
    let pem = foreign.issue_certificate(KeyKind::EcdsaP256).await.unwrap().certificate_pem;
    let der = der(&pem);
    let things = &house.things;
    let revoked = things.add_certificate(&owner, "dev-1", &pem, CertificateStatus::Revoked).await;
    assert!(matches!(revoked, Err(Error::Invalid { field: "status", .. })));
    let made = things.add_certificate(&owner, "dev-1", &pem, CertificateStatus::Inactive).await.unwrap();
    assert_eq!((made.thing, made.status), (one.id, CertificateStatus::Inactive));
    assert!(unknown(&things.recognise_certificate(&der).await));
    for handle in ["dev-1", "dev-2"] {
        let again = things.add_certificate(&owner, handle, &pem, CertificateStatus::Active).await;
        assert!(matches!(again, Err(Error::Conflict { what: "certificate", .. })), "{handle}");
    }
    let fingerprint = &made.fingerprint;
    assert!(matches!(
        things.set_certificate_status(&owner, &other.key, fingerprint, CertificateStatus::Active).await,
        Err(Error::NotFound { .. })
    ));
    let stranger = house.tenant("umbrella", PlanName::Amber).await;
    assert!(things.set_certificate_status(&stranger, "dev-1", fingerprint, CertificateStatus::Active).await.is_err());
    assert!(things.delete_certificate(&stranger, "dev-1", fingerprint).await.is_err());

    things.set_certificate_status(&owner, "dev-1", fingerprint, CertificateStatus::Active).await.unwrap();
    assert_eq!(things.recognise_certificate(&der).await.unwrap().1.id, one.id);
    let mut ended = things.ended();
    things.set_certificate_status(&owner, "dev-1", fingerprint, CertificateStatus::Inactive).await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Certificate(fingerprint.clone()));
    assert!(unknown(&things.recognise_certificate(&der).await));
    things.set_certificate_status(&owner, "dev-1", fingerprint, CertificateStatus::Active).await.unwrap();
    assert!(things.recognise_certificate(&der).await.is_ok());
    let gone = things.set_certificate_status(&owner, "dev-1", fingerprint, CertificateStatus::Revoked).await.unwrap();
    assert_eq!(gone.status, CertificateStatus::Revoked);
    for status in [CertificateStatus::Active, CertificateStatus::Inactive] {
        let back = things.set_certificate_status(&owner, "dev-1", fingerprint, status).await;
        assert!(matches!(back, Err(Error::Conflict { what: "certificate", .. })), "revoked is revoked");
    }
    while ended.try_recv().is_ok() {}
    things.delete_certificate(&owner, "dev-1", fingerprint).await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Certificate(fingerprint.clone()));
    assert_eq!(ended.try_recv().unwrap(), Ended::Keys(one.id));
    assert!(things.certificates(&owner, "dev-1").await.unwrap().is_empty());
    assert!(matches!(things.delete_certificate(&owner, "dev-1", fingerprint).await, Err(Error::NotFound { .. })));
}

both! {
    an_inactive_certificate_may_come_back
    an_issued_certificate_is_recognised
    validity_is_the_clocks_affair
    a_foreign_certificate_is_as_good
    revoked_is_revoked
    a_certificate_remembered_during_its_revocation_is_not_remembered_after
}
