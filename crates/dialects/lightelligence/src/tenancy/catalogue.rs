//! The platform's permissions and what they mean here.
//!
//! The core's permissions are coarser here and there: certificates and firmware belong to their device, so whoever may change the one
//! may change the other. What was chosen is kept by its alias and shown again as chosen; what is checked is the core's.

use identity::{Grants, TenantRole, for_applications};
use model::Permission as P;
use model::{Error, Permissions, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// One of the platform's permissions.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) alias: &'static str,
    id: Uuid,
    category: &'static str,
    name: &'static str,
    description: &'static str,
    means: &'static [P],
}

macro_rules! catalogue {
    ($($alias:literal $id:literal $category:literal $name:literal $description:literal [$($means:ident),*];)*) => {
        /// All of them, by alias.
        pub(super) const ALL: &[Entry] = &[$(Entry {
            alias: $alias, id: Uuid::from_u128($id), category: $category, name: $name, description: $description, means: &[$(P::$means),*],
        },)*];
    };
}

// Ids of devicetypes, tenant_user_management, applications and applications_development are the platform's own.
#[rustfmt::skip]
catalogue! {
    "applications:read" 0xb25a38ad_86f9_458d_825a_8c0234f146e7 "applications" "Read applications"
        "See which applications can be installed and which are." [InstallationRead];
    "applications:write" 0xd430282c_a7a3_4163_92f7_b6055466d318 "applications" "Install applications"
        "Install and uninstall applications." [InstallationWrite];
    "applications_development:read" 0x1a484122_4276_452f_86fe_35328a269e0e "applications" "Read developed applications"
        "See the applications that the tenant develops." [ClientRead];
    "applications_development:write" 0xc4d20bb1_40a9_4e23_9ceb_ca970b6cd29d "applications" "Develop applications"
        "Make, change and end applications that the tenant develops." [ClientWrite];
    "audit_logs:read" 0x579d598c_64b6_52b9_8a75_c26fb4ed3949 "audit" "Read audit logs"
        "Read the audit trail of the tenant." [AuditRead];
    "device_certificates:read" 0x80616ea6_ed93_5fd5_a6a4_065597ad867a "devices" "Read device certificates"
        "See the certificates of devices." [ThingRead];
    "device_certificates:write" 0xfde71ecf_a99a_553f_a447_7898ea9ae380 "devices" "Change device certificates"
        "Register and revoke certificates of devices." [ThingWrite];
    "devices_base_data:read" 0x5420bfa8_701e_571a_bb40_9c665a213e1d "devices" "Read devices"
        "See devices." [ThingRead];
    "devices_base_data:write" 0x466a1289_1252_5efe_a8eb_ab39553a30e8 "devices" "Change devices"
        "Make, change and remove devices, send them messages." [ThingWrite, MessageWrite];
    "devices_historical_data:read" 0xca37d72c_e684_5e88_b79c_9497d17ca899 "devices" "Read historical data"
        "Read time series and events of devices." [PointRead];
    "devices_historical_data:write" 0x2fcfc32e_3d17_5169_8fa6_c11042e7c9b8 "devices" "Remove historical data"
        "Remove time series of devices." [PointWrite];
    "devices_states:read" 0x34b34386_1e54_5856_b5f3_dedfed525df9 "devices" "Read device states"
        "Read what devices last reported." [StateRead];
    "devices_streaming:read" 0xbd325205_6e28_5302_ba02_039c3ed52243 "devices" "Stream device data"
        "Follow what devices say as they say it." [MessageRead];
    "devicetypes:read" 0x78624d68_b09c_4e28_ae5e_812c3cfa1126 "devices" "Access devicetypes"
        "See device types." [TypeRead];
    "devicetypes:write" 0xd06e523b_d729_4b6d_b7b7_203ab8eaf102 "devices" "Change devicetypes"
        "Make, change and remove device types." [TypeWrite];
    "firmware:read" 0x5412a7d9_ba35_5b05_948b_5e6a150e2d3e "devices" "Read firmware"
        "See firmware of devices." [ThingRead];
    "firmware:write" 0xf89e8944_a2a6_5646_8bc5_3234347bbc58 "devices" "Change firmware"
        "Change firmware of devices." [ThingWrite];
    "ingest:write" 0x61e3c162_1c0d_52aa_99f3_0764b306e71d "devices" "Ingest data"
        "Hand in data as a device." [MessageSubmit];
    "notification:read" 0xd9182ec7_cb13_59fc_9b8a_1bf82b883897 "notifications" "Read notifications"
        "See notifications." [NotificationRead];
    "notification:write" 0x75f42edd_e4d4_54f0_be4c_035d46322c31 "notifications" "Change notifications"
        "Make, change and remove notifications." [NotificationWrite];
    "rule_engine_data:read" 0x2ac538a2_f60c_532e_89ad_0252f6c94286 "rules" "Read rules"
        "See rules." [RuleRead];
    "rule_engine_data:write" 0x10d8b05f_c11d_5a31_85d0_af1b7185a50c "rules" "Change rules"
        "Make, change and remove rules." [RuleWrite];
    "tenant:read" 0x59314b9c_1bbd_5ebe_96a0_66f7e968a116 "tenant" "Read tenant"
        "See the tenant." [TenantRead];
    "tenant:write" 0x6c4f8da3_0472_5b35_aae8_6e077d65781d "tenant" "Change tenant"
        "Change the tenant." [TenantWrite];
    "tenant_user_management:read" 0x6a6d57ac_7cc7_4318_a349_4227d6f9edb5 "tenant" "Read users"
        "See users, roles and invites of the tenant." [UserRead];
    "tenant_user_management:write" 0xf76aea85_6153_4471_9f98_d59a3657e259 "tenant" "Manage users"
        "Change users, roles and invites of the tenant." [UserWrite];
    "timeseries:read" 0xafd333d6_8473_510e_a512_5048cef5e20b "timeseries" "Read timeseries"
        "See time series of the tenant." [PointRead];
    "timeseries:write" 0x2c8938c9_def8_5c88_81c1_4f5e39c561d6 "timeseries" "Change timeseries"
        "Make, change and remove time series of the tenant." [PointWrite];
    "timeseries_data:read" 0x5e62e35c_5ab8_50e3_8147_345a1e1a07ba "timeseries" "Read timeseries data"
        "Read the data of time series of the tenant." [PointRead];
    "timeseries_data:write" 0x0e004d75_1b10_5a70_a8f5_8ed55bd64834 "timeseries" "Change timeseries data"
        "Write and remove data of time series of the tenant." [PointWrite];
}

