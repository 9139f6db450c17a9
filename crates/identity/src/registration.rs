//! Registration by e-mail: a six-digit code proves the address, then tenant, user and membership are made at once.
//!
//! A code is worth 5 tries and 15 minutes; a new one is made after a minute at the earliest and five times a day at the
//! most, so that guessing stays hopeless. The answer is the same for an address that has an account; only the mail differs.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use jiff::SignedDuration;
use model::{Error, Membership, Result, Role, User, UserId, normalize_email};
use secrecy::{ExposeSecret as _, SecretString};
use store::{RegistrationRecord, Tx};

use crate::password::Passwords;
use crate::{AuditEvent, Identity, NewTenant, NewUser, Origin, Pending, SignedIn, secret};

/// The span codes are counted over.
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);
const VALID: SignedDuration = SignedDuration::from_mins(15);
const RESEND_AFTER: SignedDuration = SignedDuration::from_secs(60);
const SENDS_A_DAY: u64 = 5;
const TRIES: u32 = 5;

const WRONG_CODE: Error = Error::Unauthenticated { reason: "the code is wrong or no longer valid" };

impl Identity {
    /// Begins a registration: the code goes to the address by mail, and nowhere else.
    pub async fn register(&self, email: &str, password: &SecretString, origin: &Origin) -> Result<Pending> {
        let email = normalize_email(email)?;
        Passwords::check_new(password.expose_secret())?;
        self.inner.limiter.admit(origin.address)?;
        let now = self.clock().now();
        let known = self.inner.db.read().await?.registration(&email).await?;
        let today = known.filter(|r| now.duration_since(r.started) < DAY);
        if let Some(r) = &today {
            let wait = if r.sends >= SENDS_A_DAY { DAY - now.duration_since(r.started) } else { RESEND_AFTER - now.duration_since(r.sent) };
            if wait > SignedDuration::ZERO {
                return Err(Error::TooMany { retry_after: Duration::try_from(wait).unwrap_or_default() });
            }
        }
        // Each registration costs its address something: mail to strangers must not be had for nothing.
        self.inner.limiter.fail_address(origin.address);
        let password = self.inner.passwords.hash(password.expose_secret()).await?;
        let code = secret::random_code();
        let expires = now.checked_add(VALID).map_err(Error::internal)?;
        let record = RegistrationRecord {
            code_hash: self.code_hash(&email, &code),
            password,
            tries: 0,
            sent: now,
            started: today.as_ref().map_or(now, |r| r.started),
            sends: today.as_ref().map_or(1, |r| r.sends + 1),
            expires,
            email,
        };
        let mut tx = self.inner.db.begin().await?;
        let taken = tx.user_by_email(&record.email).await?.is_some();
        tx.set_registration(&record).await?;
        tx.commit().await?;
        self.note(&record.email, "registration.requested", true, origin.address);
        Ok(Pending { email: record.email, code: (!taken).then(|| SecretString::from(code)), expires })
    }

    /// Ends a registration: makes the tenant (named after the address), the user and its owner membership, and signs in.
    pub async fn verify_registration(&self, email: &str, code: &str, origin: &Origin) -> Result<SignedIn> {
        self.inner.limiter.admit(origin.address)?;
        // Whatever is wrong with the address is wrong with the code.
        let Ok(email) = normalize_email(email) else { return Err(WRONG_CODE) };
        match self.redeem(&email, code.trim()).await {
            Ok(user) => {
                self.inner.directory.changed();
                let signed_in = self.signed_in(user.id, origin).await?;
                self.record(AuditEvent::done(&signed_in.caller, "registration.verified", format!("user:{}", user.id)));
                Ok(signed_in)
            }
            Err(error) => {
                if matches!(error, Error::Unauthenticated { .. }) {
                    self.inner.limiter.fail_address(origin.address);
                    self.note(&email, "registration.refused", false, origin.address);
                }
                Err(error)
            }
        }
    }

    async fn redeem(&self, email: &str, code: &str) -> Result<User> {
        // The try counts before the code is looked at, in a transaction of its own: no crash and no parallel try gives one back.
        let mut tx = self.inner.db.begin().await?;
        let counted = tx.try_registration(email, TRIES).await?;
        let record = tx.registration(email).await?;
        tx.commit().await?;
        let good = |r: &RegistrationRecord| {
            counted && self.clock().now() < r.expires && secret::same_hash(&r.code_hash, &self.code_hash(email, code))
        };
        let record = record.filter(good).ok_or(WRONG_CODE)?;
        let mut tx = self.inner.db.begin().await?;
        // Whoever deletes the row redeems the code; a second one finds none.
        if !tx.delete_registration(email).await? || tx.user_by_email(email).await?.is_some() {
            return Err(WRONG_CODE);
        }
        let user = self.new_user(&NewUser { email: email.to_owned(), verified: true, ..NewUser::default() })?;
        self.insert_user(&mut tx, &user, Some(&record.password)).await?;
        let name = free_name(&mut tx, email, user.id).await?;
        let plan = Some(self.inner.options.registration_plan);
        let tenant = self.insert_tenant(&mut tx, NewTenant { name, plan, ..NewTenant::default() }).await?;
        let membership = Membership { tenant: tenant.id, user: user.id, role: Role::Owner, created: self.clock().now() };
        tx.set_membership(&membership).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// A million codes are soon tried against a plain hash; this one needs the master key.
    fn code_hash(&self, email: &str, code: &str) -> Vec<u8> {
        let mut mac = hmac::Context::with_key(&self.inner.codes);
        mac.update(email.as_bytes());
        mac.update(b"\0");
        mac.update(code.as_bytes());
        mac.sign().as_ref().to_vec()
    }

    fn note(&self, email: &str, action: &'static str, allowed: bool, address: Option<IpAddr>) {
        let actor = format!("login:{email}");
        self.record(AuditEvent { tenant: None, actor, action, target: None, allowed, detail: None, address });
    }
}

/// A tenant name after the address; with a bit of the user's id where another tenant was quicker.
async fn free_name(tx: &mut Tx, email: &str, user: UserId) -> Result<String> {
    let name: String = email.chars().take(110).collect();
    if tx.tenant_named(&name).await?.is_none() {
        return Ok(name);
    }
    let id = user.uuid().simple().to_string();
    Ok(format!("{name} {}", id.get(20..).unwrap_or(&id)))
}
