//! Tenants and their audit trail.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AuditId, PlanName, TenantId};

/// The unit of isolation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, unique on this gateway.
    pub name: String,
    /// Flash Payments affiliation that leads here (`FP_AUS`, `FP_LUX`).
    pub affiliation: Option<String>,
    /// Its plan.
    pub plan: PlanName,
    /// When the present plan began; periods are months counted from here.
    pub plan_since: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its id, sorted by time.
    pub id: AuditId,
    /// The tenant it concerns; absent where none could be told (a refused sign-in of nobody we know).
    pub tenant: Option<TenantId>,
    /// When.
    pub at: Timestamp,
    /// Who: `user:…`, `client:…`, `thing:…`, `operator`, or what a refused caller claimed to be.
    pub actor: String,
    /// What: `token.issued`, `sign_in.refused`, `thing.provisioned`, …
    pub action: String,
    /// On what, `noun:id`.
    pub target: Option<String>,
    /// Did it happen (`true`) or was it refused?
    pub allowed: bool,
    /// Why, or with what; never a secret.
    pub detail: Option<String>,
    /// From where.
    pub address: Option<String>,
}
