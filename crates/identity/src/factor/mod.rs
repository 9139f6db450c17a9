//! Second factors: codes of an app ([`totp`]) and recovery codes for the day the phone is gone.
//!
//! The app's secret rests sealed under the master key, recovery codes as keyed hashes; each code counts once. Wrong codes have an
//! allowance of their own beside the password's. A user may have a second factor; a tenant (for its members) or an administrator
//! (for one user) may demand one: then the browser sign-in leads to it ([`login`]), and passwords alone open nothing there.

mod admin;
pub(crate) mod login;
mod totp;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use model::{Denial, Error, Result, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use store::Tx;

use crate::oauth::{Login, LoginSession};
use crate::{AuditEvent, Identity, Origin, secret};

pub use login::{HalfLogin, HalfWay, LoginStep};

/// Recovery codes of a user.
const RECOVERY_CODES: usize = 10;
const RECOVERY_LEN: usize = 10;
/// Letters and digits that are not taken for one another.
const RECOVERY_LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// How long an offered secret waits for its first code.
const OFFER_VALID: SignedDuration = SignedDuration::from_mins(15);

/// A code that is wrong, used before, or of another time.
pub const WRONG_CODE: Error = Error::Unauthenticated { reason: "the code is wrong or was used before" };
/// The password alone does not do there.
pub const FACTOR_DEMANDED: Error =
    Error::Forbidden(Denial::Rule("a second factor is demanded here; sign in in the browser, or use an API key"));
/// An offered secret that nobody confirmed in time, or not this one.
pub const STALE_OFFER: Error = Error::Unauthenticated { reason: "the offered secret is no longer good; start again" };
const THERE_ALREADY: Error = Error::Forbidden(Denial::Rule("there is a second factor already; remove that first"));
const NOT_THERE: Error = Error::NotFound { what: "second factor" };

/// What there is to know about a user's second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorState {
    /// Since when there is one.
    pub enrolled: Option<Timestamp>,
    /// Recovery codes left.
    pub recovery_codes: u64,
    /// Must this user have one, by an administrator's word?
    pub required: bool,
    /// Must it have one for any reason?
    pub demanded: bool,
}

/// A secret offered for an app, not in force before its first code.
#[derive(Debug)]
pub struct Offer {
    /// In base32, to be typed.
    pub secret: SecretString,
    /// `otpauth://totp/…`, to be shown as a QR code.
    pub uri: SecretString,
    /// The same, sealed, to come back with the first code.
    pub sealed: String,
}

/// Recovery codes as they are shown this once.
#[derive(Debug)]
pub struct RecoveryCodes(pub Vec<SecretString>);

/// By what a second factor was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    App,
    Recovery,
}

fn aad(user: UserId) -> Vec<u8> {
    [b"second factor of ".as_slice(), user.uuid().as_bytes()].concat()
}

fn offer_aad(user: UserId) -> Vec<u8> {
    [b"second factor offered to ".as_slice(), user.uuid().as_bytes()].concat()
}

/// Codes as typed: any case, blanks and dashes anywhere.
fn normalize(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace() && *c != '-').take(RECOVERY_LEN * 2).map(|c| c.to_ascii_uppercase()).collect()
}

fn new_recovery_code() -> String {
    let mut code = String::with_capacity(RECOVERY_LEN);
    for byte in secret::random::<RECOVERY_LEN>() {
        // 32 letters divide 256.
        code.extend(RECOVERY_LETTERS.get(usize::from(byte % 32)).map(|b| char::from(*b)));
    }
    code
}

/// In two groups, which are easier to read off paper.
fn shown(code: &str) -> SecretString {
    let (left, right) = code.split_at_checked(RECOVERY_LEN / 2).unwrap_or((code, ""));
    SecretString::from(format!("{left}-{right}"))
}

