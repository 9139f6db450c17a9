//! Handshakes as devices make them: every certificate is welcome, none without its key.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, ProtocolVersion, SignatureAlgorithm, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Pair {
    cert: CertificateDer<'static>,
    key: KeyPair,
}

impl Pair {
    fn new(algorithm: &'static rcgen::SignatureAlgorithm, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec!["device".to_owned()]).unwrap();
        change(&mut params);
        let cert = params.self_signed(&key).unwrap().der().clone();
        Self { cert, key }
    }

    fn signing_key(&self) -> Arc<dyn SigningKey> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap()
    }
}

fn ecdsa() -> Pair {
    Pair::new(&PKCS_ECDSA_P256_SHA256, |_| {})
}

fn server() -> (TlsReload, CertificateDer<'static>) {
    let pair = Pair::new(&PKCS_ECDSA_P256_SHA256, |_| {});
    let pem = pem_of(&pair.cert);
    (TlsReload::new(&pem, &pair.key.serialize_pem()).unwrap(), pair.cert)
}

fn pem_of(cert: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(cert);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Accepts whatever the server shows: these tests look at the server.
#[derive(Debug)]
struct Trusting(CryptoProvider);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows one certificate and signs with any key, its own or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}

struct Device<'a> {
    certificate: Option<(&'a Pair, Arc<dyn SigningKey>)>,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: &'a [&'a str],
    name: &'static str,
}

impl Default for Device<'_> {
    fn default() -> Self {
        // An address is never sent as SNI.
        Self { certificate: None, versions: rustls::ALL_VERSIONS, alpn: &[], name: "127.0.0.1" }
    }
}

struct Met {
    certificate: Option<Vec<u8>>,
    alpn: Option<Vec<u8>>,
    version: ProtocolVersion,
    /// What the device saw of the server.
    server: Vec<u8>,
}

/// One handshake with a byte each way; an error from either side.
async fn meet(config: Arc<ServerConfig>, device: Device<'_>) -> Result<Met, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(device.versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting((*provider).clone())));
    let mut client = match device.certificate {
        Some((pair, key)) => builder.with_client_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(vec![pair.cert.clone()], key))))),
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = device.alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = async {
        let mut stream = TlsAcceptor::from(config).accept(far).await.map_err(|e| e.to_string())?;
        stream.write_u8(7).await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().map(|chain| chain[0].to_vec());
        let (alpn, version) = (session.alpn_protocol().map(<[u8]>::to_vec), session.protocol_version().unwrap());
        Ok::<_, String>((certificate, alpn, version))
    };
    let using = async {
        let name = ServerName::try_from(device.name).unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, near).await.map_err(|e| e.to_string())?;
        assert_eq!(stream.read_u8().await.map_err(|e| e.to_string())?, 7);
        Ok::<_, String>(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    };
    let (served, used) = tokio::join!(serving, using);
    let (certificate, alpn, version) = served?;
    Ok(Met { certificate, alpn, version, server: used? })
}

const V12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const V13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[tokio::test]
async fn any_leaf_is_welcome_with_its_key() {
    let (reload, _) = server();
    let config = reload.mqtts().unwrap();
    let pairs = [
        ("ECDSA", ecdsa()),
        ("RSA", Pair::new(&PKCS_RSA_SHA256, |_| {})),
        ("CA:TRUE", Pair::new(&PKCS_ECDSA_P256_SHA256, |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("long expired", Pair::new(&PKCS_ECDSA_P256_SHA256, |p| p.not_after = rcgen::date_time_ymd(2001, 1, 1))),
    ];
    for (what, pair) in &pairs {
        for (versions, version) in [(V12, ProtocolVersion::TLSv1_2), (V13, ProtocolVersion::TLSv1_3)] {
            let device = Device { certificate: Some((pair, pair.signing_key())), versions, ..Device::default() };
            let met = meet(config.clone(), device).await.unwrap_or_else(|e| panic!("{what} {version:?}: {e}"));
            assert_eq!(met.certificate.as_deref(), Some(pair.cert.as_ref()), "{what}");
            assert_eq!(met.version, version);
        }
    }
}

#[tokio::test]
async fn somebody_elses_certificate_is_worth_nothing_without_its_key() {
    let (reload, _) = server();
    let config = reload.mqtts().unwrap();
    let (device, thief) = (ecdsa(), ecdsa());
    let rsa = Pair::new(&PKCS_RSA_SHA256, |_| {});
    for versions in [V12, V13] {
        for (shown, key) in [(&device, &thief), (&device, &rsa), (&rsa, &thief)] {
            let attempt = Device { certificate: Some((shown, key.signing_key())), versions, ..Device::default() };
            let refused = meet(config.clone(), attempt).await;
            assert!(refused.is_err(), "a certificate was taken from someone without its key");
        }
    }
    assert_eq!(thief.signing_key().algorithm(), SignatureAlgorithm::ECDSA);
}

#[tokio::test]
async fn a_certificate_is_not_required() {
    let (reload, _) = server();
    for config in [reload.mqtts().unwrap(), reload.https().unwrap()] {
        let met = meet(config, Device::default()).await.unwrap();
        assert_eq!(met.certificate, None);
    }
}

#[tokio::test]
async fn alpn_by_listener_and_none_is_fine() {
    let (reload, _) = server();
    let (mqtts, https) = (reload.mqtts().unwrap(), reload.https().unwrap());
    for (config, offered, agreed) in [
        (&mqtts, vec![], None),
        (&mqtts, vec!["mqtt"], Some("mqtt")),
        (&mqtts, vec!["x-amzn-mqtt-ca"], Some("x-amzn-mqtt-ca")),
        (&mqtts, vec!["mqttv311"], Some("mqttv311")),
        (&https, vec!["http/1.1"], Some("http/1.1")),
        (&https, vec!["http/1.1", "h2"], Some("h2")),
        (&https, vec![], None),
    ] {
        let met = meet(config.clone(), Device { alpn: &offered, name: "gateway.example", ..Device::default() }).await.unwrap();
        assert_eq!(met.alpn.as_deref(), agreed.map(str::as_bytes), "{offered:?}");
    }
    assert!(meet(mqtts, Device { alpn: &["http/1.1"], ..Device::default() }).await.is_err());
}

#[tokio::test]
async fn a_replaced_certificate_serves_the_next_handshake() {
    let (reload, first) = server();
    let config = reload.mqtts().unwrap();
    assert_eq!(meet(config.clone(), Device::default()).await.unwrap().server, first.to_vec());
    let next = ecdsa();
    assert!(reload.replace(&pem_of(&next.cert), "no key").is_err());
    assert!(reload.replace(&pem_of(&next.cert), &ecdsa().key.serialize_pem()).is_err(), "the key belongs to another certificate");
    assert_eq!(meet(config.clone(), Device::default()).await.unwrap().server, first.to_vec(), "the present one stays");
    reload.replace(&pem_of(&next.cert), &next.key.serialize_pem()).unwrap();
    assert_eq!(meet(config, Device::default()).await.unwrap().server, next.cert.to_vec());
}
