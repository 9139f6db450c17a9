//! Rules: what is to be looked out for, on which things, and what it raises. Alerts: what a rule found and nobody has dealt with yet.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AlertId, Error, EventId, Result, RuleId, Selector, TenantId, ThingId};

/// Something to look out for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// Its tenant.
    pub tenant: TenantId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// What it says.
    pub draft: RuleDraft,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDraft {
    /// Its name, 1 to 256 characters; need not be unique.
    pub name: String,
    /// Is it watched at all?
    #[serde(default = "yes")]
    pub active: bool,
    /// The series for each of which the rule runs by itself; a comparison without a path means the one at hand. Empty: it runs once for
    /// each thing, and every comparison names its path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<String>,
    /// What must be so.
    pub condition: Condition,
    /// Which things are watched.
    #[serde(default, skip_serializing_if = "Selector::is_empty")]
    pub selector: Selector,
    /// The event that is raised when the condition is met.
    pub event: String,
    /// The event that is raised when the condition is met no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_event: Option<String>,
    /// Seconds between two raisings for one thing (and series), 1 to 86,400.
    #[serde(default = "one")]
    pub interval: u32,
    /// Raised again and again while the condition holds; otherwise it must first be left.
    #[serde(default = "yes")]
    pub repeating: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

/// What must be so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Every one.
    All(Vec<Condition>),
    /// At least one.
    Any(Vec<Condition>),
    /// It is not so.
    Not(Box<Condition>),
    /// A series compares so; not met while nothing is known of it.
    Compare(Comparison),
    /// This has just happened; met for that moment only.
    Event(Happening),
}

/// The event a condition waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// Its name.
    pub name: String,
}

/// A series, or what becomes of it over a window, against a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The series (`$.attributes.temperature`); none: the one of the rule's `each` at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is compared instead of the last value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How.
    pub comparator: Comparator,
    /// Against what: a number, a text or a truth value.
    pub constant: Value,
}

/// The last while of a series, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How the numbers become one.
    pub aggregate: Aggregate,
    /// How long, 1 to 86,400 seconds.
    pub seconds: u32,
}

/// How the numbers of a window become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their arithmetic mean.
    Mean,
    /// Their sum.
    Sum,
    /// How many.
    Count,
    /// The last less the first.
    Diff,
    /// The oldest.
    First,
    /// The newest.
    Last,
}

/// How two values compare. Texts and truth values are equal or not, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparator {
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal.
    Eq,
    /// Not equal; of another kind is not equal.
    Neq,
}

/// One raising of a rule's event or exit event.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleExecution {
    /// The rule.
    pub rule: RuleId,
    /// The thing.
    pub thing: ThingId,
    /// The series, where the rule runs for each by itself; else empty.
    pub path: String,
    /// The event that was raised.
    pub event: String,
    /// The raised event's id.
    pub event_id: EventId,
    /// The value that decided.
    pub value: Value,
    /// When.
    pub at: Timestamp,
}

/// Something a rule found. One at a time is open for a rule, thing and series; raised again it counts on.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its id, sorted by time.
    pub id: AlertId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The rule that found it.
    pub rule: RuleId,
    /// The rule's name at that time.
    pub name: String,
    /// The thing.
    pub thing: ThingId,
    /// The series, where the rule runs for each by itself; else empty.
    pub path: String,
    /// Who deals with it.
    pub state: AlertState,
    /// The value that decided, the last time.
    pub value: Value,
    /// How often it was raised since it opened.
    pub count: u64,
    /// When it opened.
    pub raised: Timestamp,
    /// When it was last raised.
    pub last: Timestamp,
    /// When it was acknowledged, and by whom (`user:…`).
    pub acknowledged: Option<(Timestamp, String)>,
    /// When it was cleared, and by whom; `rule` where the condition was left.
    pub cleared: Option<(Timestamp, String)>,
}

/// Who deals with an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// Nobody yet.
    Raised,
    /// Somebody has seen it.
    Acknowledged,
    /// It is over.
    Cleared,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Raised, Self::Acknowledged, Self::Cleared];

    /// The state's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Acknowledged => "acknowledged",
            Self::Cleared => "cleared",
        }
    }
}

impl Condition {
    /// The condition and all within it, the outermost first.
    pub fn walk(&self, visit: &mut impl FnMut(&Condition, usize)) {
        self.walk_at(1, visit);
    }

