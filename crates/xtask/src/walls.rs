//! The walls of the house. Inside: a crate may use only crates above it in [`ORDER`]. Outside: `deny.toml` names, for some crates,
//! the only ones that may use them (`wrappers`), and the crates that must not be built at all.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::metadata::Metadata;

/// The house, ground floor first. Crates in one row stand on the same floor and do not see each other.
pub const ORDER: &[&[&str]] = &[
    &["model"],
    &["store"],
    &["journal"],
    &["identity"],
    &["notify"],
    &["things"],
    &["rules"],
    &["edge"],
    &["mqtt"],
    &["native", "openid", "flashlex", "lightelligence", "open-iot", "flotas-control", "flash-payments"],
    &["console"],
    &["gateway"],
    &["testkit"],
    &["doors"],
    &["xtask"],
];

/// Crates that some floors must not see although they lie below.
const HIDDEN: &[(&[&str], &[&str])] = &[
    // A dialect speaks to the verbs, never to what lies under them.
    (&["native", "openid", "flashlex", "lightelligence", "open-iot", "flotas-control", "flash-payments"], &["store", "journal"]),
    // The broker knows bytes, topics and sessions; its host tells it who is who.
    (&["mqtt"], &["store", "identity", "notify", "things", "rules", "edge"]),
];

/// `deny.toml`, as far as it is read here.
#[derive(Debug, Deserialize)]
pub struct Deny {
    /// Which crates are banned, or kept to some.
    pub bans: Bans,
    /// Which licences are allowed.
    pub licenses: Licenses,
}

/// The table `[bans]`.
#[derive(Debug, Deserialize)]
pub struct Bans {
    /// One entry a crate.
    pub deny: Vec<Ban>,
}

/// One banned crate.
#[derive(Debug, Deserialize)]
pub struct Ban {
    /// Its name.
    #[serde(rename = "crate")]
    pub name: String,
    /// The only crates that may depend on it; none: nobody may.
    #[serde(default)]
    pub wrappers: Vec<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// The table `[licenses]`.
#[derive(Debug, Deserialize)]
pub struct Licenses {
    /// SPDX identifiers.
    pub allow: Vec<String>,
}

impl Deny {
    /// Reads the file.
    pub fn read() -> Result<Self> {
        let file = crate::root().join("deny.toml");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not in cargo-deny's form", file.display()))
    }
}

fn floor(name: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&name))
}

