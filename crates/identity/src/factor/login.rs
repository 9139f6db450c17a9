//! Signing a browser in, in two steps: the password, then the code of the second factor where there is one or must be one.
//!
//! Between the two the browser holds a cookie of its own, good for ten minutes and for nothing else; its hash is in the store and
//! goes with the second step. A password changed meanwhile ends it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use model::{Error, Result, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use store::{HalfLoginRecord, LoginRecord, Tx};
use uuid::Uuid;

use super::{NOT_THERE, Offer, Proof, RecoveryCodes, THERE_ALREADY};
use crate::oauth::{LOGIN_LIFETIME, Login, LoginSession};
use crate::{AuditEvent, Identity, Origin, secret};

const AGENT_MAX: usize = 200;
/// How long the second step may take.
const HALF_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// A cookie of 32 bytes.
const COOKIE_LEN: usize = 43;
/// `amr` of a password, and of a password with a code (RFC 8176).
pub(crate) const METHODS_PASSWORD: &str = "pwd";
pub(crate) const METHODS_BOTH: &str = "pwd otp";

/// What comes of a password.
#[derive(Debug)]
pub enum LoginStep {
    /// Signed in.
    Done(LoginSession),
    /// Right, but a code is missing.
    Code(HalfLogin),
    /// Right, but a second factor must be set up.
    Enrol(HalfLogin),
}

/// A browser half signed in.
#[derive(Debug)]
pub struct HalfLogin {
    /// What its cookie holds.
    pub cookie: SecretString,
    /// When it ends.
    pub expires: Timestamp,
}

/// Whose half sign-in a cookie is.
#[derive(Clone, Debug)]
pub struct HalfWay {
    /// Who.
    pub user: UserId,
    /// Who, for people.
    pub email: String,
    /// Is there a second factor, or must one be set up?
    pub enrolled: bool,
    /// When the password was typed.
    pub created: Timestamp,
    hash: [u8; 32],
}

impl Identity {
    /// Signs a browser in by password, or half in. `wants_factor`: somebody (an application's `acr_values`) asks for a second
    /// factor of a user who need not have one.
    pub async fn log_in(&self, login: &str, password: &SecretString, wants_factor: bool, origin: &Origin) -> Result<LoginStep> {
        let signed_in = self.prove_password(login, password.expose_secret(), origin).await?;
        let user = signed_in.user.as_ref().ok_or(Error::Unauthenticated { reason: "only users sign in here" })?.id;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        // From the store itself: what another node changed a moment ago counts here.
        let state = self.factor_state(&mut tx, user).await?;
        let done = AuditEvent::done(&signed_in.caller, "sign_in", None).detail("password");
        if state.enrolled.is_none() && !state.demanded && !wants_factor {
            let session = self.open_login(&mut tx, user, METHODS_PASSWORD, origin).await?;
            tx.commit().await?;
            self.record(done);
            return Ok(LoginStep::Done(session));
        }
        let cookie = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        let expires = now.checked_add(HALF_LIFETIME).map_err(Error::internal)?;
        tx.prune_half_logins(now).await?;
        tx.insert_half_login(&secret::sha256(cookie.as_bytes()), &HalfLoginRecord { user, created: now, expires }).await?;
        tx.commit().await?;
        self.record(AuditEvent { action: "sign_in.half", ..done });
        let half = HalfLogin { cookie: SecretString::from(cookie), expires };
        Ok(if state.enrolled.is_some() { LoginStep::Code(half) } else { LoginStep::Enrol(half) })
    }

    /// Who is half signed in with this cookie, while that lasts.
    pub async fn half_way(&self, cookie: &str) -> Result<Option<HalfWay>> {
        self.half_way_in(&mut self.inner.db.read().await?, cookie).await
    }

    async fn half_way_in(&self, tx: &mut Tx, cookie: &str) -> Result<Option<HalfWay>> {
        if cookie.len() != COOKIE_LEN {
            return Ok(None);
        }
        let hash = secret::sha256(cookie.as_bytes());
        let Some(record) = tx.half_login(&hash).await?.filter(|h| h.expires > self.clock().now()) else { return Ok(None) };
        let Some(known) = tx.user(record.user).await? else { return Ok(None) };
        if known.user.disabled || record.created < known.tokens_from {
            return Ok(None);
        }
        let enrolled = tx.second_factor(record.user).await?.secret.is_some();
        Ok(Some(HalfWay { user: record.user, email: known.user.email, enrolled, created: record.created, hash }))
    }

    /// Signs a browser in that is half signed in, by a code of the app or a recovery code.
    pub async fn finish_login(&self, cookie: &str, code: &str, origin: &Origin) -> Result<LoginSession> {
        let half = self.half_way(cookie).await?.ok_or(super::STALE_OFFER)?;
        if !half.enrolled {
            return Err(NOT_THERE);
        }
        let proof = self.prove(half.user, code, origin).await?;
        let mut tx = self.inner.db.begin().await?;
        // Whoever deletes the row signs in; a second request finds none.
        if !tx.delete_half_login(&half.hash).await? {
            return Err(super::STALE_OFFER);
        }
        let session = self.open_login(&mut tx, half.user, METHODS_BOTH, origin).await?;
        tx.commit().await?;
        let how = if proof == Proof::App { "password and code" } else { "password and recovery code" };
        self.note_factor(half.user, "sign_in", true, Some(how), origin).await;
        Ok(session)
    }

