//! What tokens are for: resource indicators (RFC 8707). Tokens for other resources are of no use at the gateway itself.

use model::Client;

use super::{OAuthError, OAuthErrorCode as Code, Params};
use crate::Identity;

/// Resources in one request.
const RESOURCES_MAX: usize = 10;

fn unfit(why: &str) -> OAuthError {
    OAuthError::new(Code::InvalidTarget, why)
}

impl Identity {
    /// The gateway as a resource.
    fn is_here(&self, resource: &str) -> bool {
        let here = self.public_url();
        resource == here || resource.strip_suffix('/') == Some(here.as_str())
    }

    /// The resources a request asks for: the gateway itself, or such as the client registered (RFC 8707 2).
    pub(super) fn asked_resources(&self, client: &Client, params: &Params) -> Result<Vec<String>, OAuthError> {
        self.known_resources(client, params.all("resource").collect())
    }

    pub(super) fn known_resources(&self, client: &Client, asked: Vec<&str>) -> Result<Vec<String>, OAuthError> {
        if asked.len() > RESOURCES_MAX {
            return Err(unfit("too many resources in one request"));
        }
        let mut known: Vec<String> = Vec::with_capacity(asked.len());
        for resource in asked {
            if !self.is_here(resource) && !client.security.resources.iter().any(|registered| registered == resource) {
                return Err(unfit("this client may not ask for tokens for that resource"));
            }
            if !known.iter().any(|k| k == resource) {
                known.push(resource.to_owned());
            }
        }
        Ok(known)
    }

    /// Of what was granted, what this token request asks for (RFC 8707 2.2); nothing asked is all of it.
    pub(super) fn narrowed_resources(&self, granted: &str, params: &Params) -> Result<Vec<String>, OAuthError> {
        let granted: Vec<String> = granted.split(' ').filter(|r| !r.is_empty()).map(str::to_owned).collect();
        let asked: Vec<String> = params.all("resource").map(str::to_owned).collect();
        if asked.is_empty() {
            return Ok(granted);
        }
        let fits = |resource: &String| granted.contains(resource) || (granted.is_empty() && self.is_here(resource));
        if asked.len() <= RESOURCES_MAX && asked.iter().all(fits) { Ok(asked) } else { Err(unfit("that resource was not granted")) }
    }

    /// What a token names as its audience; empty: what its realm always names, the gateway.
    pub(super) fn audience(&self, resources: Vec<String>) -> Result<Vec<String>, OAuthError> {
        let (here, elsewhere): (Vec<_>, Vec<_>) = resources.into_iter().partition(|resource| self.is_here(resource));
        match (here.is_empty(), elsewhere.is_empty()) {
            (_, true) => Ok(Vec::new()),
            (true, false) => Ok(elsewhere),
            // One that is good here and elsewhere could be played from one to the other.
            (false, false) => Err(unfit("a token is for the gateway or for other resources; name which with resource")),
        }
    }
}
