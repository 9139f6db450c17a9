//! Signatures of others: public keys as JWK (RFC 7517, 8037), their thumbprints (RFC 7638), and JWTs checked with them.
//!
//! Our own tokens are read in `tokens`. Here the key is somebody else's, so the algorithm is one of those the key is for, and
//! no shared secret is ever a key.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::secret;

/// The algorithms taken, as discovery tells them.
pub const ASYMMETRIC: &[&str] = &["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"];
/// Keys in one set.
const KEYS_MAX: usize = 20;
/// A set as JSON, in bytes.
const SET_MAX: usize = 32 * 1024;
/// A JWT of somebody else's, in bytes.
pub(super) const JWT_MAX: usize = 8 * 1024;

/// A public key of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    kid: Option<String>,
    alg: Option<String>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Decodes base64url without padding, one spelling per value.
fn bytes(key: &Map<String, Value>, name: &str, length: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    let text = key.get(name)?.as_str()?;
    let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
    (length.contains(&decoded.len()) && URL_SAFE_NO_PAD.encode(&decoded) == text).then_some(decoded)
}

impl PublicKey {
    /// Reads a JWK. Error: a sentence that says what is wrong with it.
    pub(crate) fn read(jwk: &Value) -> Result<Self, &'static str> {
        let key = jwk.as_object().ok_or("is not a JSON object")?;
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| key.contains_key(*name)) {
            return Err("holds a private key; register the public half only");
        }
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|u| u != "sig") {
            return Err("is not for signatures");
        }
        let point = |length: usize| -> Option<Vec<u8>> {
            let (x, y) = (bytes(key, "x", length..=length)?, bytes(key, "y", length..=length)?);
            Some([&[4][..], &x, &y].concat())
        };
        let kind = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let n = bytes(key, "n", 256..=1024).ok_or("n is not a modulus of 2048 to 8192 bits")?;
                Kind::Rsa { n, e: bytes(key, "e", 1..=8).ok_or("e is not an exponent")? }
            }
            (Some("EC"), Some("P-256")) => Kind::P256(point(32).ok_or("x and y are not a point of P-256")?),
            (Some("EC"), Some("P-384")) => Kind::P384(point(48).ok_or("x and y are not a point of P-384")?),
            (Some("OKP"), Some("Ed25519")) => Kind::Ed25519(bytes(key, "x", 32..=32).ok_or("x is not a key of Ed25519")?),
            _ => return Err("is none of RSA, EC P-256, EC P-384, OKP Ed25519"),
        };
        let read = Self { kid: text("kid").map(str::to_owned), alg: text("alg").map(str::to_owned), kind };
        if read.alg.as_deref().is_some_and(|alg| !read.signs(alg)) {
            return Err("alg does not fit the key");
        }
        Ok(read)
    }

    /// Reads a JWK set of 1 to 20 keys.
    pub(crate) fn read_set(jwks: &Value) -> Result<Vec<Self>, String> {
        if jwks.to_string().len() > SET_MAX {
            return Err(format!("is longer than {SET_MAX} bytes"));
        }
        let keys = jwks.get("keys").and_then(Value::as_array).ok_or("is not a JWK set: it has no list of keys")?;
        if !(1..=KEYS_MAX).contains(&keys.len()) {
            return Err(format!("must have 1 to {KEYS_MAX} keys"));
        }
        keys.iter().enumerate().map(|(at, key)| Self::read(key).map_err(|why| format!("key {at} {why}"))).collect()
    }

    /// Is it for that algorithm?
    fn signs(&self, alg: &str) -> bool {
        let fits: &[&str] = match self.kind {
            Kind::Rsa { .. } => &["RS256", "PS256"],
            Kind::P256(_) => &["ES256"],
            Kind::P384(_) => &["ES384"],
            Kind::Ed25519(_) => &["EdDSA", "Ed25519"],
        };
        fits.contains(&alg) && self.alg.as_deref().is_none_or(|mine| mine == alg || matches!(self.kind, Kind::Ed25519(_)))
    }

    /// RFC 7638 3: SHA-256 of the required members in their order, base64url.
    pub(crate) fn thumbprint(&self) -> String {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ec = |crv: &str, point: &[u8]| {
            let (x, y) = point.split_at(1).1.split_at(point.len() / 2);
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
        };
        let canonical = match &self.kind {
            Kind::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
            Kind::P256(point) => ec("P-256", point),
            Kind::P384(point) => ec("P-384", point),
            Kind::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
        };
        b64(&secret::sha256(canonical.as_bytes()))
    }

    fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        if !self.signs(alg) {
            return false;
        }
        let plain = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match &self.kind {
            Kind::Rsa { n, e } => {
                let parameters = if alg == "PS256" { &RSA_PSS_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA256 };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            Kind::P256(point) => plain(&ECDSA_P256_SHA256_FIXED, point),
            Kind::P384(point) => plain(&ECDSA_P384_SHA384_FIXED, point),
            Kind::Ed25519(key) => plain(&ED25519, key),
        }
    }
}