    fn walk_at(&self, depth: usize, visit: &mut impl FnMut(&Condition, usize)) {
        visit(self, depth);
        match self {
            Self::All(list) | Self::Any(list) => list.iter().for_each(|one| one.walk_at(depth + 1, visit)),
            Self::Not(one) => one.walk_at(depth + 1, visit),
            Self::Compare(_) | Self::Event(_) => {}
        }
    }
}

impl RuleDraft {
    /// The deepest condition.
    pub const MAX_DEPTH: usize = 16;
    /// The most comparisons, events and joins in one condition.
    pub const MAX_NODES: usize = 256;
    /// The most series a rule runs for by itself.
    pub const MAX_EACH: usize = 100;
    /// The longest window and interval, in seconds.
    pub const MAX_SECONDS: u32 = 86_400;
    /// The longest path, in bytes.
    pub const MAX_PATH: usize = 512;

    /// Does the condition wait for an event somewhere? Then it is met for moments only.
    #[must_use]
    pub fn momentary(&self) -> bool {
        let mut found = false;
        self.condition.walk(&mut |one, _| found |= matches!(one, Condition::Event(_)));
        found
    }

    /// Checks everything that can be checked of a rule by itself. Error: Invalid, naming the field.
    pub fn check(&self) -> Result<()> {
        let characters = self.name.chars().count();
        if characters == 0 || characters > 256 || self.name.chars().any(char::is_control) {
            return Err(Error::invalid("name", "must be 1 to 256 characters, none of them a control character"));
        }
        check_event("event", &self.event)?;
        if let Some(event) = &self.exit_event {
            check_event("exit_event", event)?;
        }
        if self.interval == 0 || self.interval > Self::MAX_SECONDS {
            return Err(Error::invalid("interval", format!("must be 1 to {} seconds", Self::MAX_SECONDS)));
        }
        if self.each.len() > Self::MAX_EACH {
            return Err(Error::invalid("each", format!("must be at most {} paths", Self::MAX_EACH)));
        }
        for (at, path) in self.each.iter().enumerate() {
            check_path("each", path)?;
            if self.each.iter().take(at).any(|earlier| earlier == path) {
                return Err(Error::invalid("each", format!("names {path} twice")));
            }
        }
        self.selector.check()?;
        self.check_condition()
    }

    fn check_condition(&self) -> Result<()> {
        let (mut nodes, mut deepest) = (0_usize, 0);
        let (mut wrong, mut open) = (None, false);
        self.condition.walk(&mut |one, depth| {
            nodes += 1;
            deepest = deepest.max(depth);
            let checked = match one {
                Condition::All(list) | Condition::Any(list) if list.is_empty() => {
                    Err(Error::invalid("condition", "'all' and 'any' need at least one condition"))
                }
                Condition::All(_) | Condition::Any(_) | Condition::Not(_) => Ok(()),
                Condition::Event(event) => check_event("condition", &event.name),
                Condition::Compare(comparison) => {
                    open |= comparison.path.is_none();
                    comparison.check()
                }
            };
            if wrong.is_none() {
                wrong = checked.err();
            }
        });
        if deepest > Self::MAX_DEPTH {
            return Err(Error::invalid("condition", format!("is {deepest} levels deep; at most {} are allowed", Self::MAX_DEPTH)));
        }
        if nodes > Self::MAX_NODES {
            return Err(Error::invalid("condition", format!("has {nodes} parts; at most {} are allowed", Self::MAX_NODES)));
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        match (open, self.each.is_empty()) {
            (true, true) => return Err(Error::invalid("condition", "has a comparison without a path, but 'each' names none")),
            (false, false) => return Err(Error::invalid("each", "names paths, but every comparison has a path of its own")),
            _ => {}
        }
        if self.exit_event.is_some() && self.momentary() {
            return Err(Error::invalid("exit_event", "needs a condition that lasts; one that waits for an event is met for a moment only"));
        }
        Ok(())
    }
}

impl Comparison {
    fn check(&self) -> Result<()> {
        if let Some(path) = &self.path {
            check_path("path", path)?;
        }
        if let Some(window) = self.window
            && (window.seconds == 0 || window.seconds > RuleDraft::MAX_SECONDS)
        {
            return Err(Error::invalid("window", format!("must be 1 to {} seconds", RuleDraft::MAX_SECONDS)));
        }
        match &self.constant {
            Value::Number(_) => Ok(()),
            Value::Bool(_) | Value::String(_) if self.window.is_some() => {
                Err(Error::invalid("constant", "must be a number where values of a window are aggregated"))
            }
            Value::String(text) if text.len() > 1_024 => Err(Error::invalid("constant", "must be at most 1,024 bytes")),
            Value::Bool(_) | Value::String(_) if matches!(self.comparator, Comparator::Eq | Comparator::Neq) => Ok(()),
            Value::Bool(_) | Value::String(_) => Err(Error::invalid("comparator", "must be eq or neq where the constant is not a number")),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(Error::invalid("constant", "must be a number, a text or a truth value"))
            }
        }
    }
}

