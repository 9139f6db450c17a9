//! Tenants that people make and look after themselves: opening one, what it says of itself, its activation code, its roles.

use jiff::{SignedDuration, Timestamp};
use model::{Caller, Denial, Error, Membership, Permission, Result, Role, Tenant, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use store::{TenantAttributes, Tx};

use crate::{Change, Identity, NewTenant, access, secret};

/// Tenants a person may own.
pub(crate) const OWNED_MAX: usize = 30;
/// How long an activation code lets devices in.
const CODE_VALID: SignedDuration = SignedDuration::from_mins(60);
const CODE_LENGTH: usize = 8;
/// Names in an attribute map.
pub const ATTRIBUTES_MAX: usize = 100;
/// Characters in an attribute's name, and in its value.
pub const ATTRIBUTE_TEXT_MAX: usize = 1_024;

/// A person owns as many tenants as it may.
pub const TOO_MANY_ACCOUNTS: Error = Error::Forbidden(Denial::Rule("a user may own 30 tenants at most"));
/// Who administers a tenant stays an administrator, or leaves.
pub const ADMIN_STAYS: Error = Error::Forbidden(Denial::Rule("an administrator cannot be made less; remove and invite again"));

/// A tenant with what it says of itself.
#[derive(Clone, Debug)]
pub struct Account {
    /// The tenant.
    pub tenant: Tenant,
    /// Its name for people, which other tenants may have too.
    pub name: String,
    /// Anything, by name.
    pub attributes: Map<String, Value>,
    /// What else a face keeps of it.
    pub settings: Map<String, Value>,
    /// The code that lets a device in, while it lasts.
    pub code: Option<ActivationCode>,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// A code that lets a device in.
#[derive(Clone, Debug)]
pub struct ActivationCode {
    /// Eight letters and digits.
    pub code: SecretString,
    /// When it ends.
    pub expires: Timestamp,
}

/// The name for people: a tenant whose name was taken carries the end of its id behind it.
#[must_use]
pub fn account_name(tenant: &Tenant) -> &str {
    tenant.name.strip_suffix(&mark(tenant)).unwrap_or(&tenant.name)
}

fn mark(tenant: &Tenant) -> String {
    let id = tenant.id.uuid().simple().to_string();
    format!(" {}", id.get(20..).unwrap_or(&id))
}

/// Checks an attribute map: 100 names at most, names and values texts of 1 to 1,024 characters.
pub fn check_attributes(attributes: &Map<String, Value>) -> Result<()> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(Error::invalid("attributes", format!("has more than {ATTRIBUTES_MAX} names")));
    }
    let fits = |text: &str| (1..=ATTRIBUTE_TEXT_MAX).contains(&text.chars().count());
    for (name, value) in attributes {
        if !fits(name) || !value.as_str().is_some_and(fits) {
            return Err(Error::invalid(
                "attributes",
                format!("has a name or value that is no text of 1 to {ATTRIBUTE_TEXT_MAX} characters"),
            ));
        }
    }
    Ok(())
}

impl Identity {
    /// Makes a tenant that the calling user owns, on the plan of self-registration, with an activation code.
    pub async fn open_account(
        &self,
        caller: &Caller,
        name: &str,
        attributes: Map<String, Value>,
        settings: Map<String, Value>,
    ) -> Result<Account> {
        let outcome = self.do_open_account(caller, name, attributes, settings).await;
        let target = outcome.as_ref().ok().map(|a| format!("tenant:{}", a.tenant.id));
        let tenant = outcome.as_ref().map_or(caller.tenant, |a| a.tenant.id);
        self.audited(&Caller { tenant, ..caller.clone() }, "tenant.created", target, outcome)
    }

