//! The verbs of alerts.

use model::{Alert, AlertId, AlertState, Caller, Error, Page, PageRequest, Permission, Result, RuleId, ThingId};
use store::AlertSelection;

use crate::{Rules, cursor};

/// Which alerts; what is none does not choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// In this state.
    pub state: Option<AlertState>,
    /// Of this rule.
    pub rule: Option<RuleId>,
    /// Of this thing.
    pub thing: Option<ThingId>,
}

impl Rules {
    /// Alerts, newest first. Cleared ones are kept for 90 days. Permission: `rule:read`.
    pub async fn alerts(&self, caller: &Caller, filter: AlertFilter, page: &PageRequest) -> Result<Page<Alert>> {
        caller.require(Permission::RuleRead)?;
        let AlertFilter { state, rule, thing } = filter;
        let which = AlertSelection { state, rule, thing };
        let rows = self.inner.db.read().await?.alerts(caller.tenant, which, cursor(page)?, page).await?;
        Ok(Page::cut(rows, page.limit, |alert| alert.id.to_string()))
    }

    /// One alert. Permission: `rule:read`.
    pub async fn alert(&self, caller: &Caller, id: AlertId) -> Result<Alert> {
        caller.require(Permission::RuleRead)?;
        self.inner.db.read().await?.alert(caller.tenant, id).await?.ok_or(Error::not_found("alert"))
    }

    /// Somebody has seen the alert. Permission: `rule:write`. Errors: NotFound(alert); Conflict where it is over.
    pub async fn acknowledge_alert(&self, caller: &Caller, id: AlertId) -> Result<Alert> {
        let done = self.settle(caller, id, AlertState::Acknowledged).await;
        self.audit(caller, "alert.acknowledge", &id.to_string(), &done);
        done
    }

    /// Somebody says it is over; raised again, a new alert opens. Permission: `rule:write`. Error: NotFound(alert).
    pub async fn clear_alert(&self, caller: &Caller, id: AlertId) -> Result<Alert> {
        let done = self.settle(caller, id, AlertState::Cleared).await;
        self.audit(caller, "alert.clear", &id.to_string(), &done);
        done
    }

    async fn settle(&self, caller: &Caller, id: AlertId, to: AlertState) -> Result<Alert> {
        caller.require(Permission::RuleWrite)?;
        let (now, by) = (self.now(), caller.principal.label());
        let mut tx = self.inner.db.begin().await?;
        // Done before is done: a second try of the same answers the same.
        match to {
            AlertState::Acknowledged => tx.acknowledge_alert(caller.tenant, id, now, &by).await?,
            AlertState::Cleared | AlertState::Raised => tx.clear_alert(caller.tenant, id, now, &by).await?,
        };
        let alert = tx.alert(caller.tenant, id).await?.ok_or(Error::not_found("alert"))?;
        if to == AlertState::Acknowledged && alert.state == AlertState::Cleared {
            return Err(Error::conflict("alert", "is over; there is nothing to acknowledge"));
        }
        tx.commit().await?;
        Ok(alert)
    }
}
