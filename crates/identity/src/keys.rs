//! Signing keys: made on first use, sealed at rest, parsed once, rotated with overlap.
//!
//! A new key is published (`jwks`) before it signs; an old one verifies until the last token it signed has expired, for
//! which the longest lifetime it ever signed is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use model::{Caller, Clock, Error, Permission, Result};
use parking_lot::RwLock;
use serde_json::{Value, json};
use store::{Db, SigningKeyRecord};
use zeroize::Zeroizing;

use crate::master::Sealer;
use crate::{Algorithm, AuditEvent, Identity, SigningKeyInfo, secret};

/// Kept beyond the last expiry, for clocks that differ.
const SLACK: i64 = 60_000_000;
/// Bytes of an HS512 key.
pub(crate) const HS512_KEY: usize = 64;
const OPEN_END: i64 = i64::MAX;
/// How often an unknown `kid` may make us look for another node's new key.
const LOOK_AGAIN: i64 = 1_000_000;

/// A key with both halves parsed.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) profile: Option<String>,
    created: i64,
    signs_from: i64,
    signs_until: AtomicI64,
    longest: AtomicI64,
    signer: Signer,
    pub(crate) verifier: DecodingKey,
    jwk: Option<Value>,
    spki: Vec<u8>,
}

// jsonwebtoken parses (and checks) an RSA key anew for each signature, which costs as much as signing; so keys are kept parsed.
enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
    Hmac(Box<hmac::Key>),
}

impl SigningKey {
    fn open(record: &SigningKeyRecord, sealer: &Sealer) -> Result<Self> {
        let broken = |what: &str| Error::internal(format!("signing key {}: {what}", record.kid));
        let private = sealer.unseal(&record.private_key, aad(&record.kid).as_bytes())?;
        let algorithm = Algorithm::from_name(&record.algorithm).ok_or_else(|| broken("unknown algorithm"))?;
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (signer, verifier, jwk) = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(&private).map_err(|_| broken("not an RSA key"))?;
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let jwk = json!({"kty": "RSA", "n": b64(&public.n), "e": b64(&public.e)});
                (Signer::Rsa(Box::new(pair)), DecodingKey::from_rsa_raw_components(&public.n, &public.e), Some(jwk))
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(&private).map_err(|_| broken("not an Ed25519 key"))?;
                let public = pair.public_key().as_ref().to_vec();
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&public)});
                (Signer::Ed(Box::new(pair)), DecodingKey::from_ed_der(&public), Some(jwk))
            }
            Algorithm::Hs512 if private.len() < HS512_KEY => return Err(broken("an HMAC key shorter than its hash (RFC 7518 3.2)")),
            Algorithm::Hs512 => {
                let key = Box::new(hmac::Key::new(hmac::HMAC_SHA512, &private));
                (Signer::Hmac(key), DecodingKey::from_secret(&private), None)
            }
        };
        let jwk = jwk.map(|mut jwk| {
            if let Some(members) = jwk.as_object_mut() {
                members.insert("kid".to_owned(), json!(record.kid));
                members.insert("alg".to_owned(), json!(algorithm.name()));
                members.insert("use".to_owned(), json!("sig"));
            }
            jwk
        });
        Ok(Self {
            kid: record.kid.clone(),
            algorithm,
            profile: record.profile.clone(),
            created: record.created.as_microsecond(),
            signs_from: record.signs_from.as_microsecond(),
            signs_until: AtomicI64::new(record.signs_until.map_or(OPEN_END, Timestamp::as_microsecond)),
            longest: AtomicI64::new(micros(record.longest)),
            signer,
            verifier,
            jwk,
            spki: record.public_key.clone(),
        })
    }

    /// The signature of these bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(match &self.signer {
            Signer::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out).map_err(|_| Error::internal("RSA signature"))?;
                out
            }
            Signer::Ed(pair) => pair.try_sign(message).map_err(|_| Error::internal("Ed25519 signature"))?.as_ref().to_vec(),
            Signer::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }

    /// When the last token it signed has expired; never, while it is not retired.
    fn verifies_until(&self) -> i64 {
        match self.signs_until.load(Ordering::Acquire) {
            OPEN_END => OPEN_END,
            until => until.saturating_add(self.longest.load(Ordering::Acquire)).saturating_add(SLACK),
        }
    }

    fn serves(&self, algorithm: Algorithm, profile: Option<&str>) -> bool {
        self.algorithm == algorithm && self.profile.as_deref() == profile
    }

    fn info(&self, current: bool) -> SigningKeyInfo {
        let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        let end = |micros: i64| (micros != OPEN_END).then(|| at(micros));
        SigningKeyInfo {
            kid: self.kid.clone(),
            algorithm: self.algorithm,
            profile: self.profile.clone(),
            created: at(self.created),
            signs_from: at(self.signs_from),
            signs_until: end(self.signs_until.load(Ordering::Acquire)),
            verifies_until: end(self.verifies_until()),
            current,
        }
    }
}

