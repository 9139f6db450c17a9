//! Who may do what to whom: the rules all administrative verbs share, and the shapes of what they take.

use model::{Caller, Denial, Error, Membership, Permission, Permissions, Principal, Result, Role, TenantId, UserId};
use store::{Tx, UserRecord};

const TEXT_MAX: usize = 128;

/// A role's place in the order of command.
pub(crate) fn rank(role: Role) -> u8 {
    match role {
        Role::Owner => 3,
        Role::Admin => 2,
        Role::User | Role::Writer => 1,
        Role::Reader | Role::Guest => 0,
    }
}

const OPERATOR: u8 = 4;

/// The caller's place in its tenant, as it is now and not as its token says.
pub(crate) async fn rank_of(tx: &mut Tx, caller: &Caller) -> Result<u8> {
    if caller.permissions.has(Permission::Operate) {
        return Ok(OPERATOR);
    }
    Ok(match &caller.principal {
        Principal::Operator => OPERATOR,
        Principal::User(id) => tx.membership(caller.tenant, *id).await?.map_or(0, |m| rank(m.role)),
        // A client that may change users at all stands where an administrator stands, never above.
        Principal::Client(_) => rank(Role::Admin),
        Principal::Thing(_) => 0,
    })
}

/// Nobody gives what they do not have.
pub(crate) async fn may_grant(tx: &mut Tx, caller: &Caller, role: Role) -> Result<()> {
    if rank(role) > rank_of(tx, caller).await? || !covers(caller.permissions, role.permissions()) {
        return Err(Error::Forbidden(Denial::Rule("a role above one's own cannot be given or taken")));
    }
    Ok(())
}

pub(crate) fn covers(all: Permissions, part: Permissions) -> bool {
    all.intersect(part) == part
}

/// What a member may do in its tenant: its base role and the roles the tenant gave it beside.
pub(crate) async fn member_permissions(tx: &mut Tx, member: &Membership) -> Result<Permissions> {
    let more = tx.roles_of_member(member.tenant, member.user).await?;
    Ok(more.iter().fold(member.role.permissions(), |all, role| all.union(role.grants.permissions)))
}

/// May the caller lay hands on this membership? Not on one that permits more than the caller itself may.
pub(crate) async fn may_change(tx: &mut Tx, caller: &Caller, member: &Membership) -> Result<()> {
    may_grant(tx, caller, member.role).await?;
    may_allow(caller, member_permissions(tx, member).await?)
}

/// Nobody allows what they may not do.
pub(crate) fn may_allow(caller: &Caller, permissions: Permissions) -> Result<()> {
    if covers(caller.permissions, permissions) {
        Ok(())
    } else {
        Err(Error::Forbidden(Denial::Rule("nobody gives or takes permissions that they do not have themselves")))
    }
}

/// How far a user is the caller's to look after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Itself.
    Oneself,
    /// Its account: it belongs to the caller's tenant alone, or the caller runs the gateway.
    Account,
    /// Only its membership: it belongs to other tenants as well.
    Membership,
}

/// May the caller change this user, and how far? Who is not of the caller's tenant is not there at all; nobody may lay
/// hands on an operator, or on someone above themselves: a password set or a key made would be theirs to use. For the
/// same reason a token with less than all its user may do does not reach that user's own account.
pub(crate) async fn reach(tx: &mut Tx, caller: &Caller, target: &UserRecord) -> Result<Reach> {
    let id = target.user.id;
    if caller.user() == Some(id) {
        let own = match tx.membership(caller.tenant, id).await? {
            _ if target.user.operator => Permissions::all(),
            Some(membership) => member_permissions(tx, &membership).await?,
            None => Permissions::NONE,
        };
        return if covers(caller.permissions, own) {
            Ok(Reach::Oneself)
        } else {
            Err(Error::Forbidden(Denial::Rule("this token does not allow all that its user may do; sign in with the password")))
        };
    }
    if caller.permissions.has(Permission::Operate) {
        return Ok(Reach::Account);
    }
    let memberships = tx.memberships_of(id).await?;
    let Some(here) = memberships.iter().find(|m| m.tenant == caller.tenant) else { return Err(Error::not_found("user")) };
    caller.require(Permission::UserWrite)?;
    if target.user.operator {
        return Err(Error::Forbidden(Denial::Rule("only an operator changes an operator")));
    }
    may_change(tx, caller, here).await?;
    Ok(if memberships.len() == 1 { Reach::Account } else { Reach::Membership })
}

/// The same, where the account itself is to be changed.
pub(crate) async fn reach_account(tx: &mut Tx, caller: &Caller, target: &UserRecord) -> Result<Reach> {
    match reach(tx, caller, target).await? {
        Reach::Membership => Err(Error::Forbidden(Denial::Rule(
            "the user belongs to other tenants too; its membership here can be changed, its account only by itself or an operator",
        ))),
        reach => Ok(reach),
    }
}

/// The user, if the caller may see it: itself, a member of its tenant, or anyone for an operator.
pub(crate) async fn visible(tx: &mut Tx, caller: &Caller, id: UserId) -> Result<UserRecord> {
    let absent = Error::not_found("user");
    let oneself = caller.user() == Some(id);
    let here = oneself || caller.permissions.has(Permission::Operate) || tx.membership(caller.tenant, id).await?.is_some();
    if !here {
        return Err(absent);
    }
    tx.user(id).await?.ok_or(absent)
}

/// The caller's own tenant, or any for an operator.
pub(crate) fn own_tenant(caller: &Caller, id: TenantId) -> Result<()> {
    if id == caller.tenant || caller.permissions.has(Permission::Operate) { Ok(()) } else { Err(Error::not_found("tenant")) }
}

/// One line of text for people: trimmed, 1 to 128 characters, nothing unprintable.
pub(crate) fn text(field: &'static str, value: &str) -> Result<String> {
    let value = value.trim();
    let length = value.chars().count();
    if length == 0 || length > TEXT_MAX || value.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("must be 1 to {TEXT_MAX} characters on one line")));
    }
    Ok(value.to_owned())
}

/// The same, where nothing (or only blanks) means none.
pub(crate) fn optional_text(field: &'static str, value: Option<&str>) -> Result<Option<String>> {
    value.map(str::trim).filter(|v| !v.is_empty()).map(|v| text(field, v)).transpose()
}

/// A user name: lower case, 1 to 64 of `a-z 0-9 . _ -`; never with an `@`, so that it cannot pass for an address.
pub(crate) fn username(value: Option<&str>) -> Result<Option<String>> {
    let Some(name) = value.map(str::trim).filter(|v| !v.is_empty()) else { return Ok(None) };
    let name = name.to_lowercase();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if name.len() > 64 || !name.chars().all(good) {
        return Err(Error::invalid("username", "must be 1 to 64 letters, digits or any of . _ -"));
    }
    Ok(Some(name))
}

/// A cursor that is an id.
pub(crate) fn cursor<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>> {
    cursor.map(|c| c.parse().map_err(|_| Error::invalid("cursor", "was not handed out by this list"))).transpose()
}
