//! People who register themselves and prove their address by a secret that is mailed to them; and what they say of themselves.
//!
//! The password chosen at registration waits until the address is proved: before that, nobody can sign in as this user
//! anywhere, so whoever types somebody else's address gains nothing. What is mailed is good for an hour and for one use; the
//! store keeps its hash. Mails to one address are counted, whether or not anybody has it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{Caller, Error, Result, User, UserId, normalize_email};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use store::{InteractionRecord, Tx, UserAttributes};

use crate::password::Passwords;
use crate::{AuditEvent, Change, Identity, NewUser, Origin, check_attributes, secret};

const ACTIVATE: &str = "activate";
const RESET: &str = "reset";
const VALID: SignedDuration = SignedDuration::from_mins(60);
/// How long a registration keeps its address for itself.
const WAITS: SignedDuration = SignedDuration::from_hours(7 * 24);
const LETTERS: usize = 16;
const MAILS_AN_HOUR: u64 = 20;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Bits a password must have, counted by its length and the kinds of its characters.
const PASSWORD_BITS: f64 = 40.0;

/// A mailed secret that is wrong, used or too old.
pub const WRONG_SECRET: Error = Error::Unauthenticated { reason: "the token from the mail is wrong, used already or too old" };

/// What goes out by mail, and nowhere else.
#[derive(Debug)]
pub struct MailedSecret {
    /// To whom.
    pub email: String,
    /// Sixteen letters and digits.
    pub secret: SecretString,
    /// When it ends.
    pub expires: Timestamp,
}

/// What a user says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Anything, by name.
    pub attributes: Map<String, Value>,
    /// Terms and conditions accepted?
    pub terms: bool,
}

/// Is a password hard enough to guess for a service that is open to everybody?
pub fn check_strength(password: &str) -> Result<()> {
    Passwords::check_new(password)?;
    type Kind = fn(char) -> bool;
    let kinds: [(Kind, u32); 5] = [
        (|c| c.is_ascii_lowercase(), 26),
        (|c| c.is_ascii_uppercase(), 26),
        (|c| c.is_ascii_digit(), 10),
        (|c| c.is_ascii() && !c.is_ascii_alphanumeric(), 33),
        (|c| !c.is_ascii(), 100),
    ];
    let alphabet: u32 = kinds.iter().filter(|(kind, _)| password.chars().any(kind)).map(|(_, size)| size).sum();
    let length = u32::try_from(password.chars().count()).unwrap_or(u32::MAX);
    if f64::from(length) * f64::from(alphabet.max(1)).log2() < PASSWORD_BITS {
        return Err(Error::invalid("password", "is too easy to guess; make it longer or mix letters, digits and signs"));
    }
    Ok(())
}

impl Identity {
    /// Makes a user whose password waits for the secret in the mail. Error: Conflict(email), Invalid(email, password, attributes).
    pub async fn register_person(
        &self,
        email: &str,
        password: &SecretString,
        profile: Profile,
        origin: &Origin,
    ) -> Result<(User, MailedSecret)> {
        check_strength(password.expose_secret())?;
        check_attributes(&profile.attributes)?;
        let user = self.new_user(&NewUser { email: email.to_owned(), ..NewUser::default() })?;
        self.inner.limiter.admit(origin.address)?;
        // Each registration costs its address something: mail to strangers must not be had for nothing.
        self.inner.limiter.fail_address(origin.address);
        let until = self.clock().now().checked_add(WAITS).map_err(Error::internal)?;
        let waiting = self.hash_new(Some(password)).await?.map(|hash| (hash, until));
        let mut tx = self.inner.db.begin().await?;
        self.insert_user(&mut tx, &user, None).await?;
        let kept = UserAttributes { attributes: profile.attributes, terms: profile.terms, waiting };
        tx.set_user_attributes(user.id, &kept).await?;
        self.count_mail(&mut tx, &user.email).await?;
        let mailed = self.new_secret(&mut tx, &user, ACTIVATE).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        self.record(AuditEvent::done(&Self::person_caller(user.id, origin), "registration.requested", format!("user:{}", user.id)));
        Ok((user, mailed))
    }

    /// A new secret to prove an address with; none where it is proved already. Error: NotFound(user).
    pub async fn request_activation(&self, email: &str, origin: &Origin) -> Result<Option<MailedSecret>> {
        self.inner.limiter.admit(origin.address)?;
        self.inner.limiter.fail_address(origin.address);
        let user = self.mail_to(email, ACTIVATE, |user| !user.verified).await?;
        user.ok_or(Error::not_found("user"))
    }