/// The certificates that a JWK set's keys bring along (`x5c`, RFC 7517 4.7), the leaf of each.
pub(crate) fn leaves(jwks: &Value) -> Vec<Vec<u8>> {
    let keys = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let leaf = |key: &Value| STANDARD.decode(key.get("x5c")?.get(0)?.as_str()?).ok();
    keys.iter().filter_map(leaf).collect()
}

/// A JWT taken apart, nothing of it checked.
pub(super) struct Jwt<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Takes a JWT in compact form apart; none when it is malformed, too long, or has critical extensions (RFC 7515 4.1.11).
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if text.len() > JWT_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| -> Option<Map<String, Value>> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let (header, claims) = (object(header)?, object(claims)?);
        let plain = !header.contains_key("crit") && !header.contains_key("b64") && !header.contains_key("zip");
        plain.then_some(Self { header, claims, signed, signature: URL_SAFE_NO_PAD.decode(signature).ok()? })
    }

    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A NumericDate (RFC 7519 2), fractions cut.
    pub(super) fn seconds(&self, claim: &str) -> Option<i64> {
        let value = self.claims.get(claim)?;
        // A date beyond what a clock can show is none; the cast of a float saturates.
        #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
        value.as_i64().or_else(|| value.as_f64().filter(|f| f.is_finite() && f.abs() < 1e15).map(|f| f as i64))
    }

    /// Did this key sign it, by an algorithm it is for?
    pub(super) fn signed_by(&self, key: &PublicKey) -> bool {
        let alg = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        key.verifies(alg, self.signed.as_bytes(), &self.signature)
    }

    /// Did one of these keys sign it? A `kid` picks among them.
    pub(super) fn signed_by_any(&self, keys: &[PublicKey]) -> bool {
        let kid = self.header.get("kid").and_then(Value::as_str);
        let fits = |key: &&PublicKey| kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid;
        keys.iter().filter(fits).any(|key| self.signed_by(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_rfc() {
        // RFC 7638 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
                 tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI\
                 SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::read(&json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_signature_of_the_rfc_is_checked() {
        // RFC 8037 appendix A.4.
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let key = PublicKey::read(&key).unwrap();
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            URL_SAFE_NO_PAD.decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg").unwrap();
        assert!(key.verifies("EdDSA", signed.as_bytes(), &signature));
        assert!(key.verifies("Ed25519", signed.as_bytes(), &signature));
        for alg in ["none", "HS256", "ES256", "RS256", ""] {
            assert!(!key.verifies(alg, signed.as_bytes(), &signature), "{alg}");
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for bad in [
            json!(null),
            json!({}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": x}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": format!("{x}=")}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-256", "x": x}),
            json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": x}),
            json!({"kty": "RSA", "n": x, "e": "AQAB"}),
        ] {
            assert!(PublicKey::read(&bad).is_err(), "{bad}");
        }
        assert!(PublicKey::read_set(&json!({"keys": []})).is_err());
        assert!(PublicKey::read_set(&json!({})).is_err());
        let many = vec![json!({"kty": "OKP", "crv": "Ed25519", "x": x}); 21];
        assert!(PublicKey::read_set(&json!({ "keys": many })).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fall(text in "\\PC{0,80}") {
            let _ = Jwt::read(&text);
        }

        #[test]
        fn no_json_makes_the_reader_fall(header in "\\{\"[a-z]{1,4}\":[0-9]{1,3}\\}", claims in "[\\[\\{\"a-z:0-9,\\}\\]]{0,30}") {
            let text = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            if let Some(jwt) = Jwt::read(&text) {
                prop_assert!(!jwt.signed_by_any(&[]));
                let _ = (jwt.seconds("exp"), jwt.text("iss"));
            }
        }
    }
}
