//! Permissions and the roles that bundle them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One thing a caller may do in its tenant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Permission { $($(#[$doc])* $name,)* }

        impl Permission {
            /// Every permission, in declaration order.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)*];

            /// The permission's name on the wire, `noun:verb`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Permission::$name => $text,)* }
            }
        }
    };
}

permissions! {
    /// See the tenant, its plan and counters.
    TenantRead = "tenant:read",
    /// Change the tenant.
    TenantWrite = "tenant:write",
    /// See users and memberships.
    UserRead = "user:read",
    /// Add, change, remove users and memberships.
    UserWrite = "user:write",
    /// See clients and API keys.
    ClientRead = "client:read",
    /// Create and remove clients and API keys.
    ClientWrite = "client:write",
    /// See things and their certificates.
    ThingRead = "thing:read",
    /// Provision, change, deprovision things; register and revoke certificates.
    ThingWrite = "thing:write",
    /// Read messages.
    MessageRead = "message:read",
    /// Send messages to things, delete messages.
    MessageWrite = "message:write",
    /// Hand in messages as a thing.
    MessageSubmit = "message:submit",
    /// Read the audit trail.
    AuditRead = "audit:read",
    /// See rules and alerts.
    RuleRead = "rule:read",
    /// Change rules, handle alerts.
    RuleWrite = "rule:write",
    /// See notifications.
    NotificationRead = "notification:read",
    /// Change notifications.
    NotificationWrite = "notification:write",
    /// See thing types.
    TypeRead = "type:read",
    /// Change thing types.
    TypeWrite = "type:write",
    /// Read what things last reported of themselves.
    StateRead = "state:read",
    /// Read the points of series, and events.
    PointRead = "point:read",
    /// Delete points.
    PointWrite = "point:write",
    /// See which clients of other tenants are installed.
    InstallationRead = "installation:read",
    /// Install clients of other tenants, and remove them.
    InstallationWrite = "installation:write",
    /// Run the gateway: every tenant, signing keys, backup.
    Operate = "gateway:operate",
}

impl FromStr for Permission {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|p| p.name() == text).ok_or(())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Permissions(u64);

impl Permissions {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set of exactly these.
    #[must_use]
    pub fn of(list: &[Permission]) -> Self {
        Self(list.iter().fold(0, |bits, p| bits | 1 << (*p as u8)))
    }

    /// Everything, the operator's set.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Permission::ALL)
    }

    /// Is it in the set?
    #[must_use]
    pub fn has(self, permission: Permission) -> bool {
        self.0 & (1 << (permission as u8)) != 0
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |p| self.has(*p))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::name)).finish()
    }
}

/// A member's role in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything in the tenant, including its end.
    Owner,
    /// Everything in the tenant but its end.
    Admin,
    /// Things and messages, both ways.
    Writer,
    /// Looks, touches nothing.
    Reader,
    /// An everyday member (Open IoT `user`): works with things and messages, sees members.
    User,
    /// Nothing by itself: a member by the roles its tenant made.
    Guest,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Role] = &[Role::Owner, Role::Admin, Role::Writer, Role::Reader, Role::User, Role::Guest];

    /// The role's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Writer => "writer",
            Role::Reader => "reader",
            Role::User => "user",
            Role::Guest => "guest",
        }
    }

    /// What the role permits.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        use Permission as P;
        let read = [P::TenantRead, P::ThingRead, P::MessageRead, P::RuleRead, P::NotificationRead];
        let read_more = [P::TypeRead, P::StateRead, P::PointRead, P::InstallationRead];
        let read = Permissions::of(&read).union(Permissions::of(&read_more));
        let write = [P::ThingWrite, P::MessageWrite, P::MessageSubmit, P::RuleWrite, P::NotificationWrite];
        let write = Permissions::of(&write).union(Permissions::of(&[P::TypeWrite, P::PointWrite]));
        match self {
            Role::Owner | Role::Admin => {
                let mut all: Vec<_> = Permission::ALL.to_vec();
                all.retain(|p| *p != P::Operate);
                Permissions::of(&all)
            }
            Role::Writer => read.union(write),
            Role::User => read.union(write).union(Permissions::of(&[P::UserRead])),
            Role::Reader => read,
            Role::Guest => Permissions::NONE,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = crate::Error;
    fn from_str(text: &str) -> Result<Self, crate::Error> {
        Self::ALL
            .iter()
            .copied()
            .find(|role| role.name() == text)
            .ok_or_else(|| crate::Error::invalid("role", format!("'{text}' is not one of owner, admin, writer, reader, user, guest")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_reads_only() {
        let reader = Role::Reader.permissions();
        assert!(reader.has(Permission::ThingRead));
        assert!(!reader.has(Permission::ThingWrite) && !reader.has(Permission::MessageWrite));
    }

    #[test]
    fn no_role_operates_the_gateway() {
        assert!(Role::ALL.iter().all(|r| !r.permissions().has(Permission::Operate)));
    }

    #[test]
    fn names_are_unique_and_parse_back() {
        for p in Permission::ALL {
            assert_eq!(p.name().parse(), Ok(*p));
        }
    }
}