    async fn do_open_account(
        &self,
        caller: &Caller,
        name: &str,
        attributes: Map<String, Value>,
        settings: Map<String, Value>,
    ) -> Result<Account> {
        let user = caller.user().ok_or(Error::Forbidden(Denial::Rule("only users own tenants")))?;
        let name = access::text("name", name)?;
        check_attributes(&attributes)?;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        let owned = tx.memberships_of(user).await?.iter().filter(|m| m.role == Role::Owner).count();
        if owned >= OWNED_MAX {
            return Err(TOO_MANY_ACCOUNTS);
        }
        let id = self.clock().new_id();
        let (plan, mut new) = (Some(self.inner.options.registration_plan), NewTenant { id: Some(id), name, ..NewTenant::default() });
        if tx.tenant_named(&new.name).await?.is_some() {
            let taken = Tenant { id, name: String::new(), affiliation: None, plan: model::PlanName::Amber, plan_since: now, created: now };
            new.name = format!("{}{}", new.name.chars().take(100).collect::<String>(), mark(&taken));
        }
        let tenant = self.insert_tenant(&mut tx, NewTenant { plan, ..new }).await?;
        let membership = self.joining(&mut tx, tenant.id, user, Role::Owner).await?;
        tx.set_membership(&membership).await?;
        let code = self.new_code()?;
        let kept = TenantAttributes { attributes, settings, code: Some(self.sealed(&tenant, &code)), updated: now };
        tx.set_tenant_attributes(tenant.id, &kept).await?;
        tx.commit().await?;
        self.inner.announce(Change::MemberChanged { tenant: tenant.id, user, removed: false });
        self.account_of(tenant, Some(kept))
    }

    /// The caller's tenant with what it says of itself.
    pub async fn account(&self, caller: &Caller) -> Result<Account> {
        caller.require(Permission::TenantRead)?;
        let mut tx = self.inner.db.read().await?;
        let tenant = tx.tenant(caller.tenant).await?.ok_or(Error::not_found("tenant"))?;
        let kept = tx.tenant_attributes(caller.tenant).await?;
        self.account_of(tenant, kept)
    }

    /// Changes the caller's tenant: its name, and (where given) its attributes and settings, each as a whole.
    pub async fn update_account(
        &self,
        caller: &Caller,
        name: &str,
        attributes: Option<Map<String, Value>>,
        settings: Option<Map<String, Value>>,
    ) -> Result<Account> {
        let outcome = self.do_update_account(caller, name, attributes, settings).await;
        self.audited(caller, "tenant.updated", Some(format!("tenant:{}", caller.tenant)), outcome)
    }

    async fn do_update_account(
        &self,
        caller: &Caller,
        name: &str,
        attributes: Option<Map<String, Value>>,
        settings: Option<Map<String, Value>>,
    ) -> Result<Account> {
        caller.require(Permission::TenantWrite)?;
        let name = access::text("name", name)?;
        attributes.as_ref().map_or(Ok(()), check_attributes)?;
        let mut tx = self.inner.db.begin().await?;
        let mut tenant = tx.tenant(caller.tenant).await?.ok_or(Error::not_found("tenant"))?;
        if account_name(&tenant) != name {
            tenant.name = match tx.tenant_named(&name).await? {
                Some(other) if other.id != tenant.id => format!("{}{}", name.chars().take(100).collect::<String>(), mark(&tenant)),
                _ => name,
            };
            tx.update_tenant(&tenant).await?;
        }
        let mut kept = self.kept(&mut tx, &tenant).await?;
        kept.attributes = attributes.unwrap_or(kept.attributes);
        kept.settings = settings.unwrap_or(kept.settings);
        kept.updated = self.clock().now();
        tx.set_tenant_attributes(tenant.id, &kept).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        self.account_of(tenant, Some(kept))
    }

    /// A new activation code for the caller's tenant; the old one lets nobody in any more.
    pub async fn renew_activation_code(&self, caller: &Caller) -> Result<ActivationCode> {
        let outcome = self.do_renew(caller).await;
        self.audited(caller, "tenant.activation_code_renewed", Some(format!("tenant:{}", caller.tenant)), outcome)
    }

