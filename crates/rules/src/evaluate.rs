//! Evaluation: facts in, outcomes out. No I/O, no clock: time is what the facts say.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{Comparator, Comparison, Condition, Event, Fact, FactKind, MessageId, RuleId, Subject, TenantId, ThingId, Value};

use crate::index::{Compiled, Index};
use crate::state::{OfThing, State};
use crate::window::SECOND;

/// Something a rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which of the facts led to it.
    pub fact: usize,
    /// The rule.
    pub rule: RuleId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// The series, where the rule runs for each by itself; else empty.
    pub path: String,
    /// What is found.
    pub kind: OutcomeKind,
    /// The value that decided.
    pub value: Value,
    /// When.
    pub at: Timestamp,
    /// The message of the fact.
    pub message: MessageId,
}

/// What a rule found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// The condition is met, and it is time to say so.
    Raised,
    /// The condition is met no more, after that was said.
    Left,
}

/// Looks things up for selectors.
pub trait Subjects {
    /// The thing as selectors see it; none when it is not there.
    fn subject(&self, thing: ThingId) -> Option<Subject<'_>>;
}

impl Subjects for HashMap<ThingId, things::Subject> {
    fn subject(&self, thing: ThingId) -> Option<Subject<'_>> {
        self.get(&thing).map(things::Subject::view)
    }
}

/// Takes in the facts one after the other and says what the rules that listen to them find.
pub fn evaluate(state: &mut State, index: &Index, subjects: &impl Subjects, facts: &[Fact]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (number, fact) in facts.iter().enumerate() {
        let at = fact.at.as_microsecond();
        match &fact.kind {
            FactKind::Value { path, value } => {
                let Some(keep) = index.window(fact.tenant, path) else { continue };
                let Some(subject) = subjects.subject(fact.thing) else { continue };
                let of = state.take(fact.thing, path, at, value, keep);
                // A late value changes windows, not the present.
                let now = of.series(path).map_or(at, |series| series.newest);
                for rule in index.on_path(fact.tenant, path, &subject) {
                    let moment = Moment { number, fact, now, path: Some(path), event: None };
                    moment.visit(of, &rule, &mut outcomes);
                }
            }
            FactKind::Event(event) => {
                let Some(subject) = subjects.subject(fact.thing) else { continue };
                let rules = index.on_event(fact.tenant, &event.name, &subject);
                if rules.is_empty() {
                    continue;
                }
                let of = state.of(fact.thing);
                for rule in rules {
                    let moment = Moment { number, fact, now: at, path: None, event: Some(event) };
                    moment.visit(of, &rule, &mut outcomes);
                }
            }
        }
    }
    outcomes
}

/// A fact, at the time that counts.
struct Moment<'a> {
    number: usize,
    fact: &'a Fact,
    now: i64,
    path: Option<&'a str>,
    event: Option<&'a Event>,
}

impl Moment<'_> {
    /// Every instance of the rule that the fact concerns.
    fn visit(&self, of: &mut OfThing, rule: &Compiled, outcomes: &mut Vec<Outcome>) {
        let each = &rule.rule.draft.each;
        if each.is_empty() {
            self.judge(of, rule, "", outcomes);
            return;
        }
        let all = self.path.is_none_or(|path| rule.fixed.iter().any(|fixed| fixed == path));
        for path in each.iter().filter(|path| all || self.path == Some(path.as_str())) {
            self.judge(of, rule, path, outcomes);
        }
    }

    fn judge(&self, of: &mut OfThing, rule: &Compiled, instance: &str, outcomes: &mut Vec<Outcome>) {
        let draft = &rule.rule.draft;
        let met = self.met(of, &draft.condition, instance) == Some(true);
        let before = of.standing(rule, instance);
        let mut after = before;
        let kind = if met {
            let rested = before.fired.is_none_or(|fired| self.now.saturating_sub(fired) >= i64::from(draft.interval) * SECOND);
            if !rested || (before.raised && !draft.repeating) {
                return;
            }
            after.fired = Some(self.now);
            after.raised = !rule.momentary;
            OutcomeKind::Raised
        } else if before.raised {
            after.raised = false;
            OutcomeKind::Left
        } else {
            return;
        };
        *of.standing_mut(rule.rule.id, instance) = after;
        outcomes.push(Outcome {
            fact: self.number,
            rule: rule.rule.id,
            tenant: self.fact.tenant,
            thing: self.fact.thing,
            path: instance.to_owned(),
            kind,
            value: self.decisive(of, &draft.condition, instance),
            at: Timestamp::from_microsecond(self.now).unwrap_or(self.fact.at),
            message: self.fact.message,
        });
    }

    /// Is it so? None: not known. What is not known stays so under `not`, and only what is known decides `all` and `any`.
    fn met(&self, of: &OfThing, condition: &Condition, instance: &str) -> Option<bool> {
        match condition {
            Condition::All(list) => join(list.iter().map(|one| self.met(of, one, instance)), false),
            Condition::Any(list) => join(list.iter().map(|one| self.met(of, one, instance)), true),
            Condition::Not(one) => self.met(of, one, instance).map(|met| !met),
            Condition::Event(wanted) => Some(self.event.is_some_and(|event| event.name == wanted.name)),
            Condition::Compare(comparison) => compare(&self.value(of, comparison, instance)?, comparison),
        }
    }

    /// What a comparison looks at.
    fn value(&self, of: &OfThing, comparison: &Comparison, instance: &str) -> Option<Value> {
        let series = of.series(comparison.path.as_deref().unwrap_or(instance))?;
        match comparison.window {
            Some(window) => series.aggregate(window, self.now).map(Value::from),
            None => Some(series.last.clone()),
        }
    }

    /// The value that is told with the outcome: what the first comparison of the fact's own series looked at, or what the event said.
    fn decisive(&self, of: &OfThing, condition: &Condition, instance: &str) -> Value {
        let mut found = None;
        condition.walk(&mut |one, _| {
            if let Condition::Compare(comparison) = one
                && found.is_none()
                && self.path == Some(comparison.path.as_deref().unwrap_or(instance))
            {
                found = self.value(of, comparison, instance);
            }
        });
        found.unwrap_or_else(|| match &self.fact.kind {
            FactKind::Value { value, .. } => value.clone(),
            FactKind::Event(event) => event.value.clone(),
        })
    }
}

/// `decides`: what one of the parts makes of the whole.
fn join(parts: impl Iterator<Item = Option<bool>>, decides: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match part {
            Some(met) if met == decides => return Some(decides),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decides)
}

/// None: the two have no order.
fn compare(value: &Value, comparison: &Comparison) -> Option<bool> {
    use Comparator as C;
    let constant = &comparison.constant;
    if let (Some(a), Some(b)) = (value.as_f64(), constant.as_f64()) {
        return Some(match comparison.comparator {
            C::Gt => a > b,
            C::Gte => a >= b,
            C::Lt => a < b,
            C::Lte => a <= b,
            C::Eq => a.total_cmp(&b).is_eq() || a == b,
            C::Neq => a != b,
        });
    }
    match comparison.comparator {
        C::Eq => Some(value == constant),
        C::Neq => Some(value != constant),
        C::Gt | C::Gte | C::Lt | C::Lte => None,
    }
}