    /// A secret to set a new password with; none where nobody has the address, which the answer must not tell.
    pub async fn forgot_password(&self, email: &str, origin: &Origin) -> Result<Option<MailedSecret>> {
        self.inner.limiter.admit(origin.address)?;
        self.inner.limiter.fail_address(origin.address);
        Ok(self.mail_to(email, RESET, |user| !user.disabled).await?.flatten())
    }

    /// The outer option: is there such a user? The inner one: does it get a mail?
    async fn mail_to(&self, email: &str, purpose: &'static str, wanted: impl Fn(&User) -> bool) -> Result<Option<Option<MailedSecret>>> {
        let email = normalize_email(email)?;
        let mut tx = self.inner.db.begin().await?;
        if let Err(refused) = self.count_mail(&mut tx, &email).await {
            tx.commit().await?;
            return Err(refused);
        }
        let mailed = match tx.user_by_email(&email).await? {
            None => None,
            Some(record) if wanted(&record.user) => Some(Some(self.new_secret(&mut tx, &record.user, purpose).await?)),
            Some(_) => Some(None),
        };
        tx.commit().await?;
        Ok(mailed)
    }

    /// Counts a mail to an address against what it may get in an hour; for mails that somebody else causes.
    pub async fn may_mail(&self, email: &str) -> Result<()> {
        let email = normalize_email(email)?;
        let mut tx = self.inner.db.begin().await?;
        let outcome = self.count_mail(&mut tx, &email).await;
        tx.commit().await?;
        outcome
    }

    async fn count_mail(&self, tx: &mut Tx, email: &str) -> Result<()> {
        let now = self.clock().now();
        let (since, sent) = tx.count_mail(email, now, now.checked_sub(HOUR).unwrap_or(now)).await?;
        if sent > MAILS_AN_HOUR {
            let wait = Duration::try_from(HOUR - now.duration_since(since)).unwrap_or_default();
            return Err(Error::TooMany { retry_after: wait });
        }
        Ok(())
    }

    async fn new_secret(&self, tx: &mut Tx, user: &User, purpose: &'static str) -> Result<MailedSecret> {
        let secret = secret::random_letters(LETTERS);
        let expires = self.clock().now().checked_add(VALID).map_err(Error::internal)?;
        let record = InteractionRecord { user: user.id, email: user.email.clone(), expires };
        tx.insert_interaction(&secret::hash_secret(secret.expose_secret()), purpose, &record).await?;
        Ok(MailedSecret { email: record.email, secret, expires })
    }

