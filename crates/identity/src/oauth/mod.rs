//! The OpenID provider, without HTTP: one engine, several faces.
//!
//! A [`Realm`] is a face: its issuer, its algorithm, how long its tokens live. `authorize` judges an authorization
//! request and says what is missing (sign in, consent) or where to send the browser; `token` redeems codes and refresh
//! tokens and serves clients on their own behalf; `userinfo`, `introspect`, `revoke` and `end_session` do what their RFCs
//! say. Refresh tokens rotate; one that is used twice ends its whole family, except within a short grace for a reply
//! lost on the way. Client credentials write nothing to disk.

mod authorize;
mod binding;
mod claims;
mod client_auth;
mod device;
mod error;
mod exchange;
mod jws;
mod login;
mod params;
mod pushed;
mod redirect;
mod register;
mod resources;
mod shape;
mod token;

use std::time::Duration;

pub use authorize::{Authorization, AuthorizeError, AuthorizeRequest, ConsentAsked, Decision};
pub(crate) use binding::{Cnf, Proofs};
pub use binding::{Dpop, Shown};
pub use claims::{Introspection, UserInfo};
pub use client_auth::ClientAuth;
pub use device::{DeviceAsked, DeviceAuthorization};
pub use error::{OAuthError, OAuthErrorCode};
pub use jws::ASYMMETRIC;
pub(crate) use jws::{PublicKey, leaves};
pub use login::{Login, LoginSession, OpenSession};
pub use params::Params;
pub use pushed::Pushed;
pub use redirect::{Redirect, ResponseMode};
pub use register::{InitialToken, NewInitialToken, Registered};
pub use token::{TokenRequest, TokenResponse};

use crate::TokenProfile;

/// A face of the provider.
#[derive(Clone, Copy, Debug)]
pub struct Realm {
    /// Issuer, algorithm, lifetime and fixed claims of its access tokens; its name is the realm's.
    pub profile: TokenProfile,
    /// How long a refresh token waits for its use.
    pub refresh_lifetime: Duration,
    /// In Keycloak's manner: `aud` is the client, `typ: Bearer`, `session_state`, a user's token may do all its user may.
    /// Else (RFC 9068): a user's token may do what its scope names.
    pub keycloak: bool,
    /// The path of its token endpoint, which client assertions may name as their audience (RFC 7523 3).
    pub token_path: &'static str,
}

impl Realm {
    /// The realm's name; tokens of one realm are refused in another.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.profile.name
    }

    /// `iss` of everything it signs.
    #[must_use]
    pub fn issuer(&self, public_url: &str) -> String {
        (self.profile.issuer)(public_url)
    }
}

/// How long a code waits to be redeemed (RFC 6749 4.1.2: at most ten minutes).
pub(crate) const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// How long a refresh token that was just exchanged may be exchanged again: the reply may have been lost on the way.
pub(crate) const REFRESH_GRACE: Duration = Duration::from_secs(30);
/// How long a browser stays signed in.
pub(crate) const LOGIN_LIFETIME: Duration = Duration::from_hours(10);
/// How long an id token is valid.
pub(crate) const ID_TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// `acr`: a password; a password and a second factor.
pub const ACR_VALUES: [&str; 2] = [ACR_PASSWORD, ACR_FACTOR];
/// `acr` of a password alone.
pub const ACR_PASSWORD: &str = "1";
/// `acr` of a password and a second factor.
pub const ACR_FACTOR: &str = "2";

/// The `acr` of RFC 8176 methods.
pub(crate) fn acr(methods: &str) -> &'static str {
    if login::has_factor(methods) { ACR_FACTOR } else { ACR_PASSWORD }
}

/// The scopes every client may be given when it has them registered.
pub const SCOPES: &[&str] = &["openid", "email", "profile", "offline_access"];
