//! Who calls: made once at the edge, the first argument of every verb.

use std::net::IpAddr;

use crate::{Denial, Error, Permission, Permissions, RequestId, Result, TenantId, ThingId, UserId};

/// Whoever asks, already recognised, in one tenant.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant every lookup is confined to.
    pub tenant: TenantId,
    /// User, client, thing or the operator at the command line.
    pub principal: Principal,
    /// What it may do, already intersected with its token's scope.
    pub permissions: Permissions,
    /// The request, for logs and audit.
    pub request: RequestId,
    /// Where from, if over the network.
    pub address: Option<IpAddr>,
}

/// The kinds of caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A person.
    User(UserId),
    /// An OAuth client on its own behalf, by client id.
    Client(String),
    /// A device.
    Thing(ThingId),
    /// The command line on the data directory.
    Operator,
}

impl Caller {
    /// Refuses a caller that lacks the permission.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.permissions.has(permission) { Ok(()) } else { Err(Error::Forbidden(Denial::Permission(permission))) }
    }

    /// The user behind the call, if a user calls.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self.principal {
            Principal::User(id) => Some(id),
            _ => None,
        }
    }

    /// The same caller, looking at another tenant; only an operator may.
    pub fn in_tenant(&self, tenant: TenantId) -> Result<Caller> {
        if tenant != self.tenant {
            self.require(Permission::Operate)?;
        }
        Ok(Caller { tenant, ..self.clone() })
    }
}

impl Principal {
    /// `user:…`, `client:…`, `thing:…` or `operator`: how audit and logs name the caller.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Principal::User(id) => format!("user:{id}"),
            Principal::Client(id) => format!("client:{id}"),
            Principal::Thing(id) => format!("thing:{id}"),
            Principal::Operator => "operator".to_owned(),
        }
    }
}