fn aad(kid: &str) -> String {
    format!("signing_key:{kid}")
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// HMAC keys belong to one profile each: whoever could ever hold one must not speak for the others.
fn scope_of(algorithm: Algorithm, profile: &str) -> Option<&str> {
    (algorithm == Algorithm::Hs512).then_some(profile)
}

fn generate(algorithm: Algorithm) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let failed = |_| Error::internal("key generation");
    let private_of = |der: Pkcs8V1Der<'static>| Zeroizing::new(der.as_ref().to_vec());
    Ok(match algorithm {
        Algorithm::Rs256 => {
            let pair = signature::RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
            (private_of(pair.as_der().map_err(failed)?), spki.as_ref().to_vec())
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
            (private_of(AsDer::<Pkcs8V1Der<'static>>::as_der(&pair).map_err(failed)?), spki.as_ref().to_vec())
        }
        Algorithm::Hs512 => (Zeroizing::new(secret::random::<HS512_KEY>().to_vec()), Vec::new()),
    })
}

/// Every key that signs, will sign or may still be asked to verify.
pub(crate) struct KeyRing {
    clock: Clock,
    keys: RwLock<Arc<[Arc<SigningKey>]>>,
    looked: AtomicI64,
}

impl KeyRing {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, keys: RwLock::new(Arc::new([])), looked: AtomicI64::new(i64::MIN) }
    }

    fn all(&self) -> Arc<[Arc<SigningKey>]> {
        Arc::clone(&self.keys.read())
    }

    /// Takes over what the store holds: other nodes make and retire keys too.
    pub(crate) async fn reload(&self, db: &Db, sealer: &Sealer) -> Result<()> {
        let records = db.read().await?.signing_keys().await?;
        let known = self.all();
        let mut keys = Vec::with_capacity(records.len());
        for record in &records {
            match known.iter().find(|key| key.kid == record.kid) {
                Some(key) => {
                    key.signs_until.store(record.signs_until.map_or(OPEN_END, Timestamp::as_microsecond), Ordering::Release);
                    key.longest.fetch_max(micros(record.longest), Ordering::AcqRel);
                    keys.push(Arc::clone(key));
                }
                None => keys.push(Arc::new(SigningKey::open(record, sealer)?)),
            }
        }
        *self.keys.write() = keys.into();
        Ok(())
    }

    /// The key that signs now.
    pub(crate) fn current(&self, algorithm: Algorithm, profile: &str) -> Option<Arc<SigningKey>> {
        let (now, scope) = (self.clock.micros(), scope_of(algorithm, profile));
        let keys = self.all();
        let mine = || keys.iter().filter(|key| key.serves(algorithm, scope));
        mine()
            .filter(|key| key.signs_from <= now && now < key.signs_until.load(Ordering::Acquire))
            .max_by_key(|key| (key.signs_from, &key.kid))
            // A clock set back before the first key: the oldest will do.
            .or_else(|| mine().min_by_key(|key| (key.signs_from, &key.kid)))
            .cloned()
    }

    /// The key of that id, if it may still verify.
    pub(crate) fn verifying(&self, kid: &str) -> Option<Arc<SigningKey>> {
        let now = self.clock.micros();
        self.all().iter().find(|key| key.kid == kid && now < key.verifies_until()).cloned()
    }

    /// May we ask the store for a key we do not know? Not more than once a second.
    pub(crate) fn may_look(&self) -> bool {
        let (now, last) = (self.clock.micros(), self.looked.load(Ordering::Acquire));
        let due = last == i64::MIN || now.saturating_sub(last).abs() >= LOOK_AGAIN;
        due && self.looked.compare_exchange(last, now, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The longest lifetime of any token that may be about.
    pub(crate) fn longest(&self) -> Duration {
        let longest = self.all().iter().map(|key| key.longest.load(Ordering::Acquire)).max().unwrap_or(0);
        Duration::from_micros(longest.unsigned_abs())
    }

    fn infos(&self) -> Vec<SigningKeyInfo> {
        let mut infos: Vec<_> = self
            .all()
            .iter()
            .map(|key| {
                let current = self.current(key.algorithm, key.profile.as_deref().unwrap_or("")).is_some_and(|c| c.kid == key.kid);
                key.info(current)
            })
            .collect();
        infos.sort_by(|a, b| (a.algorithm.name(), &a.profile, a.signs_from).cmp(&(b.algorithm.name(), &b.profile, b.signs_from)));
        infos
    }

    fn jwks(&self) -> Value {
        let now = self.clock.micros();
        let mut keys: Vec<_> = self.all().iter().filter(|key| now < key.verifies_until()).cloned().collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.signs_from));
        json!({"keys": keys.iter().filter_map(|key| key.jwk.clone()).collect::<Vec<_>>()})
    }
}

