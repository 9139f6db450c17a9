//! The master key: seals what must be readable again (signing keys, the CA, keys made for devices).

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac};
use model::{Error, Result};
use zeroize::Zeroizing;

use crate::secret;

/// First byte of everything sealed: AES-256-GCM, random 96-bit nonce, then ciphertext and tag.
const SEALED_V1: u8 = 1;
const TAG_LEN: usize = 16;

/// 32 random bytes that open everything sealed in the store. Never printed.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// A fresh random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(secret::random()))
    }

    /// The key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key written as 64 hexadecimal digits, as in the key file and the environment.
    pub fn parse(text: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| Error::invalid("master_key", "must be 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }

    /// Reads the key file, or makes it (mode 0600). A file that others may read is refused: whoever read it may hold the key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        match Self::load(path) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Self::create(path),
            Err(e) => Err(e),
        }
    }

    fn load(path: &Path) -> Result<Option<Self>> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(file_error(path, &e)),
        };
        check_mode(path, &file)?;
        let mut text = Zeroizing::new(String::new());
        file.take(1_024).read_to_string(&mut text).map_err(|e| file_error(path, &e))?;
        Self::parse(&text)
            .map(Some)
            .map_err(|_| Error::invalid("master_key", format!("{} does not hold 64 hexadecimal digits", path.display())))
    }

    fn create(path: &Path) -> Result<Self> {
        let key = Self::generate();
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut file) => {
                let text = Zeroizing::new(format!("{}\n", hex::encode(key.0.as_slice())));
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|e| file_error(path, &e))?;
                // The name itself must survive a power cut: without this key nothing sealed can be opened.
                if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
                    std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(|e| file_error(dir, &e))?;
                }
                Ok(key)
            }
            // Another process was first.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)?.ok_or_else(|| Error::internal(format!("{} appeared and vanished", path.display())))
            }
            Err(e) => Err(file_error(path, &e)),
        }
    }

    /// A key for another purpose, so that no key serves two (HKDF, RFC 5869).
    fn derive(&self, purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let mut out = Zeroizing::new([0u8; 32]);
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"heliograph").extract(self.0.as_slice());
        prk.expand(&[purpose], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(out.as_mut_slice()))
            .map_err(|_| Error::internal("key derivation"))?;
        Ok(out)
    }

    /// The sealing key of this master key.
    pub(crate) fn sealer(&self) -> Result<Sealer> {
        let key = self.derive(b"seal")?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| Error::internal("sealing key"))?;
        Ok(Sealer { key })
    }

    /// A MAC key for that purpose.
    pub(crate) fn mac(&self, purpose: &[u8]) -> Result<hmac::Key> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, self.derive(purpose)?.as_slice()))
    }
}

/// AES-256-GCM under a key derived from the master key.
pub(crate) struct Sealer {
    key: RandomizedNonceKey,
}

impl Sealer {
    /// `1 || nonce || ciphertext || tag`.
    #[expect(clippy::expect_used, reason = "AES-GCM refuses only texts beyond 64 GiB")]
    pub(crate) fn seal(&self, plain: &[u8], aad: &[u8]) -> Vec<u8> {
        let mut text = Zeroizing::new(plain.to_vec());
        let (nonce, tag) = self.key.seal_in_place_separate_tag(Aad::from(aad), text.as_mut_slice()).expect("text below 64 GiB");
        let mut out = Vec::with_capacity(1 + NONCE_LEN + plain.len() + TAG_LEN);
        out.push(SEALED_V1);
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&text);
        out.extend_from_slice(tag.as_ref());
        out
    }

    pub(crate) fn unseal(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let refuse = || Error::internal("sealed data does not open: another master key, or damaged");
        let Some((&SEALED_V1, rest)) = sealed.split_first() else { return Err(refuse()) };
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or_else(refuse)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refuse())?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self.key.open_in_place(nonce, Aad::from(aad), text.as_mut_slice()).map_err(|_| refuse())?.len();
        text.truncate(length);
        Ok(text)
    }
}

fn file_error(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("key file {}: {error}", path.display()))
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &std::fs::File) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = file.metadata().map_err(|e| file_error(path, &e))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::invalid(
            "master_key",
            format!("{} may be read by others (mode {mode:03o}); run chmod 600 on it, and consider the key known", path.display()),
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::File) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_its_key_and_its_purpose() {
        let (key, other) = (MasterKey::generate().sealer().unwrap(), MasterKey::generate().sealer().unwrap());
        let sealed = key.seal(b"private", b"thing:1");
        assert_eq!(key.unseal(&sealed, b"thing:1").unwrap().as_slice(), b"private");
        assert_ne!(sealed, key.seal(b"private", b"thing:1"), "a nonce of its own each time");
        assert!(key.unseal(&sealed, b"thing:2").is_err());
        assert!(other.unseal(&sealed, b"thing:1").is_err());
        for i in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[i] ^= 1;
            assert!(key.unseal(&broken, b"thing:1").is_err(), "byte {i}");
            assert!(key.unseal(&sealed[..i], b"thing:1").is_err(), "cut at {i}");
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let made = MasterKey::load_or_create(&path).unwrap();
        let again = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(made.0, again.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            let refused = MasterKey::load_or_create(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_damaged_key_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        std::fs::write(&path, "abc").unwrap();
        assert!(MasterKey::load_or_create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abc");
    }
}