impl Entry {
    fn means(&self) -> Permissions {
        Permissions::of(self.means)
    }

    fn within(&self, all: Permissions) -> bool {
        all.intersect(self.means()) == self.means()
    }

    /// May an application have it?
    fn for_applications(&self) -> bool {
        for_applications(self.means()) == self.means()
    }

    /// With everything about it.
    pub(super) fn full(&self) -> Value {
        json!({ "id": self.id, "alias": self.alias, "category": self.category, "name": self.name, "description": self.description })
    }

    /// `{"id", "alias"}`.
    pub(super) fn short(&self) -> Value {
        json!({ "id": self.id, "alias": self.alias })
    }
}

/// A permission as a request names it.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    id: Option<String>,
    alias: Option<String>,
}

/// What these permissions mean together.
pub(super) fn grants(named: &[Named]) -> Result<Grants> {
    let wrong = |reason: &str| Error::invalid("permissions", reason);
    let mut grants = Grants::default();
    for one in named {
        let entry = match (&one.id, &one.alias) {
            (Some(id), _) => ALL.iter().find(|e| e.id.to_string().eq_ignore_ascii_case(id)),
            (None, Some(alias)) => ALL.iter().find(|e| e.alias == alias),
            (None, None) => return Err(wrong("each needs an id")),
        };
        let entry = entry.ok_or_else(|| wrong("one of them is not known; GET /permissions lists all"))?;
        if !grants.words.iter().any(|word| word == entry.alias) {
            grants.permissions = grants.permissions.union(entry.means());
            grants.words.push(entry.alias.to_owned());
        }
    }
    Ok(grants)
}

