//! Virtual hosts: where paths of two dialects collide, the host name decides.

use std::collections::HashMap;

use axum::Router;
use http::{HeaderMap, Uri};

use crate::headers::header;

/// Host names that belong to one dialect as a whole, over a router for every other name.
#[derive(Clone, Debug)]
pub struct VirtualHosts {
    default: Router,
    hosts: HashMap<String, Router>,
}

impl VirtualHosts {
    /// One router for every name.
    #[must_use]
    pub fn new(default: Router) -> Self {
        Self { default, hosts: HashMap::new() }
    }

    /// Gives a host name (no port; case does not matter) its own router.
    #[must_use]
    pub fn host(mut self, name: &str, router: Router) -> Self {
        self.hosts.insert(bare(name), router);
        self
    }

    /// The router for a request: HTTP/2 names the host in the URI, HTTP/1.1 in the Host header.
    pub(crate) fn pick(&self, uri: &Uri, headers: &HeaderMap) -> &Router {
        if self.hosts.is_empty() {
            return &self.default;
        }
        let host = uri.host().or_else(|| header(headers, "host"));
        host.and_then(|host| self.hosts.get(&bare(host))).unwrap_or(&self.default)
    }
}

/// The name alone: no port, no final dot, lower case.
fn bare(host: &str) -> String {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_bare() {
        for form in ["api.flashlex.com", "API.FlashLex.com:443", "api.flashlex.com."] {
            assert_eq!(bare(form), "api.flashlex.com");
        }
        assert_eq!(bare("[::1]:80"), "[::1]");
    }
}
