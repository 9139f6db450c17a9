//! The verbs of rules.

use model::{
    Caller, Denial, Error, Listed, Page, PageRequest, Permission, Result, Rule, RuleDraft, RuleExecution, RuleId, Slice, Timestamp,
};

use crate::{Changed, MAX_RULES, Rules, cursor};

impl Rules {
    /// Adds a rule. Permission: `rule:write`. Errors: Invalid, naming the field; Forbidden beyond 100,000 rules of the tenant.
    pub async fn create_rule(&self, caller: &Caller, draft: RuleDraft) -> Result<Rule> {
        let now = self.now();
        let rule = Rule { id: self.inner.identity.clock().new_id(), tenant: caller.tenant, created: now, updated: now, draft };
        let done = self.create(caller, &rule).await;
        self.audit(caller, "rule.create", &rule.id.to_string(), &done);
        done?;
        Ok(rule)
    }

    async fn create(&self, caller: &Caller, rule: &Rule) -> Result<()> {
        caller.require(Permission::RuleWrite)?;
        rule.draft.check()?;
        let mut tx = self.inner.db.begin().await?;
        let version = tx.bump_rules(caller.tenant, 1, 0).await?;
        if version.rules > MAX_RULES {
            return Err(Error::Forbidden(Denial::Rule("the tenant has 100,000 rules already")));
        }
        tx.insert_rule(rule).await?;
        tx.commit().await?;
        self.changed(caller.tenant, version.version, Changed::Rule(rule.id));
        Ok(())
    }

    /// One rule. Permission: `rule:read`.
    pub async fn rule(&self, caller: &Caller, id: RuleId) -> Result<Rule> {
        caller.require(Permission::RuleRead)?;
        self.inner.db.read().await?.rule(caller.tenant, id).await?.ok_or(Error::not_found("rule"))
    }

    /// Rules in the order they were made. Permission: `rule:read`.
    pub async fn rules(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Rule>> {
        caller.require(Permission::RuleRead)?;
        let rows = self.inner.db.read().await?.rules(caller.tenant, cursor(page)?, page).await?;
        Ok(Page::cut(rows, page.limit, |rule| rule.id.to_string()))
    }

    /// Rules by name; only (in)active ones, or those about a series, if told so. Permission: `rule:read`.
    pub async fn rules_by_name(&self, caller: &Caller, active: Option<bool>, path: Option<&str>, slice: Slice) -> Result<Listed<Rule>> {
        caller.require(Permission::RuleRead)?;
        let path = path.map(|path| if path.contains('\0') { "" } else { path });
        Ok(self.inner.db.read().await?.rules_by_name(caller.tenant, active, path, slice).await?)
    }

    /// Changes what a rule says. Where its condition, series or things change, it starts afresh: what it found before is forgotten.
    /// Permission: `rule:write`. Errors: NotFound(rule), Invalid.
    pub async fn update_rule(
        &self,
        caller: &Caller,
        id: RuleId,
        change: impl FnOnce(RuleDraft) -> Result<RuleDraft> + Send,
    ) -> Result<Rule> {
        let done = self.update(caller, id, change).await;
        self.audit(caller, "rule.update", &id.to_string(), &done);
        done
    }

    async fn update(&self, caller: &Caller, id: RuleId, change: impl FnOnce(RuleDraft) -> Result<RuleDraft> + Send) -> Result<Rule> {
        caller.require(Permission::RuleWrite)?;
        let mut tx = self.inner.db.begin().await?;
        // First, so that two changes of one rule come one after the other.
        let version = tx.bump_rules(caller.tenant, 0, 0).await?;
        let old = tx.rule(caller.tenant, id).await?.ok_or(Error::not_found("rule"))?;
        let draft = change(old.draft.clone())?;
        draft.check()?;
        let restart = restarts(&old.draft, &draft);
        let rule = Rule { draft, updated: self.now(), ..old };
        if !tx.update_rule(&rule, restart).await? {
            return Err(Error::not_found("rule"));
        }
        tx.commit().await?;
        self.changed(caller.tenant, version.version, Changed::Rule(id));
        Ok(rule)
    }

    /// Removes a rule; its open alerts are cleared. Permission: `rule:write`. Error: NotFound(rule).
    pub async fn delete_rule(&self, caller: &Caller, id: RuleId) -> Result<()> {
        let done = async {
            caller.require(Permission::RuleWrite)?;
            let mut tx = self.inner.db.begin().await?;
            let version = tx.bump_rules(caller.tenant, -1, 0).await?;
            if !tx.delete_rule(caller.tenant, id).await? {
                return Err(Error::not_found("rule"));
            }
            tx.commit().await?;
            self.changed(caller.tenant, version.version, Changed::Rule(id));
            Ok(())
        }
        .await;
        self.audit(caller, "rule.delete", &id.to_string(), &done);
        done
    }

    /// Removes every rule of the tenant; how many. Permission: `rule:write`.
    pub async fn delete_rules(&self, caller: &Caller) -> Result<u64> {
        let done = async {
            caller.require(Permission::RuleWrite)?;
            let mut tx = self.inner.db.begin().await?;
            tx.bump_rules(caller.tenant, 0, 0).await?;
            let gone = tx.delete_rules(caller.tenant).await?;
            let version = tx.bump_rules(caller.tenant, 0_i64.saturating_sub_unsigned(gone), 0).await?;
            tx.commit().await?;
            self.changed(caller.tenant, version.version, Changed::Everything);
            Ok(gone)
        }
        .await;
        self.audit(caller, "rule.delete_all", &caller.tenant.to_string(), &done);
        done
    }

    /// What a rule raised between two moments, both included, newest first. Kept for 30 days. Permission: `rule:read`.
    /// Errors: NotFound(rule), Invalid where the end lies before the start.
    pub async fn rule_executions(
        &self,
        caller: &Caller,
        id: RuleId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        slice: Slice,
    ) -> Result<Listed<RuleExecution>> {
        self.rule(caller, id).await?;
        let (from, to) = (from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX));
        if to < from {
            return Err(Error::invalid("to", "lies before the start"));
        }
        Ok(self.inner.db.read().await?.rule_executions(id, from, to, slice).await?)
    }
}

/// Does the changed rule look for something else?
pub(crate) fn restarts(old: &RuleDraft, new: &RuleDraft) -> bool {
    old.condition != new.condition || old.each != new.each || old.selector != new.selector || !new.active
}
