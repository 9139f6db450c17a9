//! Our own CA, the server's certificate, and certificates for devices.
//!
//! The CA (ECDSA P-256) is made on the first start and kept sealed. A device is recognised by the fingerprint of its
//! registered certificate, so a certificate of any issuer may be read and registered; ours are merely at hand.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use jiff::Timestamp;
use model::{CertificateFingerprint, Error, Result};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use crate::{CertificateFacts, Identity, IssuedCertificate, KeyKind, TlsMaterial, certificate_fingerprint, secret};

/// The longest certificate read, PEM or DER, in bytes.
pub const CERTIFICATE_MAX: usize = 16 * 1024;

const CA: &str = "ca";
const SERVER: &str = "server_certificate";
const CA_AAD: &[u8] = b"setting:ca";
const SERVER_AAD: &[u8] = b"setting:server_certificate";
const DAY: i64 = 86_400;
const CA_DAYS: i64 = 30 * 365;
/// Below the 398 days some clients take at most.
const SERVER_DAYS: i64 = 390;
const SERVER_RENEW_DAYS: i64 = 60;
const DEVICE_DAYS: i64 = 5 * 365;
/// 2049-12-31T23:59:59Z: the end of devices' certificates, as their platform has it (contracts/flashlex.md 2.1).
const DEVICE_END: i64 = 2_524_607_999;
/// Clocks of small devices run late: what we sign is valid since yesterday.
const BACKDATED: i64 = DAY;
const NAMES_MAX: usize = 100;

/// The CA as stored, sealed.
#[derive(Serialize, Deserialize)]
struct StoredCa {
    certificate: String,
    key: String,
}

/// The server's certificate as stored, sealed.
#[derive(Serialize, Deserialize)]
struct StoredServer {
    names: Vec<String>,
    chain: String,
    key: String,
    issuer: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// The CA, ready to sign.
pub(crate) struct Ca {
    pem: String,
    fingerprint: CertificateFingerprint,
    subject: Vec<u8>,
    public: Vec<u8>,
    not_after: i64,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn make(now: Timestamp) -> Result<StoredCa> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let id = hex::encode(secret::random::<4>());
        let mut params = params(&format!("Heliograph CA {id}"), now.as_second() - BACKDATED, now.as_second() + CA_DAYS * DAY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(StoredCa { certificate: encode("CERTIFICATE", certificate.der()), key: key.serialize_pem() })
    }

    fn open(stored: &StoredCa) -> Result<Self> {
        let damaged = |_| Error::internal("the stored CA is not readable");
        let der = pem::parse(&stored.certificate).map_err(|_| Error::internal("the stored CA is not readable"))?.into_contents();
        let key = KeyPair::from_pem(&stored.key).map_err(damaged)?;
        let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(der.as_slice()), key).map_err(damaged)?;
        let (_, x509) = X509Certificate::from_der(&der).map_err(|_| Error::internal("the stored CA is not readable"))?;
        Ok(Self {
            pem: stored.certificate.clone(),
            fingerprint: certificate_fingerprint(&der),
            subject: x509.subject().as_raw().to_vec(),
            public: x509.public_key().subject_public_key.data.to_vec(),
            not_after: x509.validity().not_after.timestamp(),
            issuer,
        })
    }

    fn signed(&self, certificate: &X509Certificate<'_>) -> bool {
        certificate.issuer().as_raw() == self.subject
            && UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.public)
                .verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
                .is_ok()
    }
}

/// What every certificate of ours has in common.
fn params(common_name: &str, not_before: i64, not_after: i64) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let after_epoch = |seconds: i64| epoch + Duration::from_secs(seconds.max(0).unsigned_abs());
    params.not_before = after_epoch(not_before);
    params.not_after = after_epoch(not_after);
    let mut serial: [u8; 16] = secret::random();
    // Positive, and of full length (RFC 5280 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn failed(error: rcgen::Error) -> Error {
    Error::internal(format!("certificate: {error}"))
}