impl Identity {
    /// The public keys of every token that may be met, those of tomorrow included, as a JWK set (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.inner.keys.jwks()
    }

    /// The current RS256 key's SPKI DER, base64: how realms of the Keycloak kind publish it.
    #[must_use]
    pub fn realm_public_key(&self) -> String {
        self.inner.keys.current(Algorithm::Rs256, "").map(|key| STANDARD.encode(&key.spki)).unwrap_or_default()
    }

    /// Every signing key, by algorithm and age.
    pub async fn signing_keys(&self, caller: &Caller) -> Result<Vec<SigningKeyInfo>> {
        caller.require(Permission::Operate)?;
        self.inner.keys.reload(&self.inner.db, &self.inner.sealer).await?;
        Ok(self.inner.keys.infos())
    }

    /// Makes the next key of an algorithm (HS512: of each of its profiles). It is published at once, signs after
    /// [`Options::key_lead`](crate::Options::key_lead), and its predecessor verifies until its last token has expired.
    pub async fn rotate_signing_key(&self, caller: &Caller, algorithm: Algorithm) -> Result<SigningKeyInfo> {
        caller.require(Permission::Operate)?;
        let inner = &self.inner;
        inner.keys.reload(&inner.db, &inner.sealer).await?;
        let now = self.clock().now();
        let signs_from = now
            .checked_add(jiff::SignedDuration::try_from(inner.options.key_lead).unwrap_or_default())
            .map_err(|_| Error::internal("the end of time"))?;
        let mine: Vec<_> = inner.keys.all().iter().filter(|k| k.algorithm == algorithm).cloned().collect();
        if mine.iter().any(|key| key.signs_from > now.as_microsecond()) {
            return Err(Error::conflict("signing key", "the next key is published already and has not begun to sign"));
        }
        let retiring: Vec<_> = mine.iter().filter(|key| key.signs_until.load(Ordering::Acquire) == OPEN_END).collect();
        let mut made = Vec::new();
        for old in &retiring {
            made.push(self.make_key(algorithm, old.profile.clone(), signs_from).await?);
        }
        let mut tx = inner.db.begin().await?;
        for (old, new) in retiring.iter().zip(&made) {
            if !tx.retire_signing_key(&old.kid, signs_from).await? {
                return Err(Error::conflict("signing key", "another rotation came first"));
            }
            tx.insert_signing_key(new).await?;
        }
        tx.commit().await?;
        inner.keys.reload(&inner.db, &inner.sealer).await?;
        let first = made.first().ok_or(Error::not_found("signing key"))?;
        for new in &made {
            self.record(AuditEvent::done(caller, "signing_key.rotated", format!("signing_key:{}", new.kid)));
        }
        inner.keys.infos().into_iter().find(|info| info.kid == first.kid).ok_or_else(|| Error::internal("the new key is not there"))
    }

    /// Makes the keys every gateway has, if they are not there yet.
    pub(crate) async fn first_keys(&self) -> Result<()> {
        self.inner.keys.reload(&self.inner.db, &self.inner.sealer).await?;
        for algorithm in [Algorithm::Rs256, Algorithm::EdDsa] {
            if self.inner.keys.current(algorithm, "").is_none() {
                self.add_key(algorithm, None).await?;
            }
        }
        Ok(())
    }

    /// The key that signs this profile's tokens now and from now on for at least `lifetime` verifies them.
    pub(crate) async fn signing_key(&self, algorithm: Algorithm, profile: &str, lifetime: Duration) -> Result<Arc<SigningKey>> {
        let inner = &self.inner;
        let key = match inner.keys.current(algorithm, profile) {
            Some(key) => key,
            None => {
                self.add_key(algorithm, scope_of(algorithm, profile).map(str::to_owned)).await?;
                inner.keys.current(algorithm, profile).ok_or_else(|| Error::internal("no signing key"))?
            }
        };
        if key.longest.load(Ordering::Acquire) < micros(lifetime) {
            // Before the first such token, so that no restart forgets how long this key must verify.
            let mut tx = inner.db.begin().await?;
            tx.lengthen_signing_key(&key.kid, lifetime).await?;
            tx.commit().await?;
            key.longest.fetch_max(micros(lifetime), Ordering::AcqRel);
        }
        Ok(key)
    }

    async fn add_key(&self, algorithm: Algorithm, profile: Option<String>) -> Result<()> {
        let record = self.make_key(algorithm, profile, self.clock().now()).await?;
        let mut tx = self.inner.db.begin().await?;
        let there = tx.signing_keys().await?.iter().any(|k| k.algorithm == record.algorithm && k.profile == record.profile);
        if !there {
            tx.insert_signing_key(&record).await?;
        }
        tx.commit().await?;
        self.inner.keys.reload(&self.inner.db, &self.inner.sealer).await
    }

    async fn make_key(&self, algorithm: Algorithm, profile: Option<String>, signs_from: Timestamp) -> Result<SigningKeyRecord> {
        let (private, public) = tokio::task::spawn_blocking(move || generate(algorithm))
            .await
            .map_err(|e| Error::internal(format!("key generation: {e}")))??;
        let name = if public.is_empty() { secret::random::<32>() } else { secret::sha256(&public) };
        let kid = URL_SAFE_NO_PAD.encode(name.split_at(18).0);
        Ok(SigningKeyRecord {
            algorithm: algorithm.name().to_owned(),
            profile,
            private_key: self.inner.sealer.seal(&private, aad(&kid).as_bytes()),
            public_key: public,
            created: self.clock().now(),
            signs_from,
            signs_until: None,
            longest: Duration::ZERO,
            kid,
        })
    }

    /// Forgets keys whose last token has expired.
    pub(crate) async fn prune_keys(&self) -> Result<()> {
        let now = self.clock().micros();
        let over: Vec<_> = self.inner.keys.all().iter().filter(|key| key.verifies_until() <= now).cloned().collect();
        if over.is_empty() {
            return Ok(());
        }
        let mut tx = self.inner.db.begin().await?;
        for key in &over {
            tx.delete_signing_key(&key.kid).await?;
        }
        tx.commit().await?;
        self.inner.keys.reload(&self.inner.db, &self.inner.sealer).await
    }
}