/// Complaints about dependencies between our own crates.
#[must_use]
pub fn inside(metadata: &Metadata) -> Vec<String> {
    let mut complaints = Vec::new();
    for edge in metadata.edges().filter(|e| e.of_the_house) {
        let Some(from) = floor(edge.from) else {
            complaints.push(format!("{} has no floor in the house: add it to ORDER in crates/xtask/src/walls.rs", edge.from));
            continue;
        };
        let Some(to) = floor(edge.to) else { continue };
        // testkit starts a whole gateway, and the gateway's own tests use testkit; cargo allows that circle for tests.
        if edge.only_for_tests && edge.to == "testkit" {
            continue;
        }
        if to >= from {
            complaints.push(format!(
                "{} may not use {}: it stands on the same floor or above. Move the shared part down, or pass it in from the gateway",
                edge.from, edge.to
            ));
        }
        if HIDDEN.iter().any(|(who, whom)| who.contains(&edge.from) && whom.contains(&edge.to)) {
            complaints.push(format!("{} may not use {}: ask things or identity for a verb instead", edge.from, edge.to));
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

/// Complaints about outside crates used by a crate that is not one of their wrappers.
#[must_use]
pub fn outside(metadata: &Metadata, deny: &Deny) -> Vec<String> {
    let mut complaints = Vec::new();
    // A test may make odd certificates or look into a database by itself; the product may not.
    for edge in metadata.edges().filter(|e| !e.only_for_tests) {
        for ban in deny.bans.deny.iter().filter(|b| b.name == edge.to && !b.wrappers.is_empty()) {
            if !ban.wrappers.iter().any(|w| w == edge.from) {
                let advice = if edge.of_the_house {
                    format!("use it through {} instead", ban.wrappers.first().map_or("its wrapper", String::as_str))
                } else {
                    "add it to the wrappers in deny.toml if that is what you want".to_owned()
                };
                complaints.push(format!("{} may not use {} ({}): {advice}", edge.from, edge.to, ban.reason));
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

/// Names of the packages that are really built, on any platform (the lock file also lists options that nobody switches on).
pub fn built() -> Result<BTreeSet<String>> {
    let tree = crate::cargo(&[
        "tree",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--locked",
    ])?;
    Ok(tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// Complaints about crates that must not be built at all.
#[must_use]
pub fn never(built: &BTreeSet<String>, deny: &Deny) -> Vec<String> {
    let banned = deny.bans.deny.iter().filter(|b| b.wrappers.is_empty() && built.contains(&b.name));
    banned
        .map(|ban| {
            format!(
                "{} is built ({}): run `cargo tree -i {} --target all` and set default-features = false on what brings it",
                ban.name, ban.reason, ban.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_crate_of_the_house_looks_over_a_wall() {
        assert_eq!(inside(&Metadata::read().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn outside_crates_are_used_only_by_their_wrappers() {
        assert_eq!(outside(&Metadata::read().unwrap(), &Deny::read().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn no_second_crypto_library_is_built() {
        let built = built().unwrap();
        assert!(built.contains("aws-lc-rs"), "the tree was read");
        assert_eq!(never(&built, &Deny::read().unwrap()), Vec::<String>::new());
    }

    /// The checks above would pass on an empty graph too; these see that a breach is found.
    #[test]
    fn breaches_are_found() {
        let edge = |from: &str, to: &str, kind: Option<&str>| {
            let packages = [from, to].map(|n| serde_json::json!({ "id": n, "name": n, "version": "1.0.0", "license": "MIT" }));
            let deps = serde_json::json!([{ "pkg": to, "dep_kinds": [{ "kind": kind }] }]);
            let nodes = serde_json::json!([{ "id": from, "deps": deps }, { "id": to, "deps": [] }]);
            let members: Vec<&str> = [from, to].into_iter().filter(|n| floor(n).is_some()).collect();
            serde_json::from_value::<Metadata>(
                serde_json::json!({ "packages": packages, "workspace_members": members, "resolve": { "nodes": nodes } }),
            )
            .unwrap()
        };
        let deny: Deny = toml::from_str(
            "[bans]\ndeny = [{ crate = \"sqlx\", wrappers = [\"store\"], reason = \"SQL\" }, { crate = \"ring\" }]\n[licenses]\nallow = [\"MIT\"]",
        )
        .unwrap();
        assert_eq!(inside(&edge("store", "identity", None)).len(), 1, "upwards");
        assert_eq!(inside(&edge("native", "flashlex", None)).len(), 1, "a dialect and another");
        assert_eq!(inside(&edge("flashlex", "journal", None)).len(), 1, "a dialect and the journal");
        assert_eq!(inside(&edge("mqtt", "things", None)).len(), 1, "the broker and the verbs");
        assert_eq!(inside(&edge("gateway", "testkit", None)).len(), 1, "testkit in the product");
        assert_eq!(inside(&edge("gateway", "testkit", Some("dev"))).len(), 0, "testkit in the product's tests");
        assert_eq!(inside(&edge("things", "identity", None)).len(), 0, "downwards");
        assert_eq!(outside(&edge("things", "sqlx", None), &deny).len(), 1);
        assert_eq!(outside(&edge("store", "sqlx", None), &deny).len(), 0);
        assert_eq!(outside(&edge("things", "sqlx", Some("dev")), &deny).len(), 0, "in a test");
        assert_eq!(never(&BTreeSet::from(["ring".to_owned()]), &deny).len(), 1);
    }
}