impl Identity {
    fn recovery_hash(&self, user: UserId, code: &str) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.inner.recovery);
        mac.update(user.uuid().as_bytes());
        mac.update(code.as_bytes());
        let mut out = [0u8; 32];
        out.copy_from_slice(mac.sign().as_ref());
        out
    }

    fn new_recovery_codes(&self, user: UserId) -> (RecoveryCodes, Vec<[u8; 32]>) {
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| new_recovery_code()).collect();
        let hashes = codes.iter().map(|code| self.recovery_hash(user, code)).collect();
        (RecoveryCodes(codes.iter().map(|code| shown(code)).collect()), hashes)
    }

    /// What a user's second factor is like, as stored now.
    async fn factor_state(&self, tx: &mut Tx, user: UserId) -> Result<FactorState> {
        let record = tx.second_factor(user).await?;
        let demanded = record.required || !tx.tenants_requiring_factor(user).await?.is_empty();
        Ok(FactorState {
            enrolled: record.enrolled.filter(|_| record.secret.is_some()),
            recovery_codes: tx.recovery_codes_left(user).await?,
            required: record.required,
            demanded,
        })
    }

    /// The signed-in user's second factor.
    pub async fn own_factor(&self, login: &Login) -> Result<FactorState> {
        self.factor_state(&mut self.inner.db.read().await?, login.user).await
    }

    /// A fresh secret for a user.
    async fn offer(&self, user: UserId) -> Result<Offer> {
        let secret = totp::new_secret();
        let until = self.clock().now().checked_add(OFFER_VALID).map_err(Error::internal)?;
        let plain = zeroize::Zeroizing::new([until.as_second().to_be_bytes().as_slice(), secret.as_slice()].concat());
        let sealed = URL_SAFE_NO_PAD.encode(self.seal(&plain, &offer_aad(user)));
        self.offered(user, secret.as_slice(), sealed).await
    }

    async fn offered(&self, user: UserId, secret: &[u8], sealed: String) -> Result<Offer> {
        let standing = self.inner.directory.user(user).await?.ok_or(Error::not_found("user"))?;
        let text = totp::base32(secret);
        let escape = |text: &str| {
            text.bytes().fold(String::new(), |mut out, byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
                out
            })
        };
        // Apps list secrets by issuer: the host tells gateways apart, and a colon would end it.
        let url = self.public_url();
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
        let (issuer, email) = (escape(&format!("Heliograph {host}")), escape(&standing.record.user.email));
        let uri = format!("otpauth://totp/{issuer}:{email}?secret={}&issuer={issuer}", text.expose_secret());
        Ok(Offer { secret: text, uri: SecretString::from(uri), sealed })
    }

    fn open_offer(&self, user: UserId, sealed: &str) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| STALE_OFFER)?;
        let plain = self.unseal(&bytes, &offer_aad(user)).map_err(|_| STALE_OFFER)?;
        let (until, secret) = plain.split_first_chunk::<8>().ok_or(STALE_OFFER)?;
        if i64::from_be_bytes(*until) <= self.clock().now().as_second() || secret.len() != totp::SECRET_LEN {
            return Err(STALE_OFFER);
        }
        Ok(zeroize::Zeroizing::new(secret.to_vec()))
    }

    /// Puts an offered secret in force by its first code, for a user who has none yet.
    async fn confirm(&self, tx: &mut Tx, user: UserId, sealed: &str, typed: &str, origin: &Origin) -> Result<RecoveryCodes> {
        let secret = self.open_offer(user, sealed)?;
        let charge = self.inner.limiter.charge_code(&user.to_string(), origin.address)?;
        let now = self.clock().now();
        let Some(step) = totp::fits(&secret, &normalize(typed), now, 0) else { return Err(WRONG_CODE) };
        charge.give_back();
        let (codes, hashes) = self.new_recovery_codes(user);
        if !tx.enrol_second_factor(user, &self.seal(&secret, &aad(user)), step, now, &hashes).await? {
            return Err(THERE_ALREADY);
        }
        Ok(codes)
    }

    /// Checks a code of the app, or a recovery code, and uses it up. Failures are limited per user and per address.
    async fn prove(&self, user: UserId, typed: &str, origin: &Origin) -> Result<Proof> {
        let outcome = self.prove_unheard(user, typed, origin).await;
        match &outcome {
            Ok(Proof::App) => {}
            Ok(Proof::Recovery) => self.note_factor(user, "second_factor.recovery_code_used", true, None, origin).await,
            Err(Error::TooMany { .. }) => {
                self.note_factor(user, "second_factor.limited", false, Some("too many wrong codes"), origin).await
            }
            Err(Error::Unauthenticated { .. }) => self.note_factor(user, "second_factor.refused", false, Some("wrong code"), origin).await,
            Err(_) => {}
        }
        outcome
    }

    async fn prove_unheard(&self, user: UserId, typed: &str, origin: &Origin) -> Result<Proof> {
        let charge = self.inner.limiter.charge_code(&user.to_string(), origin.address)?;
        let typed = normalize(typed);
        let mut tx = self.inner.db.begin().await?;
        let record = tx.second_factor(user).await?;
        let Some(sealed) = record.secret else {
            charge.give_back();
            return Err(NOT_THERE);
        };
        let proved = if totp::looks_like_a_code(&typed) {
            let secret = self.unseal(&sealed, &aad(user))?;
            match totp::fits(&secret, &typed, self.clock().now(), record.step) {
                Some(step) => tx.use_factor_step(user, step).await?.then_some(Proof::App),
                None => None,
            }
        } else {
            let known = typed.len() == RECOVERY_LEN && tx.use_recovery_code(user, &self.recovery_hash(user, &typed)).await?;
            known.then_some(Proof::Recovery)
        };
        let proof = proved.ok_or(WRONG_CODE)?;
        tx.commit().await?;
        charge.give_back();
        Ok(proof)
    }

    /// Writes a line about a user's second factor into its home's trail.
    async fn note_factor(&self, user: UserId, action: &'static str, allowed: bool, detail: Option<&str>, origin: &Origin) {
        let standing = self.inner.directory.user(user).await.ok().flatten();
        self.record(AuditEvent {
            tenant: standing.and_then(|s| s.memberships.first().map(|m| m.tenant)),
            actor: format!("user:{user}"),
            action,
            target: Some(format!("user:{user}")),
            allowed,
            detail: detail.map(str::to_owned),
            address: origin.address,
        });
    }

    /// Offers the signed-in user a secret. Error: Forbidden where there is one.
    pub async fn offer_factor(&self, login: &Login) -> Result<Offer> {
        if self.own_factor(login).await?.enrolled.is_some() {
            return Err(THERE_ALREADY);
        }
        self.offer(login.user).await
    }

    /// The same offer again, after a wrong code.
    pub async fn offer_again(&self, user: UserId, sealed: &str) -> Result<Offer> {
        let secret = self.open_offer(user, sealed)?;
        self.offered(user, &secret, sealed.to_owned()).await
    }

    /// Gives the signed-in user the offered second factor: by its password and the first code. Other browsers are signed out;
    /// this one gets a new cookie. Error: Unauthenticated ([`WRONG_CODE`], [`STALE_OFFER`], the password), `TooMany`.
    pub async fn enrol_factor(
        &self,
        login: &Login,
        sealed: &str,
        password: &SecretString,
        code: &str,
        origin: &Origin,
    ) -> Result<(LoginSession, RecoveryCodes)> {
        self.own_password(login, password, origin).await?;
        let mut tx = self.inner.db.begin().await?;
        let codes = self.confirm(&mut tx, login.user, sealed, code, origin).await?;
        tx.delete_other_logins(login.user, login.id).await?;
        tx.delete_half_logins_of(login.user).await?;
        let session = self.renew_login(&mut tx, login, login::METHODS_BOTH).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        self.note_factor(login.user, "second_factor.enrolled", true, None, origin).await;
        Ok((session, codes))
    }

    /// Takes the signed-in user's second factor away, by its password and a code.
    pub async fn remove_factor(&self, login: &Login, password: &SecretString, code: &str, origin: &Origin) -> Result<()> {
        self.own_password(login, password, origin).await?;
        self.prove(login.user, code, origin).await?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.remove_second_factor(login.user).await? {
            return Err(NOT_THERE);
        }
        tx.commit().await?;
        self.inner.directory.changed();
        self.note_factor(login.user, "second_factor.removed", true, None, origin).await;
        Ok(())
    }

    /// New recovery codes for the signed-in user, by its password and a code; the old ones end.
    pub async fn renew_recovery_codes(&self, login: &Login, password: &SecretString, code: &str, origin: &Origin) -> Result<RecoveryCodes> {
        self.own_password(login, password, origin).await?;
        self.prove(login.user, code, origin).await?;
        let (codes, hashes) = self.new_recovery_codes(login.user);
        let mut tx = self.inner.db.begin().await?;
        tx.set_recovery_codes(login.user, &hashes).await?;
        tx.commit().await?;
        self.note_factor(login.user, "second_factor.recovery_codes_renewed", true, None, origin).await;
        Ok(codes)
    }
}

/// What an app shows of a secret in base32.
#[cfg(test)]
pub(crate) fn test_code(secret: &SecretString, now: Timestamp) -> String {
    let letters = secret.expose_secret().bytes().map(|b| if b.is_ascii_digit() { b - b'2' + 26 } else { b - b'A' });
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for value in letters {
        (held, bits) = ((held << 5 | u32::from(value)) & 0xfff, bits + 5);
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap());
        }
    }
    totp::code(&bytes, totp::step_at(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_are_typed_as_they_come() {
        let code = new_recovery_code();
        assert!(code.len() == 10 && code.bytes().all(|b| RECOVERY_LETTERS.contains(&b)), "{code}");
        let shown = shown(&code);
        assert_eq!(normalize(shown.expose_secret()), code);
        assert_eq!(normalize(&format!(" {} ", shown.expose_secret().to_lowercase())), code);
        assert_eq!(normalize("123 456"), "123456");
        assert!(normalize(&"9".repeat(1_000)).len() <= 20);
    }
}
