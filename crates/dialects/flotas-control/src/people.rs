//! A member of the tenant as this platform knows it: account, role and the fields that only it has.

use std::collections::BTreeMap;

use identity::{Identity, SecretString};
use model::{Caller, Error, Membership, Result, Role, Timestamp, User, normalize_email};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use things::Profile;

use crate::{Shared, lists, wire};

/// May the user behind the call work here at this moment? Its fields `from` and `expires` say so.
pub(crate) async fn may_now(app: &Shared, caller: &Caller) -> Result<bool> {
    let Some(user) = caller.user() else { return Ok(false) };
    let Some(profile) = app.things.profile(caller, user).await? else { return Ok(true) };
    let fields = Fields::of(Some(&profile));
    let now = app.identity.clock().now();
    Ok(fields.from.is_none_or(|from| from <= now) && fields.expires.is_none_or(|end| now < end))
}

/// What identity has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Fields {
    pub(crate) country: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) disabled_message: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) privileges: Vec<String>,
    pub(crate) group: Option<String>,
    pub(crate) device_id: Option<String>,
    pub(crate) admin_devices: Option<i64>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
}

impl Fields {
    pub(crate) fn of(profile: Option<&Profile>) -> Self {
        profile.and_then(|p| serde_json::from_value(Value::Object(p.fields.clone())).ok()).unwrap_or_default()
    }

    pub(crate) fn stored(&self) -> Result<Map<String, Value>> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(Error::internal("a user's fields are no JSON object")),
        }
    }
}

/// A user on the wire. The password is never told: `null`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    id: String,
    name: String,
    email: String,
    country: Option<String>,
    time_zone: Option<String>,
    description: Option<String>,
    message: Option<String>,
    disabled: bool,
    disabled_message: Option<String>,
    tags: BTreeMap<String, String>,
    privileges: Vec<String>,
    group: Option<String>,
    device_id: Option<String>,
    admin_devices: Option<i64>,
    from: Option<String>,
    expires: Option<String>,
    password: Option<()>,
    creation: String,
    modification: String,
    last_login: Option<String>,
}

/// The members of a user that a change does not touch, whatever it says of them.
pub(crate) const FIXED: &[&str] = &["id", "creation", "modification", "lastLogin"];
/// All of them.
pub(crate) const KNOWN: &[&str] = &[
    "id",
    "name",
    "email",
    "country",
    "timeZone",
    "description",
    "message",
    "disabled",
    "disabledMessage",
    "tags",
    "privileges",
    "group",
    "deviceId",
    "adminDevices",
    "from",
    "expires",
    "password",
    "creation",
    "modification",
    "lastLogin",
];

pub(crate) fn view(user: &User, membership: &Membership, profile: Option<&Profile>) -> View {
    let fields = Fields::of(profile);
    let changed = profile.and_then(|p| p.updated).map_or(user.updated, |at| at.max(user.updated));
    View {
        id: user.id.to_string(),
        name: name(user),
        email: user.email.clone(),
        country: fields.country,
        time_zone: fields.time_zone,
        description: fields.description,
        message: fields.message,
        disabled: user.disabled,
        disabled_message: fields.disabled_message,
        tags: fields.tags,
        privileges: shown(fields.privileges, membership.role),
        group: fields.group,
        device_id: fields.device_id,
        admin_devices: fields.admin_devices,
        from: fields.from.map(wire::time),
        expires: fields.expires.map(wire::time),
        password: None,
        creation: wire::time(membership.created),
        modification: wire::time(changed),
        last_login: profile.and_then(|p| p.last_login).map(wire::time),
    }
}