    /// Proves an address by the secret mailed to it; the password chosen at registration is in force from now on.
    pub async fn activate_person(&self, text: &str, origin: &Origin) -> Result<()> {
        let (mut tx, record) = self.redeem_secret(text, ACTIVATE, origin).await?;
        let mut user = tx.user(record.user).await?.ok_or(WRONG_SECRET)?.user;
        user.verified = true;
        user.updated = self.clock().now();
        tx.update_user(&user).await?;
        if let Some(mut kept) = tx.user_attributes(user.id).await?
            && let Some((waiting, _)) = kept.waiting.take()
        {
            tx.set_user_password(user.id, Some(&waiting), self.clock().now()).await?;
            tx.set_user_attributes(user.id, &kept).await?;
        }
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(user.id));
        self.record(AuditEvent::done(&Self::person_caller(user.id, origin), "registration.verified", format!("user:{}", user.id)));
        Ok(())
    }

    /// Whose mailed secret this is (address), and until when; it stays good.
    pub async fn reset_secret(&self, text: &str, origin: &Origin) -> Result<(String, Timestamp)> {
        let record = self.look(text, RESET, origin).await?;
        Ok((record.email, record.expires))
    }

    /// Sets a new password by a mailed secret. The address counts as proved: the secret was read there.
    pub async fn reset_password(&self, text: &str, password: &SecretString, origin: &Origin) -> Result<()> {
        check_strength(password.expose_secret())?;
        // Looked at before the costly hash, redeemed after it.
        self.look(text, RESET, origin).await?;
        let hash = self.hash_new(Some(password)).await?;
        let (mut tx, record) = self.redeem_secret(text, RESET, origin).await?;
        let mut user = tx.user(record.user).await?.ok_or(WRONG_SECRET)?.user;
        user.verified = true;
        tx.update_user(&user).await?;
        tx.set_user_password(user.id, hash.as_deref(), self.clock().now()).await?;
        if let Some(mut kept) = tx.user_attributes(user.id).await? {
            kept.waiting = None;
            tx.set_user_attributes(user.id, &kept).await?;
        }
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(user.id));
        self.record(
            AuditEvent::done(&Self::person_caller(user.id, origin), "user.password_set", format!("user:{}", user.id)).detail("by mail"),
        );
        Ok(())
    }

    /// Changes a password by the old one, which is checked and limited like any sign-in.
    pub async fn change_password_of(&self, login: &str, old: &SecretString, new: &SecretString, origin: &Origin) -> Result<UserId> {
        let user = self.sign_in_person(login, old.expose_secret(), origin).await?;
        check_strength(new.expose_secret())?;
        self.store_password(user.id, new).await?;
        self.record(AuditEvent::done(&Self::person_caller(user.id, origin), "user.password_set", format!("user:{}", user.id)));
        Ok(user.id)
    }

    async fn look(&self, text: &str, purpose: &str, origin: &Origin) -> Result<InteractionRecord> {
        self.inner.limiter.admit(origin.address)?;
        let mut tx = self.inner.db.read().await?;
        match self.good(&mut tx, text, purpose).await? {
            Some(record) => Ok(record),
            None => {
                self.inner.limiter.fail_address(origin.address);
                Err(WRONG_SECRET)
            }
        }
    }

    async fn redeem_secret(&self, text: &str, purpose: &str, origin: &Origin) -> Result<(Tx, InteractionRecord)> {
        self.inner.limiter.admit(origin.address)?;
        let mut tx = self.inner.db.begin().await?;
        match self.good(&mut tx, text, purpose).await? {
            // Whoever deletes the row redeems the secret; a second one finds none.
            Some(record) if tx.delete_interaction(&secret::hash_secret(text)).await? => {
                tx.delete_interactions_of(record.user, purpose).await?;
                Ok((tx, record))
            }
            _ => {
                self.inner.limiter.fail_address(origin.address);
                Err(WRONG_SECRET)
            }
        }
    }

    /// Looked up by its hash, which tells a guesser nothing; good while it lasts and its user has the address it went to.
    async fn good(&self, tx: &mut Tx, text: &str, purpose: &str) -> Result<Option<InteractionRecord>> {
        if text.len() != LETTERS {
            return Ok(None);
        }
        let Some(record) = tx.interaction(&secret::hash_secret(text), purpose).await? else { return Ok(None) };
        let user = tx.user(record.user).await?;
        let good = record.expires > self.clock().now() && user.is_some_and(|u| u.user.email == record.email && !u.user.disabled);
        Ok(good.then_some(record))
    }

    /// What a user says of itself: oneself, or a member of the caller's tenant for who may see users. Who was made by an
    /// administrator has accepted the terms through them.
    pub async fn profile(&self, caller: &Caller, user: UserId) -> Result<Profile> {
        self.user(caller, user).await?;
        let kept = self.inner.db.read().await?.user_attributes(user).await?;
        Ok(kept.map_or(Profile { attributes: Map::new(), terms: true }, |k| Profile { attributes: k.attributes, terms: k.terms }))
    }

    /// Changes what the calling user says of itself; attributes as a whole, terms only to accepted.
    pub async fn update_profile(&self, caller: &Caller, attributes: Option<Map<String, Value>>, accept_terms: bool) -> Result<()> {
        let id = caller.user().ok_or(Error::not_found("user"))?;
        attributes.as_ref().map_or(Ok(()), check_attributes)?;
        let mut tx = self.inner.db.begin().await?;
        let mut user = tx.user(id).await?.ok_or(Error::not_found("user"))?.user;
        let kept = tx.user_attributes(id).await?;
        let mut kept = kept.unwrap_or(UserAttributes { terms: true, ..UserAttributes::default() });
        kept.attributes = attributes.unwrap_or(kept.attributes);
        kept.terms |= accept_terms;
        tx.set_user_attributes(id, &kept).await?;
        user.updated = self.clock().now();
        tx.update_user(&user).await?;
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(id));
        self.record(AuditEvent::done(caller, "user.updated", format!("user:{id}")));
        Ok(())
    }

    /// Forgets mailed secrets, refresh tokens and counts that are over, and users who never proved their address.
    pub(crate) async fn prune_people(&self, now: Timestamp) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        tx.prune_unproved(now).await?;
        tx.prune_user_secrets(now, now.checked_sub(HOUR).unwrap_or(now)).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_is_length_times_kinds() {
        for good in ["Passw0rd", "Receiver12345", "correct horse battery staple", "пароль-пароль"] {
            assert!(check_strength(good).is_ok(), "{good}");
        }
        for bad in ["", "short", "12345678", "abcdefgh", "Pas0rd!"] {
            assert!(check_strength(bad).is_err(), "{bad}");
        }
    }
}