fn encode(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

impl Identity {
    /// Opens the CA, or makes it.
    pub(crate) async fn open_ca(db: &store::Db, sealer: &crate::master::Sealer, now: Timestamp) -> Result<Ca> {
        let mut sealed = db.read().await?.setting(CA).await?;
        if sealed.is_none() {
            let text = Zeroizing::new(serde_json::to_vec(&Ca::make(now)?).map_err(Error::internal)?);
            let mut tx = db.begin().await?;
            // Another node may have been first; then its CA counts.
            tx.init_setting(CA, &sealer.seal(&text, CA_AAD)).await?;
            sealed = tx.setting(CA).await?;
            tx.commit().await?;
        }
        let sealed = sealed.ok_or_else(|| Error::internal("the CA is not there"))?;
        let text = sealer
            .unseal(&sealed, CA_AAD)
            .map_err(|_| Error::invalid("master_key", "does not open this data: it was written under another master key"))?;
        Ca::open(&serde_json::from_slice(&text).map_err(Error::internal)?)
    }

    /// Our CA's certificate, PEM: what devices and clients trust.
    #[must_use]
    pub fn ca_certificate_pem(&self) -> String {
        self.inner.ca.pem.clone()
    }

    /// When our CA's certificate ends.
    pub fn ca_certificate_ends(&self) -> Timestamp {
        Timestamp::from_second(self.inner.ca.not_after).unwrap_or(Timestamp::MAX)
    }

    /// The server's certificate for these DNS names and IP addresses, and for localhost, 127.0.0.1 and `::1` always.
    /// The same one each time, until the names change or its last 60 days begin.
    pub async fn server_certificate(&self, names: &[String]) -> Result<TlsMaterial> {
        let names = server_names(names)?;
        let inner = &self.inner;
        let now = self.clock().now();
        if let Some(sealed) = inner.db.read().await?.setting(SERVER).await? {
            let stored: Option<StoredServer> =
                inner.sealer.unseal(&sealed, SERVER_AAD).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(s) = stored
                && s.names == names
                && s.issuer == inner.ca.fingerprint.as_str()
                && s.not_before <= now
                && now.as_second() < s.not_after.as_second() - SERVER_RENEW_DAYS * DAY
            {
                return Ok(TlsMaterial { chain_pem: s.chain, key_pem: Zeroizing::new(s.key), names, not_after: s.not_after });
            }
        }
        let (not_before, not_after) = (now.as_second() - BACKDATED, (now.as_second() + SERVER_DAYS * DAY).min(inner.ca.not_after));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = params("Heliograph", not_before, not_after)?;
        params.subject_alt_names = names.iter().map(|name| san(name)).collect::<Result<_>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &inner.ca.issuer).map_err(failed)?;
        let stored = StoredServer {
            chain: encode("CERTIFICATE", certificate.der()) + &inner.ca.pem,
            key: key.serialize_pem(),
            issuer: inner.ca.fingerprint.as_str().to_owned(),
            not_before: at(not_before),
            not_after: at(not_after),
            names,
        };
        let text = Zeroizing::new(serde_json::to_vec(&stored).map_err(Error::internal)?);
        let mut tx = inner.db.begin().await?;
        tx.set_setting(SERVER, &inner.sealer.seal(&text, SERVER_AAD)).await?;
        tx.commit().await?;
        let StoredServer { names, chain, key, not_after, .. } = stored;
        Ok(TlsMaterial { chain_pem: chain, key_pem: Zeroizing::new(key), names, not_after })
    }

    /// A key pair and a certificate for a device, signed by our CA: X.509 v3, `CA:FALSE` and digitalSignature critical,
    /// a random serial number; its subject names no device (contracts/flashlex.md 2.1).
    pub async fn issue_certificate(&self, kind: KeyKind) -> Result<IssuedCertificate> {
        // RSA keys take long to find.
        let key = tokio::task::spawn_blocking(move || match kind {
            KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyKind::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        })
        .await
        .map_err(|e| Error::internal(format!("key generation: {e}")))?
        .map_err(failed)?;
        let ca = &self.inner.ca;
        let now = self.clock().now().as_second();
        let (not_before, not_after) = (now - BACKDATED, DEVICE_END.max(now + DEVICE_DAYS * DAY).min(ca.not_after));
        let mut params = params("Heliograph device", not_before, not_after)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &ca.issuer).map_err(failed)?;
        let private = match kind {
            KeyKind::Rsa2048 => encode("RSA PRIVATE KEY", pkcs1(key.serialized_der()).ok_or_else(|| Error::internal("RSA key encoding"))?),
            KeyKind::EcdsaP256 => encode("PRIVATE KEY", key.serialized_der()),
        };
        Ok(IssuedCertificate {
            fingerprint: certificate_fingerprint(certificate.der()),
            certificate_pem: encode("CERTIFICATE", certificate.der()),
            private_key_pem: Zeroizing::new(private),
            public_key_pem: encode("PUBLIC KEY", &key.subject_public_key_info()),
            not_before: at(not_before),
            not_after: at(not_after),
        })
    }

    /// Reads one certificate someone brings, PEM. Any issuer will do; what rustls could not use in a handshake is refused
    /// here, with the reason.
    pub fn read_certificate(&self, text: &str) -> Result<CertificateFacts> {
        if text.len() > CERTIFICATE_MAX {
            return Err(Error::TooLarge { limit: u64::try_from(CERTIFICATE_MAX).unwrap_or(u64::MAX) });
        }
        let refuse = |reason: String| Err(Error::invalid("certificate", reason));
        let blocks = match pem::parse_many(text) {
            Ok(blocks) => blocks,
            Err(e) => return refuse(format!("is not PEM: {e}")),
        };
        if blocks.iter().any(|block| block.tag().ends_with("PRIVATE KEY")) {
            return refuse("holds a private key, which belongs to the device alone; send the certificate only".to_owned());
        }
        match blocks.as_slice() {
            [] => refuse("holds no PEM block; -----BEGIN CERTIFICATE----- is expected".to_owned()),
            [block] if block.tag() == "CERTIFICATE" => self.read_certificate_der(block.contents()),
            [block] => refuse(format!("is a {}, not a CERTIFICATE", block.tag())),
            more => refuse(format!("holds {} PEM blocks; send the device's own certificate alone, without its issuers", more.len())),
        }
    }

    /// The same for DER, as it comes out of a handshake.
    pub fn read_certificate_der(&self, der: &[u8]) -> Result<CertificateFacts> {
        if der.len() > CERTIFICATE_MAX {
            return Err(Error::TooLarge { limit: u64::try_from(CERTIFICATE_MAX).unwrap_or(u64::MAX) });
        }
        let refuse = |reason: &str| Error::invalid("certificate", reason);
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| refuse("is not an X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(refuse("has bytes after its end"));
        }
        if x509.version() != X509Version::V3 {
            return Err(refuse(
                "is X.509 version 1 or 2, which TLS does not take; issue it as version 3 (openssl: with -extfile or -addext)",
            ));
        }
        check_public_key(&x509)?;
        let fingerprint = certificate_fingerprint(der);
        let ca = &self.inner.ca;
        if fingerprint == ca.fingerprint {
            return Err(refuse("is this gateway's own CA certificate; send the device's"));
        }
        Ok(CertificateFacts {
            fingerprint,
            certificate_pem: encode("CERTIFICATE", der),
            public_key_pem: encode("PUBLIC KEY", x509.public_key().raw),
            not_before: at(x509.validity().not_before.timestamp()),
            not_after: at(x509.validity().not_after.timestamp()),
            issued_here: ca.signed(&x509),
            subject: x509.subject().to_string().chars().take(256).collect(),
        })
    }
}

