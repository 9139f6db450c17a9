//! Plans: what a tenant may use in one period, and for how long its messages stay.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A plan's name (contracts/flashlex.md 2.8; `UNLIMITED` is ours, for those who own the machine).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PlanName {
    /// 1 thing, 1,000 messages each way a month, one day.
    Amber,
    /// 5 things, 20,000 messages each way a month, 30 days.
    Sapphire,
    /// 25 things, 100,000 messages each way a month, 120 days.
    Amethyst,
    /// No limit but the disk; messages stay 365 days.
    Unlimited,
}

/// What a plan allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The plan's name.
    pub name: PlanName,
    /// Things that may exist at a time.
    pub things: u64,
    /// Inbound messages in a period.
    pub collected: u64,
    /// Outbound messages in a period.
    pub published: u64,
    /// How long messages stay.
    pub retention: Duration,
}

const DAY: u64 = 86_400;

impl PlanName {
    /// Every plan, smallest first.
    pub const ALL: &'static [PlanName] = &[PlanName::Amber, PlanName::Sapphire, PlanName::Amethyst, PlanName::Unlimited];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PlanName::Amber => "AMBER",
            PlanName::Sapphire => "SAPPHIRE",
            PlanName::Amethyst => "AMETHYST",
            PlanName::Unlimited => "UNLIMITED",
        }
    }

    /// What it allows.
    #[must_use]
    pub fn plan(self) -> Plan {
        let (things, messages, days) = match self {
            PlanName::Amber => (1, 1_000, 1),
            PlanName::Sapphire => (5, 20_000, 30),
            PlanName::Amethyst => (25, 100_000, 120),
            // 2^53-1: the largest count every JSON client reads exactly.
            PlanName::Unlimited => (9_007_199_254_740_991, 9_007_199_254_740_991, 365),
        };
        Plan { name: self, things, collected: messages, published: messages, retention: Duration::from_secs(days * DAY) }
    }
}

impl fmt::Display for PlanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PlanName {
    type Err = crate::Error;
    fn from_str(text: &str) -> Result<Self, crate::Error> {
        Self::ALL
            .iter()
            .copied()
            .find(|p| p.name() == text)
            .ok_or_else(|| crate::Error::invalid("plan", format!("'{text}' is not one of AMBER, SAPPHIRE, AMETHYST, UNLIMITED")))
    }
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaKind {
    /// Things that exist.
    Things,
    /// Inbound messages this period.
    Collected,
    /// Outbound messages this period.
    Published,
}

impl QuotaKind {
    /// In words, for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            QuotaKind::Things => "things",
            QuotaKind::Collected => "collected messages",
            QuotaKind::Published => "published messages",
        }
    }
}

/// A plan's limit beside what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What is counted.
    pub kind: QuotaKind,
    /// How many the plan allows.
    pub allowed: u64,
    /// How many there are.
    pub actual: u64,
}

impl Quota {
    /// May there be one more?
    #[must_use]
    pub fn allows(&self) -> bool {
        self.actual < self.allowed
    }
}
