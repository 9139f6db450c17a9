use model::*;
use secrecy::SecretString;
use crate::*;

fn later<T>() -> Result<T> { Err(Error::unavailable("not yet")) }

impl Identity {
    /// Checks.
    pub async fn sign_in(&self, credential: Credential<'_>, tenant: TenantChoice<'_>, origin: &Origin) -> Result<SignedIn> { let _ = (credential, tenant, origin); later() }
    /// Issues.
    pub async fn issue(&self, signed_in: &SignedIn, profile: &TokenProfile, label: Option<&str>) -> Result<IssuedToken> { let _ = (signed_in, profile, label); later() }
    /// Verifies.
    pub async fn verify(&self, token: &str, profile: &TokenProfile) -> Result<Caller> { let _ = (token, profile); later() }
    /// Verifies a thing's token.
    pub async fn verify_thing_token(&self, handle: &str, token: &str) -> Result<Caller> { let _ = (handle, token); later() }
    /// Revokes.
    pub async fn revoke_token(&self, caller: &Caller, token: TokenRef<'_>) -> Result<()> { let _ = (caller, token); later() }
    /// Tells identity that a thing is gone, so that tokens it holds end at once.
    pub fn thing_removed(&self, thing: ThingId) { let _ = thing; }
    /// JWKS.
    pub fn jwks(&self) -> serde_json::Value { serde_json::Value::Null }
    /// SPKI.
    pub fn realm_public_key(&self) -> String { String::new() }
    /// Keys.
    pub async fn signing_keys(&self, caller: &Caller) -> Result<Vec<SigningKeyInfo>> { let _ = caller; later() }
    /// Rotation.
    pub async fn rotate_signing_key(&self, caller: &Caller, algorithm: Algorithm) -> Result<SigningKeyInfo> { let _ = (caller, algorithm); later() }
    /// Verb.
    pub async fn create_tenant(&self, caller: &Caller, new: NewTenant) -> Result<Tenant> { let _ = (caller, new); later() }
    /// Verb.
    pub async fn tenant(&self, caller: &Caller, id: TenantId) -> Result<Tenant> { let _ = (caller, id); later() }
    /// Verb.
    pub async fn tenants(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Tenant>> { let _ = (caller, page); later() }
    /// Verb.
    pub async fn update_tenant(&self, caller: &Caller, id: TenantId, change: TenantChange) -> Result<Tenant> { let _ = (caller, id, change); later() }
    /// Verb.
    pub async fn delete_tenant(&self, caller: &Caller, id: TenantId) -> Result<()> { let _ = (caller, id); later() }
    /// Verb.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<User> { let _ = (caller, new); later() }
    /// Verb.
    pub async fn user(&self, caller: &Caller, id: UserId) -> Result<User> { let _ = (caller, id); later() }
    /// By e-mail or user name.
    pub async fn user_named(&self, caller: &Caller, login: &str) -> Result<User> { let _ = (caller, login); later() }
    /// Verb.
    pub async fn users(&self, caller: &Caller, page: &PageRequest) -> Result<Page<User>> { let _ = (caller, page); later() }
    /// Verb.
    pub async fn update_user(&self, caller: &Caller, id: UserId, change: UserChange) -> Result<User> { let _ = (caller, id, change); later() }
    /// Verb.
    pub async fn delete_user(&self, caller: &Caller, id: UserId) -> Result<()> { let _ = (caller, id); later() }
    /// Verb.
    pub async fn set_password(&self, caller: &Caller, id: UserId, password: &SecretString) -> Result<()> { let _ = (caller, id, password); later() }
    /// Verb.
    pub async fn add_member(&self, caller: &Caller, user: UserId, role: Role) -> Result<Membership> { let _ = (caller, user, role); later() }
    /// Verb.
    pub async fn change_role(&self, caller: &Caller, user: UserId, role: Role) -> Result<Membership> { let _ = (caller, user, role); later() }
    /// Verb.
    pub async fn remove_member(&self, caller: &Caller, user: UserId) -> Result<()> { let _ = (caller, user); later() }
    /// Verb.
    pub async fn members(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Member>> { let _ = (caller, page); later() }
    /// Verb.
    pub async fn memberships_of(&self, caller: &Caller) -> Result<Vec<MemberOf>> { let _ = caller; later() }
    /// Verb.
    pub async fn create_client(&self, caller: &Caller, new: NewClient) -> Result<(Client, Option<SecretString>)> { let _ = (caller, new); later() }
    /// Verb.
    pub async fn client(&self, caller: &Caller, id: &str) -> Result<Client> { let _ = (caller, id); later() }
    /// Verb.
    pub async fn clients(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Client>> { let _ = (caller, page); later() }
    /// Verb.
    pub async fn delete_client(&self, caller: &Caller, id: &str) -> Result<()> { let _ = (caller, id); later() }
    /// Verb.
    pub async fn create_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<NewKey> { let _ = (caller, new); later() }
    /// Verb.
    pub async fn api_keys(&self, caller: &Caller, user: Option<UserId>, page: &PageRequest) -> Result<Page<ApiKey>> { let _ = (caller, user, page); later() }
    /// Verb.
    pub async fn delete_api_key(&self, caller: &Caller, id: ApiKeyId) -> Result<()> { let _ = (caller, id); later() }
    /// Verb.
    pub async fn audit(&self, caller: &Caller, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> { let _ = (caller, filter, page); later() }
    /// Puts a line on the audit trail; never waits.
    pub fn record(&self, event: AuditEvent) { let _ = event; }
    /// Verb.
    pub async fn register(&self, email: &str, password: &SecretString, origin: &Origin) -> Result<Pending> { let _ = (email, password, origin); later() }
    /// Verb.
    pub async fn verify_registration(&self, email: &str, code: &str, origin: &Origin) -> Result<SignedIn> { let _ = (email, code, origin); later() }
    /// PEM.
    pub fn ca_certificate_pem(&self) -> String { String::new() }
    /// Server certificate.
    pub async fn server_certificate(&self, names: &[String]) -> Result<TlsMaterial> { let _ = names; later() }
    /// Device certificate.
    pub async fn issue_certificate(&self, kind: KeyKind) -> Result<IssuedCertificate> { let _ = kind; later() }
    /// Reads.
    pub fn read_certificate(&self, pem: &str) -> Result<CertificateFacts> { let _ = pem; later() }
    /// Reads.
    pub fn read_certificate_der(&self, der: &[u8]) -> Result<CertificateFacts> { let _ = der; later() }
    /// First start.
    pub async fn first_start(&self, email: &str) -> Result<Option<FirstStart>> { let _ = email; later() }
    /// Default tenant.
    pub async fn default_tenant(&self) -> Result<Tenant> { later() }
    /// The operator at the command line.
    pub fn operator_caller(&self, tenant: TenantId) -> Caller { Caller { tenant, principal: Principal::Operator, permissions: Permissions::all(), request: self.clock().new_id(), address: None } }
    /// Ensure.
    pub async fn ensure_tenant(&self, caller: &Caller, new: NewTenant) -> Result<(Tenant, Outcome)> { let _ = (caller, new); later() }
    /// Ensure.
    pub async fn ensure_user(&self, caller: &Caller, new: NewUser) -> Result<(User, Outcome)> { let _ = (caller, new); later() }
    /// Ensure; in the caller's tenant.
    pub async fn ensure_membership(&self, caller: &Caller, user: UserId, role: Role) -> Result<(Membership, Outcome)> { let _ = (caller, user, role); later() }
    /// Ensure; in the caller's tenant.
    pub async fn ensure_client(&self, caller: &Caller, new: NewClient) -> Result<(Client, Outcome)> { let _ = (caller, new); later() }
    /// Ensure; in the caller's tenant. The key is not absent.
    pub async fn ensure_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<(ApiKey, Outcome)> { let _ = (caller, new); later() }
    /// One step of upkeep (expired rows, other nodes' changes); runs by itself every few seconds.
    pub async fn maintain(&self) -> Result<()> { later() }
    /// Flushes the audit trail and stops the background work.
    pub async fn stop(&self) {}
}
