//! OAuth clients of the caller's tenant.

use std::net::IpAddr;

use model::{AuthMethod, Caller, CertificateFingerprint, Client, ClientSecurity, Denial, Error, Page, PageRequest, Permission, Result};
use secrecy::{ExposeSecret as _, SecretString};
use store::ClientReach;

use crate::directory::client_permissions;
use crate::oauth::{PublicKey, leaves};
use crate::{Change, Identity, NewClient, access, certificate_fingerprint, secret};

const SECRET_MIN: usize = 16;
const SECRET_MAX: usize = 1_024;
const URIS_MAX: usize = 50;
const SCOPES_MAX: usize = 100;
const SCOPE_MAX: usize = 128;
const URI_MAX: usize = 2_048;
const ID_MAX: usize = 128;
const CERTIFICATES_MAX: usize = 20;
const RESOURCES_MAX: usize = 50;

impl Identity {
    /// Makes a client; its secret, unless it is public or chose one, is told this once.
    pub async fn create_client(&self, caller: &Caller, new: NewClient) -> Result<(Client, Option<SecretString>)> {
        let outcome = self.do_create_client(caller, new).await;
        let target = outcome.as_ref().ok().map(|(c, _)| format!("client:{}", c.id));
        self.audited(caller, "client.created", target, outcome)
    }

    async fn do_create_client(&self, caller: &Caller, new: NewClient) -> Result<(Client, Option<SecretString>)> {
        caller.require(Permission::ClientWrite)?;
        let client = self.new_client(caller, &new)?;
        let secret = match (&new.secret, new.public) {
            _ if !takes_secret(&client) && new.secret.is_none() => None,
            (Some(_), true) => return Err(Error::invalid("secret", "a public client has none")),
            (None, true) => None,
            (Some(chosen), false) if chosen.expose_secret().len() < SECRET_MIN => {
                return Err(Error::invalid("secret", format!("must have {SECRET_MIN} bytes at least; leave it out to have one made")));
            }
            (Some(chosen), false) => Some(checked_secret(chosen)?.clone()),
            (None, false) => Some(secret::random_secret("hgs_")),
        };
        let hash = secret.as_ref().map(|s| secret::hash_secret(s.expose_secret()));
        let mut tx = self.inner.db.begin().await?;
        if tx.client(&client.id).await?.is_some() {
            return Err(Error::conflict("id", "another client of this gateway has it"));
        }
        tx.insert_client(&client, hash.as_ref().map(<[u8; 32]>::as_slice)).await?;
        if new.everywhere {
            caller.require(Permission::Operate)?;
            tx.set_client_reach(&client.id, ClientReach { application: None, everywhere: true }).await?;
        }
        tx.commit().await?;
        self.inner.directory.changed();
        Ok((client, secret))
    }

