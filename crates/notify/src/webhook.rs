//! Web hooks: a signed POST to a server of somebody's choice, and to no other. Whoever may write a notification chooses the URL, so the
//! address it resolves to is looked at before anything is sent: the gateway's own network is not his to call.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use identity::Identity;
use model::{Error, Result, Timestamp};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::mail::text_of;
use crate::worker::Failure;

/// How long one exchange may take, the name's resolution included.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// The longest URL.
const MAX_URL: usize = 2_048;

/// A POST to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Whose secret signs it: the notification's id.
    pub owner: Uuid,
    /// Where to.
    pub url: String,
    /// What is sent: JSON.
    pub body: String,
}

/// What is stored of a web hook until it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WebhookBody {
    owner: Uuid,
    url: String,
    body: String,
}

impl From<Webhook> for WebhookBody {
    fn from(hook: Webhook) -> Self {
        Self { owner: hook.owner, url: hook.url, body: hook.body }
    }
}

impl WebhookBody {
    /// The URL as administrators see it: what follows `?` may hold a secret of the receiver's.
    pub(crate) fn shown(&self) -> String {
        self.url.split(['?', '#']).next().unwrap_or_default().to_owned()
    }
}

/// Is it a URL a web hook may have? Error: Invalid.
pub fn check_url(field: &'static str, text: &str) -> Result<()> {
    let url = (text.len() <= MAX_URL).then(|| Url::parse(text).ok()).flatten();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| Error::invalid(field, format!("must be an http or https URL of at most {MAX_URL} bytes")))?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(())
    } else {
        Err(Error::invalid(field, "must not hold a user name or password; the signature tells who sends"))
    }
}

/// The client of web hooks.
pub(crate) struct Hooks {
    identity: Identity,
    private: bool,
    /// Built at the first use: it needs the process's cryptography set up.
    client: OnceLock<reqwest::Client>,
}

impl Hooks {
    pub(crate) fn new(identity: Identity, private: bool) -> Self {
        Self { identity, private, client: OnceLock::new() }
    }

    fn client(&self) -> std::result::Result<&reqwest::Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let built = reqwest::Client::builder()
            // A proxy would resolve names by itself.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver { private: self.private }))
            .connect_timeout(CONNECT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("Heliograph/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::later(text_of(&error)))?;
        Ok(self.client.get_or_init(|| built))
    }

    /// Makes one attempt. Only a status of 200 to 299 counts; the body of the answer is not read.
    pub(crate) async fn post(&self, id: Uuid, hook: &WebhookBody, now: Timestamp) -> std::result::Result<(), Failure> {
        let url = Url::parse(&hook.url).map_err(|_| Failure::forever("the URL is not readable"))?;
        // The client resolves names only; an address in the URL goes past the resolver.
        let literal = url.host_str().and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok());
        if literal.is_some_and(|ip| !self.private && !is_public(ip)) {
            return Err(Failure::forever(REFUSED));
        }
        let seconds = now.as_second();
        let signature = self.identity.sign_webhook(hook.owner, seconds, hook.body.as_bytes());
        let request = self
            .client()?
            .post(url)
            .header("content-type", "application/json")
            .header("heliograph-delivery", id.to_string())
            .header("heliograph-signature", format!("t={seconds},v1={signature}"))
            .body(hook.body.clone());
        let status = match request.send().await {
            Ok(answer) => answer.status(),
            // Its text would repeat the URL with what follows `?`.
            Err(error) => return Err(Failure::later(text_of(&error.without_url()))),
        };
        match status {
            _ if status.is_success() => Ok(()),
            _ if status.is_redirection() => Err(Failure::forever(format!("answered {status}; redirects are not followed"))),
            StatusCode::GONE => Err(Failure::forever(format!("answered {status}"))),
            _ => Err(Failure::later(format!("answered {status}"))),
        }
    }
}

const REFUSED: &str = "the URL leads to a private address; [webhooks] private_addresses allows that";

struct Resolver {
    private: bool,
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REFUSED)
    }
}

impl std::error::Error for Refused {}

impl Resolve for Resolver {
    /// The connection goes to one of the addresses answered here, so a name cannot change its mind between the look and the call.
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|at| private || is_public(at.ip())).collect();
            if allowed.is_empty() { Err(Refused.into()) } else { Ok(Box::new(allowed.into_iter()) as Addrs) }
        })
    }
}

/// Is the address one of the public internet (IANA special-purpose registries, RFC 6890)?
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation() || ip.is_multicast();
    // This network, shared address space, protocol assignments, 6to4 relays, benchmarks, and what is reserved.
    let reserved = a == 0 || (a == 100 && b & 0xc0 == 64) || (a == 192 && b == 0 && c == 0) || (a == 192 && b == 88 && c == 99);
    !(special || reserved || (a == 198 && b & 0xfe == 18) || a >= 240)
}

fn public_v6(ip: Ipv6Addr) -> bool {
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        // An IPv4 address in another dress: mapped, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => public_v4(inner(high, low)),
        // Teredo and other protocol assignments, documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Only global unicast is left of what is assigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for private in [
            "127.0.0.1",
            "127.8.9.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in
            ["1.1.1.1", "100.63.0.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1", "::ffff:1.1.1.1", "2002:101:101::"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn urls() {
        for good in ["https://example.com/hook?x=y", "http://127.0.0.1:9/"] {
            assert!(check_url("url", good).is_ok(), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
        for bad in ["", "example.com", "ftp://example.com", "file:///etc/passwd", "https://u:p@example.com/", "https://", long.as_str()] {
            assert!(check_url("url", bad).is_err(), "{bad}");
        }
    }
}