    async fn do_renew(&self, caller: &Caller) -> Result<ActivationCode> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        let tenant = tx.tenant(caller.tenant).await?.ok_or(Error::not_found("tenant"))?;
        let mut kept = self.kept(&mut tx, &tenant).await?;
        let code = self.new_code()?;
        kept.code = Some(self.sealed(&tenant, &code));
        tx.set_tenant_attributes(tenant.id, &kept).await?;
        tx.commit().await?;
        Ok(code)
    }

    /// The caller's tenant's activation code, while it lasts; who may not let devices in may not see it.
    pub async fn activation_code(&self, caller: &Caller) -> Result<Option<ActivationCode>> {
        caller.require(Permission::ThingWrite)?;
        Ok(self.account(caller).await?.code)
    }

    /// Makes a member an administrator of the caller's tenant, as far up as the caller stands, or leaves it what it is.
    /// Error: [`ADMIN_STAYS`] when an administrator should become less.
    pub async fn set_administrator(&self, caller: &Caller, user: UserId, admin: bool) -> Result<Membership> {
        caller.require(Permission::UserWrite)?;
        let old = self.membership(caller, user).await?;
        match (matches!(old.role, Role::Owner | Role::Admin), admin) {
            (true, false) => Err(ADMIN_STAYS),
            (true, true) | (false, false) => Ok(old),
            (false, true) => {
                let mut tx = self.inner.db.read().await?;
                let owner = access::rank_of(&mut tx, caller).await? >= access::rank(Role::Owner);
                drop(tx);
                self.change_role(caller, user, if owner { Role::Owner } else { Role::Admin }).await
            }
        }
    }

    async fn kept(&self, tx: &mut Tx, tenant: &Tenant) -> Result<TenantAttributes> {
        let fresh = || TenantAttributes { attributes: Map::new(), settings: Map::new(), code: None, updated: tenant.created };
        Ok(tx.tenant_attributes(tenant.id).await?.unwrap_or_else(fresh))
    }

    fn account_of(&self, tenant: Tenant, kept: Option<TenantAttributes>) -> Result<Account> {
        let name = account_name(&tenant).to_owned();
        let Some(kept) = kept else {
            let updated = tenant.created;
            return Ok(Account { tenant, name, attributes: Map::new(), settings: Map::new(), code: None, updated });
        };
        let code = match kept.code {
            Some((sealed, expires)) if expires > self.clock().now() => {
                let plain = self.unseal(&sealed, &code_place(&tenant))?;
                let code = SecretString::from(std::str::from_utf8(&plain).map_err(Error::internal)?);
                Some(ActivationCode { code, expires })
            }
            _ => None,
        };
        Ok(Account { tenant, name, attributes: kept.attributes, settings: kept.settings, code, updated: kept.updated })
    }

    fn new_code(&self) -> Result<ActivationCode> {
        let expires = self.clock().now().checked_add(CODE_VALID).map_err(Error::internal)?;
        Ok(ActivationCode { code: secret::random_letters(CODE_LENGTH), expires })
    }

    fn sealed(&self, tenant: &Tenant, code: &ActivationCode) -> (Vec<u8>, Timestamp) {
        (self.seal(code.code.expose_secret().as_bytes(), &code_place(tenant)), code.expires)
    }
}

/// Binds a sealed code to its tenant.
fn code_place(tenant: &Tenant) -> Vec<u8> {
    [b"activation code ", tenant.id.uuid().as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_was_taken_is_shown_without_its_mark() {
        let at = Timestamp::UNIX_EPOCH;
        let id = "0190a0b0-1234-7abc-8def-0123456789ab".parse().unwrap();
        let mut tenant = Tenant { id, name: "home".into(), affiliation: None, plan: model::PlanName::Amber, plan_since: at, created: at };
        assert_eq!(account_name(&tenant), "home");
        tenant.name = format!("home{}", mark(&tenant));
        assert_eq!((tenant.name.as_str(), account_name(&tenant)), ("home 0123456789ab", "home"));
    }

    #[test]
    fn attributes_are_short_texts() {
        let map = |value: Value| value.as_object().unwrap().clone();
        assert!(check_attributes(&map(json!({ "phone": "1" }))).is_ok());
        for bad in [json!({ "a": 1 }), json!({ "": "a" }), json!({ "a": "" }), json!({ "a": "x".repeat(1025) }), json!({ "a": {} })] {
            assert!(check_attributes(&map(bad)).is_err());
        }
        let many: Map<String, Value> = (0..101).map(|n| (n.to_string(), json!("x"))).collect();
        assert!(check_attributes(&many).is_err());
    }
}