/// The entries that are all within a set.
pub(super) fn within(all: Permissions) -> impl Iterator<Item = &'static Entry> {
    ALL.iter().filter(move |entry| entry.within(all))
}

fn chosen(words: &[String]) -> impl Iterator<Item = &'static Entry> {
    ALL.iter().filter(move |entry| words.iter().any(|word| word == entry.alias))
}

/// The ids of what a role permits: as chosen, or (roles of other faces) what its permissions amount to.
pub(super) fn role_ids(role: &TenantRole) -> Vec<Uuid> {
    if role.grants.words.is_empty() {
        within(role.grants.permissions).map(|e| e.id).collect()
    } else {
        chosen(&role.grants.words).map(|e| e.id).collect()
    }
}

/// `[{"id"}]` of what was granted or is wanted; nothing said is all an application may have.
pub(super) fn references(grants: Option<&Grants>) -> Value {
    let id = |entry: &Entry| json!({ "id": entry.id });
    match grants {
        Some(grants) => chosen(&grants.words).map(id).collect(),
        None => ALL.iter().filter(|e| e.for_applications()).map(id).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use model::Role;

    use super::*;

    fn named(alias: &str) -> Named {
        Named { id: None, alias: Some(alias.to_owned()) }
    }

    #[test]
    fn ids_and_aliases_are_unique_and_read_back() {
        assert_eq!(ALL.len(), 30);
        assert_eq!(ALL.iter().map(|e| e.id).collect::<HashSet<_>>().len(), ALL.len());
        assert_eq!(ALL.iter().map(|e| e.alias).collect::<HashSet<_>>().len(), ALL.len());
        for entry in ALL {
            assert!(!entry.means.is_empty() && !entry.means.contains(&P::Operate));
            let by_id = grants(&[Named { id: Some(entry.id.to_string()), alias: None }]).unwrap();
            assert_eq!(by_id, grants(&[named(entry.alias), named(entry.alias)]).unwrap());
            assert_eq!(by_id.words, [entry.alias]);
        }
    }

    #[test]
    fn the_platforms_own_ids() {
        let id = |alias| ALL.iter().find(|e| e.alias == alias).unwrap().id.to_string();
        assert_eq!(id("devicetypes:read"), "78624d68-b09c-4e28-ae5e-812c3cfa1126");
        assert_eq!(id("applications:write"), "d430282c-a7a3-4163-92f7-b6055466d318");
    }

    #[test]
    fn owners_have_all_readers_no_writing() {
        assert_eq!(within(Role::Owner.permissions()).count(), ALL.len());
        let reader: Vec<_> = within(Role::Reader.permissions()).map(|e| e.alias).collect();
        assert!(reader.iter().all(|alias| alias.ends_with(":read") && !alias.starts_with("tenant_user")), "{reader:?}");
        let writer: HashSet<_> = within(Role::Writer.permissions()).map(|e| e.alias).collect();
        assert!(reader.iter().all(|alias| writer.contains(alias)));
        assert!(!writer.contains("tenant:write") && !writer.contains("tenant_user_management:read"));
    }

    #[test]
    fn applications_get_no_tenant_and_no_users() {
        let all = references(None);
        let management: Vec<_> = ALL.iter().filter(|e| e.alias.starts_with("tenant")).map(|e| e.id.to_string()).collect();
        assert_eq!(management.len(), 4);
        assert!(all.as_array().unwrap().iter().all(|r| !management.iter().any(|id| r["id"] == *id)));
        assert_eq!(all.as_array().unwrap().len(), ALL.len() - 4);
    }

    #[test]
    fn unknown_ones_are_refused() {
        assert!(grants(&[named("devices:all")]).is_err());
        assert!(grants(&[Named { id: None, alias: None }]).is_err());
        assert!(grants(&[Named { id: Some("x".into()), alias: Some("tenant:read".into()) }]).is_err());
        assert_eq!(grants(&[]).unwrap(), Grants::default());
    }
}