    /// Offers a secret to who must set up a second factor before going on.
    pub async fn offer_half_way(&self, half: &HalfWay) -> Result<Offer> {
        if half.enrolled {
            return Err(THERE_ALREADY);
        }
        self.offer(half.user).await
    }

    /// Sets the offered second factor up by its first code, and signs the browser in. Other browsers of the user are signed out.
    pub async fn finish_enrolment(&self, cookie: &str, sealed: &str, code: &str, origin: &Origin) -> Result<(LoginSession, RecoveryCodes)> {
        let mut tx = self.inner.db.begin().await?;
        let half = self.half_way_in(&mut tx, cookie).await?.ok_or(super::STALE_OFFER)?;
        let codes = match self.confirm(&mut tx, half.user, sealed, code, origin).await {
            Ok(codes) => codes,
            Err(refused) => {
                drop(tx);
                if matches!(refused, Error::Unauthenticated { .. }) {
                    self.note_factor(half.user, "second_factor.refused", false, Some("wrong first code"), origin).await;
                }
                return Err(refused);
            }
        };
        if !tx.delete_half_login(&half.hash).await? {
            return Err(super::STALE_OFFER);
        }
        tx.delete_half_logins_of(half.user).await?;
        let session = self.open_login(&mut tx, half.user, METHODS_BOTH, origin).await?;
        tx.delete_other_logins(half.user, session.login.id).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        self.note_factor(half.user, "second_factor.enrolled", true, None, origin).await;
        self.note_factor(half.user, "sign_in", true, Some("password and code"), origin).await;
        Ok((session, codes))
    }

    /// A browser session begins now.
    async fn open_login(&self, tx: &mut Tx, user: UserId, methods: &str, origin: &Origin) -> Result<LoginSession> {
        let now = self.clock().now();
        let cookie = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        let record = LoginRecord {
            id: Uuid::new_v4(),
            user,
            auth_time: now,
            expires: now + LOGIN_LIFETIME,
            agent: origin.label.as_deref().unwrap_or("unknown").chars().filter(|c| !c.is_control()).take(AGENT_MAX).collect(),
            address: origin.address.map(|a| a.to_string()),
            methods: methods.to_owned(),
        };
        tx.insert_login_session(&secret::sha256(cookie.as_bytes()), &record).await?;
        let login = Login { id: record.id, user, auth_time: now, methods: record.methods };
        Ok(LoginSession { cookie: SecretString::from(cookie), login, expires: record.expires })
    }

    /// A browser session goes on with another cookie, its user having just proved itself by these methods.
    pub(super) async fn renew_login(&self, tx: &mut Tx, login: &Login, methods: &str) -> Result<LoginSession> {
        let now = self.clock().now();
        let cookie = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        if !tx.renew_login_session(login.user, login.id, &secret::sha256(cookie.as_bytes()), now, methods).await? {
            return Err(Error::Unauthenticated { reason: "this browser was signed out" });
        }
        let record = tx.login_session(&secret::sha256(cookie.as_bytes())).await?.ok_or(Error::not_found("session"))?;
        let login = Login { auth_time: now, methods: methods.to_owned(), ..login.clone() };
        Ok(LoginSession { cookie: SecretString::from(cookie), login, expires: record.expires })
    }

    /// The signed-in user's password, checked and limited like any sign-in.
    pub(super) async fn own_password(&self, login: &Login, password: &SecretString, origin: &Origin) -> Result<()> {
        let standing = self.inner.directory.user(login.user).await?.ok_or(Error::not_found("user"))?;
        self.prove_password(&standing.record.user.email, password.expose_secret(), origin).await.map(|_| ())
    }

    /// Changes the signed-in user's password by the old one. Everything granted before ends; this browser stays, with a new cookie.
    pub async fn change_own_password(
        &self,
        login: &Login,
        old: &SecretString,
        new: &SecretString,
        origin: &Origin,
    ) -> Result<LoginSession> {
        crate::check_strength(new.expose_secret())?;
        self.own_password(login, old, origin).await?;
        let hash = self.hash_new(Some(new)).await?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.set_user_password(login.user, hash.as_deref(), self.clock().now()).await? {
            return Err(Error::not_found("user"));
        }
        tx.delete_other_logins(login.user, login.id).await?;
        tx.delete_half_logins_of(login.user).await?;
        let session = self.renew_login(&mut tx, login, &login.methods).await?;
        tx.commit().await?;
        self.inner.announce(crate::Change::UserChanged(login.user));
        self.note_factor(login.user, "user.password_set", true, Some("by the old one"), origin).await;
        Ok(session)
    }
}
