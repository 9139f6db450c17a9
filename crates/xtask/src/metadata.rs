//! The part of `cargo metadata` that the checks read.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;

/// Every package of the lock file, and who depends on whom.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Packages, the workspace's own and others'.
    pub packages: Vec<Package>,
    /// Package ids of the workspace's members.
    pub workspace_members: Vec<String>,
    /// The resolved graph.
    pub resolve: Resolve,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Cargo's own id for it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX licence expression.
    pub license: Option<String>,
}

/// The resolved graph.
#[derive(Debug, Deserialize)]
pub struct Resolve {
    /// One node a package.
    pub nodes: Vec<Node>,
}

/// A package's direct dependencies.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// The package.
    pub id: String,
    /// What it depends on.
    pub deps: Vec<Dep>,
}

/// One edge of the graph.
#[derive(Debug, Deserialize)]
pub struct Dep {
    /// The package depended on.
    pub pkg: String,
    /// As what.
    pub dep_kinds: Vec<Kind>,
}

/// As what a package is depended on.
#[derive(Debug, Deserialize)]
pub struct Kind {
    /// `None` is a normal dependency; else `dev` or `build`.
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    pub fn read() -> Result<Self> {
        Ok(serde_json::from_str(&crate::cargo(&["metadata", "--format-version", "1", "--locked"])?)?)
    }

    /// Names by package id.
    #[must_use]
    pub fn names(&self) -> HashMap<&str, &str> {
        self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect()
    }

    /// `(who, on whom, as what)` for every direct dependency.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        let names = self.names();
        let mut edges = Vec::new();
        for node in &self.resolve.nodes {
            for dep in &node.deps {
                let (Some(from), Some(to)) = (names.get(node.id.as_str()), names.get(dep.pkg.as_str())) else { continue };
                let only_for_tests = dep.dep_kinds.iter().all(|k| k.kind.as_deref() == Some("dev"));
                edges.push(Edge { from, to, of_the_house: self.workspace_members.contains(&node.id), only_for_tests });
            }
        }
        edges.into_iter()
    }
}

/// One direct dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge<'a> {
    /// Who depends.
    pub from: &'a str,
    /// On whom.
    pub to: &'a str,
    /// Is `from` one of ours?
    pub of_the_house: bool,
    /// A dev-dependency and nothing else.
    pub only_for_tests: bool,
}
