//! Random values, hashes of high-entropy secrets, constant-time compares.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// SHA-256 of a high-entropy secret: what the store keeps of API keys, client secrets and thing secrets.
#[must_use]
pub fn hash_secret(text: &str) -> [u8; 32] {
    sha256(text.as_bytes())
}

/// Are the hashes equal? Takes the same time either way.
#[must_use]
pub fn same_hash(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A fresh secret of 256 bits as text that needs no escaping anywhere, after a prefix that tells what it is.
#[must_use]
pub fn random_secret(prefix: &str) -> SecretString {
    let bytes = Zeroizing::new(random::<32>());
    SecretString::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

/// A certificate's fingerprint: SHA-256 of its DER form.
#[must_use]
#[expect(clippy::expect_used, reason = "32 bytes are always 64 hex digits")]
pub fn certificate_fingerprint(der: &[u8]) -> model::CertificateFingerprint {
    model::CertificateFingerprint::parse(&hex::encode(sha256(der))).expect("64 hex digits")
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    sha256_of(&[bytes])
}

/// Of the parts as if they were one.
pub(crate) fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[expect(clippy::expect_used, reason = "without randomness nothing may go on")]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// So many letters and digits, each text equally likely.
pub(crate) fn random_letters(length: usize) -> SecretString {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let [byte] = random::<1>();
        // 248 is the largest multiple of 62 below 256.
        if let Some(letter) = LETTERS.get(usize::from(byte % 62)).filter(|_| byte < 248) {
            text.push(char::from(*letter));
        }
    }
    SecretString::from(text)
}

/// Six decimal digits, each code equally likely.
pub(crate) fn random_code() -> String {
    // 4,294,000,000 is the largest multiple of a million below 2^32.
    loop {
        let n = u32::from_be_bytes(random());
        if n < 4_294_000_000 {
            return format!("{:06}", n % 1_000_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn codes_are_six_digits_and_secrets_do_not_repeat() {
        for _ in 0..1_000 {
            let code = random_code();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
        }
        let (a, b) = (random_secret("hgk_"), random_secret("hgk_"));
        assert!(a.expose_secret().starts_with("hgk_") && a.expose_secret().len() == 47);
        assert_ne!(a.expose_secret(), b.expose_secret());
    }

    #[test]
    fn the_hash_is_plain_sha_256() {
        assert_eq!(hex::encode(hash_secret("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(same_hash(&hash_secret("a"), &hash_secret("a")) && !same_hash(&hash_secret("a"), &hash_secret("b")));
        assert!(!same_hash(b"", b"a"));
    }
}
