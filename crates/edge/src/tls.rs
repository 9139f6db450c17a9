//! TLS: one certificate that can be replaced while running, and client certificates whose key must be proved.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file.
    #[error("the certificate is not PEM: {0}")]
    Certificate(String),
    /// The key file.
    #[error("the private key is not PEM (PKCS#8, PKCS#1 or SEC1): {0}")]
    Key(String),
    /// The two don't belong together, or their algorithm is unknown.
    #[error("certificate and private key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// The server's certificate, replaceable without a restart: handshakes from then on use the new one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsReload {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: std::sync::RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl TlsReload {
    /// From a PEM chain (leaf first) and its PEM key.
    pub fn new(chain_pem: &str, key_pem: &str) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = certified(chain_pem, key_pem, &provider)?;
        Ok(Self { shared: Arc::new(Shared { current: std::sync::RwLock::new(pair), provider }) })
    }

    /// Puts another certificate in place; on error the present one stays.
    pub fn replace(&self, chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let pair = certified(chain_pem, key_pem, &self.shared.provider)?;
        *self.shared.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = pair;
        Ok(())
    }

    /// For HTTPS: TLS 1.2 and 1.3, `h2` and `http/1.1`; client certificates asked for, not required (RFC 8705).
    pub fn https(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = Arc::new(AnyLeaf { provider: self.shared.provider.clone() });
        let mut config = self.builder()?.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// For MQTT: client certificates asked for, not required; `mqtt`, and `x-amzn-mqtt-ca` of devices made for AWS IoT; or no ALPN.
    pub fn mqtts(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = Arc::new(AnyLeaf { provider: self.shared.provider.clone() });
        let mut config = self.builder()?.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"mqtt".to_vec(), b"x-amzn-mqtt-ca".to_vec(), b"mqttv311".to_vec()];
        // A resumed session brings the certificate of its first handshake along; the broker's host looks it up on every CONNECT.
        Ok(Arc::new(config))
    }

    fn builder(&self) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, TlsError> {
        Ok(ServerConfig::builder_with_provider(self.shared.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?)
    }
}

fn certified(chain_pem: &str, key_pem: &str, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| TlsError::Certificate(e.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("no CERTIFICATE section".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| TlsError::Key(e.to_string()))?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, provider)?))
}

impl ResolvesServerCert for TlsReload {
    // Whatever name the client asks for, or none: device libraries of 2019 send no SNI (contracts/flashlex.md 3.1).
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shared.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }
}

/// Accepts any well-formed leaf (self-signed, `CA:TRUE`, issued by whomever): things are recognised by fingerprint, and their
/// certificate's dates are checked there. What the handshake proves is possession of the key, and that is checked in full here.
#[derive(Debug)]
struct AnyLeaf {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyLeaf {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        ParsedCertificate::try_from(leaf)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