    /// Checks what makes a client. It may not be allowed on its own behalf what its maker is not allowed.
    pub(crate) fn new_client(&self, caller: &Caller, new: &NewClient) -> Result<Client> {
        let id = match &new.id {
            Some(id) => client_id(id)?,
            None => uuid::Uuid::new_v4().to_string(),
        };
        let name = access::optional_text("name", new.name.as_deref())?.unwrap_or_else(|| id.clone());
        if new.redirect_uris.len() > URIS_MAX {
            return Err(Error::invalid("redirect_uris", format!("at most {URIS_MAX}")));
        }
        for uri in &new.redirect_uris {
            check_redirect_uri(uri)?;
        }
        if new.scopes.len() > SCOPES_MAX || !new.scopes.iter().all(|s| is_scope(s)) {
            return Err(Error::invalid(
                "scopes",
                format!("at most {SCOPES_MAX}, each 1 to {SCOPE_MAX} printable characters without blanks, quotes and backslashes"),
            ));
        }
        let wants = client_permissions(&new.scopes);
        if wants.intersect(caller.permissions) != wants {
            return Err(Error::Forbidden(Denial::Rule("a client cannot be allowed what its maker is not")));
        }
        let mut grants = new.grants.clone();
        grants.dedup();
        let mut scopes: Vec<String> = Vec::with_capacity(new.scopes.len());
        for scope in &new.scopes {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        let security = self.new_security(new)?;
        if !matches!(security.auth_method, None | Some(AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost))
            && new.secret.is_some()
        {
            return Err(Error::invalid("secret", "this client does not prove itself by a secret"));
        }
        Ok(Client {
            security,
            id,
            tenant: caller.tenant,
            name,
            public: new.public,
            grants,
            redirect_uris: new.redirect_uris.clone(),
            scopes,
            created: self.clock().now(),
        })
    }

    /// How a client to be proves itself, checked for sense.
    fn new_security(&self, new: &NewClient) -> Result<ClientSecurity> {
        let method = new.auth_method;
        if new.public && method.is_some_and(|m| m != AuthMethod::None) {
            return Err(Error::invalid("auth_method", "a public client has none"));
        }
        if !new.public && method == Some(AuthMethod::None) {
            return Err(Error::invalid("auth_method", "a client that is not public proves itself"));
        }
        if let Some(jwks) = &new.jwks {
            PublicKey::read_set(jwks).map_err(|why| Error::invalid("jwks", why))?;
        } else if method == Some(AuthMethod::PrivateKeyJwt) {
            return Err(Error::invalid("jwks", "is missing: private_key_jwt takes the client's public keys"));
        }
        if new.certificates.len() > CERTIFICATES_MAX {
            return Err(Error::invalid("certificates", format!("at most {CERTIFICATES_MAX}")));
        }
        let mut certificates = Vec::new();
        for text in &new.certificates {
            certificates.push(match CertificateFingerprint::parse(text.trim()) {
                Some(fingerprint) => fingerprint,
                None => {
                    self.read_certificate(text).map_err(|_| Error::invalid("certificates", "neither PEM nor a fingerprint"))?.fingerprint
                }
            });
        }
        certificates.extend(new.jwks.iter().flat_map(leaves).map(|der| certificate_fingerprint(&der)));
        certificates.sort();
        certificates.dedup();
        if certificates.is_empty() && method == Some(AuthMethod::SelfSignedTlsClientAuth) {
            return Err(Error::invalid("certificates", "is missing: self_signed_tls_client_auth takes the client's certificate"));
        }
        if new.resources.len() > RESOURCES_MAX || !new.resources.iter().all(|r| is_resource(r)) {
            return Err(Error::invalid("resources", format!("at most {RESOURCES_MAX}, each an absolute URI without a fragment")));
        }
        Ok(ClientSecurity {
            auth_method: method,
            jwks: new.jwks.clone(),
            certificates,
            certificate_bound_tokens: new.certificate_bound_tokens,
            dpop_bound_tokens: new.dpop_bound_tokens,
            require_pushed_requests: new.require_pushed_requests,
            resources: new.resources.clone(),
        })
    }

    /// A client of the caller's tenant.
    pub async fn client(&self, caller: &Caller, id: &str) -> Result<Client> {
        caller.require(Permission::ClientRead)?;
        let found = self.inner.db.read().await?.client(id).await?;
        found.map(|r| r.client).filter(|c| c.tenant == caller.tenant).ok_or(Error::not_found("client"))
    }

    /// The clients of the caller's tenant, by id.
    pub async fn clients(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Client>> {
        caller.require(Permission::ClientRead)?;
        let rows = self.inner.db.read().await?.clients(caller.tenant, page.cursor.as_deref().unwrap_or(""), page).await?;
        Ok(Page::cut(rows, page.limit, |r| r.client.id.clone()).map(|r| r.client))
    }

    /// Removes a client; its tokens end at once.
    pub async fn delete_client(&self, caller: &Caller, id: &str) -> Result<()> {
        let outcome = self.do_delete_client(caller, id).await;
        self.audited(caller, "client.deleted", Some(format!("client:{id}")), outcome)
    }

    async fn do_delete_client(&self, caller: &Caller, id: &str) -> Result<()> {
        caller.require(Permission::ClientWrite)?;
        let mut tx = self.inner.db.begin().await?;
        if tx.client_reach(id).await?.is_some_and(|reach| reach.application.is_some()) {
            return Err(Error::Forbidden(Denial::Rule("this client is an application's; it goes with the application")));
        }
        if !tx.delete_client(caller.tenant, id).await? {
            return Err(Error::not_found("client"));
        }
        tx.commit().await?;
        self.inner.announce(Change::ClientRemoved(id.to_owned()));
        Ok(())
    }

    /// Looks a client up by its id alone, before anyone is recognised: redirect URIs and grants are its own to check.
    pub async fn known_client(&self, id: &str) -> Result<Option<Client>> {
        if id.len() > ID_MAX {
            return Ok(None);
        }
        Ok(self.inner.directory.client(id).await?.map(|record| record.client.clone()))
    }
}

/// Does it prove itself by a shared secret?
pub(crate) fn takes_secret(client: &Client) -> bool {
    !client.public && client.security.auth_method.is_none_or(AuthMethod::by_secret)
}

/// RFC 8707 2: an absolute URI without a fragment; no blanks, so that a list of them can be written down.
fn is_resource(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, rest)| (scheme, !rest.is_empty()));
    let shaped = scheme.is_some_and(|(scheme, rest)| {
        rest && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    shaped && text.len() <= URI_MAX && !text.contains('#') && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(crate) fn checked_secret(secret: &SecretString) -> Result<&SecretString> {
    match secret.expose_secret().len() {
        1..=SECRET_MAX => Ok(secret),
        _ => Err(Error::invalid("secret", format!("must have 1 to {SECRET_MAX} bytes"))),
    }
}

/// 1 to 128 of letters, digits, `-_.@`: a client id stands before the colon of HTTP basic authentication.
fn client_id(id: &str) -> Result<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if id.is_empty() || id.len() > ID_MAX || !id.chars().all(good) {
        return Err(Error::invalid("id", format!("must be 1 to {ID_MAX} letters, digits or any of -_.@")));
    }
    Ok(id.to_owned())
}

/// RFC 6749 3.3.
fn is_scope(scope: &str) -> bool {
    (1..=SCOPE_MAX).contains(&scope.len()) && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Absolute, without a fragment (RFC 6749 3.1.2), on https, on http of this very machine, or of an application's own
/// scheme (RFC 8252 7).
pub(crate) fn check_redirect_uri(uri: &str) -> Result<()> {
    // Schemes a browser gives meaning to, and a meaning of which redirecting is no part.
    const NEVER: [&str; 13] =
        ["javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source", "ftp", "ws", "wss", "mailto", "urn"];
    let refuse = |reason: &str| Err(Error::invalid("redirect_uris", format!("{}: {reason}", uri.chars().take(100).collect::<String>())));
    if uri.len() > URI_MAX {
        return refuse("is too long");
    }
    if !uri.bytes().all(|b| b.is_ascii_graphic()) || uri.contains(['\\', '"', '<', '>', '`', '{', '}', '^', '|']) {
        return refuse("holds characters that must be percent-encoded");
    }
    if uri.contains('#') {
        return refuse("must not hold a fragment");
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return refuse("is not absolute") };
    let scheme = scheme.to_ascii_lowercase();
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase())
        || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    {
        return refuse("is not absolute");
    }
    if scheme != "http" && scheme != "https" {
        let reserved = NEVER.contains(&scheme.as_str());
        return if reserved || rest.is_empty() { refuse("is not a scheme to redirect to") } else { Ok(()) };
    }
    let Some(rest) = rest.strip_prefix("//") else { return refuse("is not absolute") };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return refuse("must not hold a user name");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            _ => return refuse("has no valid host"),
        },
        None => match authority.split_once(':') {
            Some((host, _)) => (host, authority.get(host.len()..).unwrap_or_default()),
            None => (authority, ""),
        },
    };
    let port_good = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
    if host.is_empty() || host.contains('*') || !port_good {
        return refuse("has no valid host");
    }
    let loopback = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if scheme == "http" && !loopback { refuse("must be https, unless it leads to this very machine") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_codes_may_be_sent() {
        for good in [
            "https://app.example.com/cb",
            "https://app.example.com:8443/cb?x=1",
            "http://127.0.0.1:9999/cb",
            "http://localhost/cb",
            "http://[::1]:3000/",
            "com.example.app:/oauth",
            "myapp://callback",
        ] {
            assert!(check_redirect_uri(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "app.example.com/cb",
            "//app.example.com/cb",
            "http://app.example.com/cb",
            "http://127.0.0.1.example.com/cb",
            "http://localhost@evil.example/cb",
            "http://127.0.0.1:9999@evil.example/",
            "https://",
            "https:///cb",
            "https://*.example.com/cb",
            "https://a.example/cb#frag",
            "https://a.example/\r\nX: y",
            "https://a.example\\@evil.example/",
            "https://a.example:99999/",
            "https://[::1/",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "1app://x",
            "myapp:",
        ] {
            assert!(check_redirect_uri(bad).is_err(), "{bad:?}");
        }
        assert!(check_redirect_uri(&format!("https://a.example/{}", "x".repeat(URI_MAX))).is_err());
    }

    #[test]
    fn scopes_and_ids() {
        assert!(is_scope("openid") && is_scope("thing:read") && !is_scope("a b") && !is_scope("") && !is_scope("a\"b"));
        assert!(
            client_id("backend-1").is_ok() && client_id("a:b").is_err() && client_id("").is_err() && client_id(&"a".repeat(129)).is_err()
        );
    }
}