/// An event's name: 1 to 255 letters, digits or underscores.
pub fn check_event(field: &'static str, name: &str) -> Result<()> {
    let good = !name.is_empty() && name.len() <= 255 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good { Ok(()) } else { Err(Error::invalid(field, "must be an event's name: 1 to 255 letters, digits or underscores")) }
}

/// A series' path: `$.attributes.` or `$.configuration.` and what follows.
fn check_path(field: &'static str, path: &str) -> Result<()> {
    let rest = path.strip_prefix("$.attributes.").or_else(|| path.strip_prefix("$.configuration."));
    let good = rest.is_some_and(|rest| !rest.is_empty() && path.len() <= RuleDraft::MAX_PATH && !path.chars().any(char::is_control));
    if good {
        Ok(())
    } else {
        let what = format!("must begin with $.attributes. or $.configuration. and be at most {} bytes", RuleDraft::MAX_PATH);
        Err(Error::invalid(field, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> RuleDraft {
        let text =
            r#"{"name":"hot","condition":{"compare":{"path":"$.attributes.t","comparator":"gt","constant":30}},"event":"overheated"}"#;
        serde_json::from_str(text).unwrap()
    }

    fn reason(draft: &RuleDraft) -> String {
        draft.check().unwrap_err().to_string()
    }

    #[test]
    fn a_rule_as_json() {
        let rule = draft();
        assert!(rule.check().is_ok() && rule.active && rule.repeating && rule.interval == 1 && !rule.momentary());
        let again: RuleDraft = serde_json::from_str(&serde_json::to_string(&rule).unwrap()).unwrap();
        assert_eq!(again, rule);
        assert!(serde_json::from_str::<RuleDraft>(r#"{"name":"x","condition":{"xor":[]},"event":"e"}"#).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Spoil = fn(&mut RuleDraft);
        let cases: [(&str, Spoil); 10] = [
            ("name", |r| r.name = String::new()),
            ("event", |r| r.event = "a b".into()),
            ("interval", |r| r.interval = 86_401),
            ("each", |r| r.each = vec!["$.attributes.t".into()]),
            ("condition", |r| r.condition = Condition::All(Vec::new())),
            ("condition", |r| {
                for _ in 0..RuleDraft::MAX_DEPTH {
                    r.condition = Condition::Not(Box::new(r.condition.clone()));
                }
            }),
            ("condition", |r| r.condition = Condition::Any(vec![r.condition.clone(); RuleDraft::MAX_NODES])),
            ("exit_event", |r| {
                r.condition = Condition::Event(Happening { name: "alarm".into() });
                r.exit_event = Some("over".into());
            }),
            ("constant", |r| set(r, |c| c.constant = Value::Null)),
            ("comparator", |r| set(r, |c| c.constant = Value::Bool(true))),
        ];
        for (field, spoil) in cases {
            let mut rule = draft();
            spoil(&mut rule);
            assert!(reason(&rule).starts_with(&format!("{field}:")), "{field}: {}", reason(&rule));
        }
        let mut open = draft();
        set(&mut open, |c| c.path = None);
        assert!(reason(&open).contains("without a path"));
        open.each = vec!["$.attributes.a".into(), "$.configuration.b".into()];
        assert!(open.check().is_ok());
        open.each.push("$.attributes.a".into());
        assert!(reason(&open).contains("twice"));
    }

    fn set(rule: &mut RuleDraft, change: impl Fn(&mut Comparison)) {
        if let Condition::Compare(comparison) = &mut rule.condition {
            change(comparison);
        }
    }
}