/// Only keys that rustls can check a handshake signature of.
fn check_public_key(x509: &X509Certificate<'_>) -> Result<()> {
    const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];
    const ED25519: &str = "1.3.101.112";
    let spki = x509.public_key();
    if matches!(spki.parsed(), Ok(PublicKey::RSA(rsa)) if crate::roca::weak(rsa.modulus)) {
        return Err(Error::invalid("certificate", "has an RSA key that anybody can compute (ROCA, CVE-2017-15361); make a new one"));
    }
    let good = match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => (2_048..=8_192).contains(&rsa.key_size()),
        Ok(PublicKey::EC(_)) => {
            let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
            curve.is_some_and(|curve| CURVES.contains(&curve.as_str()))
        }
        Ok(PublicKey::Unknown(_)) => spki.algorithm.algorithm.to_id_string() == ED25519,
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err(Error::invalid(
            "certificate",
            "has a public key we cannot use: RSA with 2048 to 8192 bits, ECDSA P-256, P-384, P-521 or Ed25519 is expected",
        ))
    }
}

/// Lower case, without repeats, localhost included, sorted: equal sets of names compare equal.
fn server_names(names: &[String]) -> Result<Vec<String>> {
    if names.len() > NAMES_MAX {
        return Err(Error::invalid("names", format!("a certificate holds at most {NAMES_MAX}")));
    }
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for name in names {
        let name = name.trim().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            continue;
        }
        all.push(match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name,
        });
    }
    all.sort();
    all.dedup();
    for name in &all {
        san(name)?;
    }
    Ok(all)
}

fn san(name: &str) -> Result<SanType> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if name.len() > 253 || !rest.split('.').all(label) {
        return Err(Error::invalid("names", format!("{name:?} is neither a DNS name nor an IP address")));
    }
    name.try_into().map(SanType::DnsName).map_err(failed)
}

/// The PKCS#1 key (RFC 8017 A.1.2) inside a PKCS#8 one (RFC 5958 2): version, algorithm, then the octets.
fn pkcs1(pkcs8: &[u8]) -> Option<&[u8]> {
    let (body, _) = element(pkcs8, 0x30)?;
    let (_, rest) = element(body, 0x02)?;
    let (_, rest) = element(rest, 0x30)?;
    element(rest, 0x04).map(|(octets, _)| octets)
}

/// One DER element of that tag: its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