/// First and last name; else the user name; else the address.
pub(crate) fn name(user: &User) -> String {
    match (&user.given_name, &user.family_name) {
        (Some(given), Some(family)) => format!("{given} {family}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => user.username.clone().unwrap_or_else(|| user.email.clone()),
    }
}

/// The role that privileges stand for: the highest one named; without any that is known one may look.
pub(crate) fn role(privileges: &[String]) -> Role {
    let has = |name: &str| privileges.iter().any(|p| p.eq_ignore_ascii_case(name));
    match () {
        () if has("owner") => Role::Owner,
        () if has("admin") => Role::Admin,
        () if has("write") || has("execute") => Role::Writer,
        () => Role::Reader,
    }
}

/// Both may do the same here.
pub(crate) fn alike(a: Role, b: Role) -> bool {
    let plain = |role| match role {
        Role::User => Role::Writer,
        // A member by roles of its tenant's own: the least this platform has a word for.
        Role::Guest => Role::Reader,
        other => other,
    };
    plain(a) == plain(b)
}

/// The privileges as they were set, unless the role was changed elsewhere since.
fn shown(set: Vec<String>, role_now: Role) -> Vec<String> {
    if !set.is_empty() && alike(role(&set), role_now) {
        return set;
    }
    let names: &[&str] = match role_now {
        Role::Owner => &["read", "write", "execute", "admin", "owner"],
        Role::Admin => &["read", "write", "execute", "admin"],
        Role::Writer | Role::User => &["read", "write", "execute"],
        Role::Reader => &["read"],
        Role::Guest => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A user as somebody sends it; what the system itself keeps (`id`, `creation`, …) is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Body {
    name: Option<String>,
    email: Option<String>,
    country: Option<String>,
    time_zone: Option<String>,
    description: Option<String>,
    message: Option<String>,
    disabled: Option<bool>,
    disabled_message: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    privileges: Option<Vec<String>>,
    group: Option<String>,
    device_id: Option<String>,
    admin_devices: Option<i64>,
    from: Option<String>,
    expires: Option<String>,
    password: Option<String>,
}

/// A user as it is to be, checked.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) given_name: String,
    pub(crate) family_name: Option<String>,
    pub(crate) email: String,
    pub(crate) disabled: bool,
    pub(crate) password: Option<SecretString>,
    /// Absent: the role stays what it is.
    pub(crate) role: Option<Role>,
    pub(crate) fields: Fields,
}

const SHORT: usize = 128;
const LONG: usize = 1_024;
const MANY: usize = 64;

impl Body {
    /// Checks it. `whole`: a user from scratch, which must have a country and a time zone.
    pub(crate) fn wish(self, whole: bool) -> Result<Wish> {
        let name = required("name", self.name)?;
        let email = normalize_email(&required("email", self.email)?)?;
        let (country, time_zone) = if whole {
            (Some(required("country", self.country)?), Some(required("timeZone", self.time_zone)?))
        } else {
            (filled(self.country), filled(self.time_zone))
        };
        check("country", country.as_deref(), SHORT)?;
        if let Some(zone) = &time_zone
            && lists::zone(zone).is_none()
        {
            return Err(Error::invalid("timeZone", "is not an IANA name; GET /api/users/timeZones lists them"));
        }
        for (field, text, max) in [
            ("name", Some(&name), SHORT),
            ("description", self.description.as_ref(), LONG),
            ("message", self.message.as_ref(), LONG),
            ("disabledMessage", self.disabled_message.as_ref(), LONG),
            ("group", self.group.as_ref(), SHORT),
            ("deviceId", self.device_id.as_ref(), SHORT),
        ] {
            check(field, text.map(String::as_str), max)?;
        }
        let tags = self.tags.unwrap_or_default();
        if tags.len() > MANY || tags.iter().any(|(name, value)| name.len() > SHORT || value.len() > LONG) {
            return Err(Error::invalid("tags", format!("must be at most {MANY}, names of at most {SHORT} bytes, values of {LONG}")));
        }
        if self.privileges.as_ref().is_some_and(|p| p.len() > MANY || p.iter().any(|name| name.is_empty() || name.len() > SHORT)) {
            return Err(Error::invalid("privileges", format!("must be at most {MANY} names of 1 to {SHORT} bytes")));
        }
        let moment = |field: &'static str, text: Option<String>| filled(text).map(|text| wire::moment(field, &text)).transpose();
        let (from, expires) = (moment("from", self.from)?, moment("expires", self.expires)?);
        if let (Some(from), Some(expires)) = (from, expires)
            && expires <= from
        {
            return Err(Error::invalid("expires", "must be after from"));
        }
        let password = self.password.filter(|p| !p.is_empty()).map(SecretString::from);
        if let Some(password) = &password {
            Identity::check_new_password(password)?;
        }
        let (given_name, family_name) = match name.split_once(' ') {
            Some((given, family)) => (given.to_owned(), Some(family.trim().to_owned()).filter(|f| !f.is_empty())),
            None => (name.clone(), None),
        };
        Ok(Wish {
            name,
            given_name,
            family_name,
            email,
            disabled: self.disabled.unwrap_or(false),
            password,
            role: self.privileges.as_deref().map(role),
            fields: Fields {
                country,
                time_zone,
                description: self.description,
                message: self.message,
                disabled_message: self.disabled_message,
                tags,
                privileges: self.privileges.unwrap_or_default(),
                group: self.group,
                device_id: self.device_id,
                admin_devices: self.admin_devices,
                from,
                expires,
            },
        })
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

fn required(field: &'static str, text: Option<String>) -> Result<String> {
    filled(text).ok_or_else(|| Error::invalid(field, "is required"))
}

fn check(field: &'static str, text: Option<&str>, max: usize) -> Result<()> {
    match text {
        Some(text) if text.len() > max || text.contains('\0') => {
            Err(Error::invalid(field, format!("must have at most {max} bytes and no NUL")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(body: Value, whole: bool) -> Result<Wish> {
        serde_json::from_value::<Body>(body).unwrap().wish(whole)
    }

    #[test]
    fn a_user_from_scratch() {
        let it = wish(
            json!({ "name": " John  van Doe ", "email": "John@Example.com", "country": "USA", "timeZone": "America/New_York", "privileges": ["read", "Write"],
                "tags": { "vip": "true" }, "from": "2024-01-01", "expires": "2025-01-01T00:00:00Z", "creation": "whenever", "id": 7 }),
            true,
        )
        .unwrap();
        assert_eq!((it.given_name.as_str(), it.family_name.as_deref(), it.email.as_str()), ("John", Some("van Doe"), "john@example.com"));
        assert_eq!((it.role, it.disabled, it.password.is_some()), (Some(Role::Writer), false, false));
        assert_eq!(Fields::of(None), Fields::default());
        let stored = it.fields.stored().unwrap();
        let profile = Profile { user: model::UserId(uuid::Uuid::nil()), fields: stored, updated: None, last_login: None };
        assert_eq!(Fields::of(Some(&profile)), it.fields);
    }

    #[test]
    fn what_is_refused() {
        let good = json!({ "name": "J", "email": "j@example.com", "country": "US", "timeZone": "UTC" });
        assert!(wish(good.clone(), true).is_ok());
        for (field, value) in [
            ("name", json!(null)),
            ("name", json!(" ")),
            ("name", json!("x".repeat(129))),
            ("email", json!("nowhere")),
            ("country", json!("")),
            ("timeZone", json!(null)),
            ("timeZone", json!("Mars/Olympus")),
            ("timeZone", json!("../../etc/passwd")),
            ("description", json!("x".repeat(1_025))),
            ("tags", json!({ "x": "y".repeat(1_025) })),
            ("privileges", json!([""])),
            ("password", json!("short")),
            ("from", json!("tomorrow")),
            ("expires", json!("1e400")),
        ] {
            let mut body = good.clone();
            body[field] = value.clone();
            assert!(matches!(wish(body, true), Err(Error::Invalid { field: named, .. }) if named == field), "{field} {value}");
        }
        assert!(wish(json!({ "name": "J", "email": "j@example.com" }), false).is_ok(), "one that came from elsewhere has no country");
        let mut upside_down = good;
        upside_down["from"] = json!("2025-01-01");
        upside_down["expires"] = json!("2024-01-01");
        assert!(wish(upside_down, true).is_err());
    }

    #[test]
    fn privileges_follow_the_role() {
        let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        for role_now in Role::ALL {
            assert!(alike(role(&shown(Vec::new(), *role_now)), *role_now), "{role_now}");
        }
        assert_eq!(shown(texts(&["read", "reports"]), Role::Reader), ["read", "reports"]);
        assert_eq!(shown(texts(&["read", "reports"]), Role::Admin), ["read", "write", "execute", "admin"]);
        assert_eq!(role(&[]), Role::Reader);
    }
}
