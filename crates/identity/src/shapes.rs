//! Shapes of administration: what is made, what is changed, what comes out of the PKI.

use std::fmt;

use jiff::Timestamp;
use model::{ApiKey, AuthMethod, CertificateFingerprint, Grant, Membership, PlanName, Role, Tenant, TenantId, User, UserId};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// A tenant to be.
#[derive(Clone, Debug, Default)]
pub struct NewTenant {
    /// Its id; made when absent.
    pub id: Option<TenantId>,
    /// Its name, unique on this gateway.
    pub name: String,
    /// Flash Payments affiliation.
    pub affiliation: Option<String>,
    /// Its plan; AMBER when absent.
    pub plan: Option<PlanName>,
}

/// What to change; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    /// A new name.
    pub name: Option<String>,
    /// A new affiliation, or none.
    pub affiliation: Option<Option<String>>,
    /// A new plan; operators only.
    pub plan: Option<PlanName>,
}

/// A user to be.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Its id; made when absent.
    pub id: Option<UserId>,
    /// Address, unique on this gateway.
    pub email: String,
    /// A second name to sign in by.
    pub username: Option<String>,
    /// Without one the user cannot sign in by password.
    pub password: Option<SecretString>,
    /// First name.
    pub given_name: Option<String>,
    /// Last name.
    pub family_name: Option<String>,
    /// Is the address proved?
    pub verified: bool,
    /// Runs the gateway; operators only.
    pub operator: bool,
    /// Where the user belongs; absent: the caller's tenant as `user` (an operator makes one that belongs nowhere).
    pub membership: Option<(TenantId, Role)>,
}

/// What to change; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// A new address; it counts as unproved unless `verified` says otherwise.
    pub email: Option<String>,
    /// A new user name, or none.
    pub username: Option<Option<String>>,
    /// A new first name, or none.
    pub given_name: Option<Option<String>>,
    /// A new last name, or none.
    pub family_name: Option<Option<String>>,
    /// Is the address proved? Not for oneself to say.
    pub verified: Option<bool>,
    /// Locked out? Not for oneself to say.
    pub disabled: Option<bool>,
    /// Runs the gateway? Operators only.
    pub operator: Option<bool>,
}

/// A member of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub user: User,
    /// As what, since when.
    pub membership: Membership,
}

/// A tenant one is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberOf {
    /// The tenant.
    pub tenant: Tenant,
    /// As what, since when.
    pub membership: Membership,
}

/// A client to be.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    /// Its client id; made when absent.
    pub id: Option<String>,
    /// For people; the id when absent.
    pub name: Option<String>,
    /// Without a secret.
    pub public: bool,
    /// Its secret; made when absent. A chosen one has 16 characters at least, unless it is provisioned.
    pub secret: Option<SecretString>,
    /// The grants it may use.
    pub grants: Vec<Grant>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for. Scopes that are permissions (`thing:read`) bound what the client may do itself.
    pub scopes: Vec<String>,
    /// How it proves itself; absent: by its secret, or not at all when public.
    pub auth_method: Option<AuthMethod>,
    /// Its public keys, a JWK set (RFC 7517), for `private_key_jwt`.
    pub jwks: Option<serde_json::Value>,
    /// Its certificates, PEM or fingerprint (64 hex digits), for `self_signed_tls_client_auth`; those in `jwks` (`x5c`) count too.
    pub certificates: Vec<String>,
    /// Bind its access tokens to the certificate of the handshake (RFC 8705 3)?
    pub certificate_bound_tokens: bool,
    /// Refuse it tokens without DPoP (RFC 9449 5.2)?
    pub dpop_bound_tokens: bool,
    /// Refuse authorization requests it did not push (RFC 9126 6)?
    pub require_pushed_requests: bool,
    /// The resources it may ask tokens for, beside the gateway (RFC 8707): absolute URIs.
    pub resources: Vec<String>,
    /// Good in every tenant of its user, with all that the user may there; operators only.
    pub everywhere: bool,
}

/// An API key to be.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The user it stands for.
    pub user: UserId,
    /// What it is used for.
    pub label: String,
    /// The key; made when absent. A chosen one has 16 characters at least.
    pub key: Option<SecretString>,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// An API key as it is told once.
pub type NewKey = (ApiKey, SecretString);

/// The kind of key pair made for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, 2,048 bits; what FlashLex devices expect.
    Rsa2048,
    /// ECDSA on P-256.
    EcdsaP256,
}

/// A certificate made here, with its keys.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// SHA-256 of the DER form.
    pub fingerprint: CertificateFingerprint,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// RSA: PKCS#1 (`BEGIN RSA PRIVATE KEY`); ECDSA: PKCS#8 (`BEGIN PRIVATE KEY`).
    pub private_key_pem: Zeroizing<String>,
    /// SPKI (`BEGIN PUBLIC KEY`).
    pub public_key_pem: String,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// What is read off a certificate someone brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the DER form.
    pub fingerprint: CertificateFingerprint,
    /// The certificate alone, PEM, as we write it.
    pub certificate_pem: String,
    /// Its public key, SPKI PEM.
    pub public_key_pem: String,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// Did our own CA sign it?
    pub issued_here: bool,
    /// For people; devices are never recognised by it.
    pub subject: String,
}

/// The server's certificate and key.
#[derive(Clone)]
pub struct TlsMaterial {
    /// The certificate and our CA's, PEM.
    pub chain_pem: String,
    /// The private key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
    /// The names it is for, sorted.
    pub names: Vec<String>,
    /// When it ends; asking again within the last 60 days gives a new one.
    pub not_after: Timestamp,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("names", &self.names).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}
