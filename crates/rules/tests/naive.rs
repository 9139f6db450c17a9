//! The evaluator against a naive one that remembers every fact and works everything out anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::HashMap;

use jiff::Timestamp;
use model::{
    Aggregate, Comparator, Comparison, Condition, Event, EventId, Fact, FactKind, Happening, MessageId, Rule, RuleDraft, RuleId, Selector,
    Subject, TenantId, ThingId, Value, Window,
};
use proptest::prelude::*;
use rules::{Index, Limits, OutcomeKind, State, Subjects, evaluate};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PATHS: [&str; 3] = ["$.attributes.a", "$.attributes.b", "$.configuration.c"];
const EVENTS: [&str; 2] = ["alarm", "calm"];

fn thing(n: u8) -> ThingId {
    ThingId(Uuid::from_u128(100 + u128::from(n)))
}

struct Fleet(Vec<Vec<String>>);

impl Fleet {
    fn new() -> Self {
        Self(vec![vec!["red".to_owned()], vec!["Red".to_owned(), "hot".to_owned()]])
    }
}

impl Subjects for Fleet {
    fn subject(&self, id: ThingId) -> Option<Subject<'_>> {
        let at = (0..2).find(|n| thing(*n) == id)?;
        Some(Subject {
            id,
            name: "x",
            tags: &self.0[usize::from(at)],
            thing_type: None,
            type_name: "",
            categories: &[],
            connected_by: None,
            aliases: &[],
        })
    }
}

fn constant() -> impl Strategy<Value = Value> {
    prop_oneof![4 => (-3..4_i64).prop_map(Value::from), 1 => Just(Value::from("x")), 1 => any::<bool>().prop_map(Value::from)]
}

fn comparison(each: bool) -> impl Strategy<Value = Condition> {
    let aggregates = vec![
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Mean,
        Aggregate::Sum,
        Aggregate::Count,
        Aggregate::Diff,
        Aggregate::First,
        Aggregate::Last,
    ];
    let comparators = vec![Comparator::Gt, Comparator::Gte, Comparator::Lt, Comparator::Lte, Comparator::Eq, Comparator::Neq];
    let window =
        proptest::option::of((prop::sample::select(aggregates), 1..8_u32).prop_map(|(aggregate, seconds)| Window { aggregate, seconds }));
    let path = (prop::sample::select(PATHS.to_vec()), any::<bool>());
    (path, window, prop::sample::select(comparators), constant()).prop_map(move |((path, open), window, comparator, constant)| {
        let path = (!(each && open)).then(|| path.to_owned());
        Condition::Compare(Comparison { path, window, comparator, constant })
    })
}

fn condition(each: bool) -> impl Strategy<Value = Condition> {
    let event = prop::sample::select(EVENTS.to_vec()).prop_map(|name| Condition::Event(Happening { name: name.to_owned() }));
    prop_oneof![6 => comparison(each), 1 => event].prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::Any),
            inner.prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    prop_oneof![
        Just(Selector::default()),
        Just(Selector { things: vec![thing(0), thing(0)], ..Selector::default() }),
        Just(Selector { tags: vec!["RED".into(), "red".into(), "hot".into()], ..Selector::default() }),
        Just(Selector { tags: vec!["h*".into()], ..Selector::default() }),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = any::<bool>().prop_flat_map(|each| {
        (condition(each), selector(), 1..5_u32, any::<bool>()).prop_map(move |(condition, selector, interval, repeating)| {
            let each = if each { PATHS.iter().take(2).map(|p| (*p).to_owned()).collect() } else { Vec::new() };
            let (name, event) = ("r".to_owned(), "raised".to_owned());
            RuleDraft { name, active: true, each, condition, selector, event, exit_event: None, interval, repeating }
        })
    });
    prop::collection::vec(rule, 1..6).prop_map(|drafts| {
        let made = |(n, draft): (usize, RuleDraft)| Rule {
            id: RuleId(Uuid::from_u128(n as u128)),
            tenant: TENANT,
            created: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
            draft,
        };
        drafts.into_iter().enumerate().map(made).collect()
    })
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let kind = prop_oneof![
        6 => (prop::sample::select(PATHS.to_vec()), constant()).prop_map(|(path, value)| FactKind::Value { path: path.to_owned(), value }),
        1 => prop::sample::select(EVENTS.to_vec()).prop_map(|name| {
            FactKind::Event(Event { id: EventId(Uuid::nil()), name: name.to_owned(), value: Value::Null, rule: None })
        }),
    ];
    // Time mostly goes on, now and then a value comes late.
    prop::collection::vec((0..2_u8, -2..4_i64, kind), 1..60).prop_map(|list| {
        let mut now = 1_000;
        list.into_iter()
            .map(|(n, step, kind)| {
                let at = now + step;
                now = now.max(at);
                let at = Timestamp::from_second(at).unwrap();
                Fact { tenant: TENANT, thing: thing(n), message: MessageId(Uuid::nil()), at, kind }
            })
            .collect()
    })
}

/// All that was ever said of one thing, and where its rules stand.
#[derive(Default)]
struct Naive {
    values: Vec<(String, i64, Value)>,
    standing: HashMap<(RuleId, String), (bool, Option<i64>)>,
}

impl Naive {
    fn newest(&self, path: &str) -> Option<(i64, Value)> {
        // Of equal times the one that came later.
        self.values
            .iter()
            .filter(|(p, ..)| p == path)
            .map(|(_, at, v)| (*at, v.clone()))
            .fold(None, |best: Option<(i64, Value)>, one| if best.as_ref().is_none_or(|b| one.0 >= b.0) { Some(one) } else { best })
    }

    fn window(&self, path: &str, window: Window, now: i64) -> Option<f64> {
        let mut points: Vec<(i64, f64)> =
            self.values.iter().filter(|(p, ..)| p == path).filter_map(|(_, at, v)| Some((*at, v.as_f64()?))).collect();
        let now = self.newest(path).map_or(now, |(newest, _)| now.max(newest));
        points.sort_by_key(|(at, _)| *at);
        points.retain(|(at, _)| *at > now - i64::from(window.seconds));
        let n: Vec<f64> = points.iter().map(|(_, n)| *n).collect();
        if window.aggregate == Aggregate::Count {
            return self.newest(path).map(|_| n.len() as f64);
        }
        let (first, last) = (*n.first()?, *n.last()?);
        Some(match window.aggregate {
            Aggregate::Min => n.iter().copied().fold(f64::INFINITY, f64::min),
            Aggregate::Max => n.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Aggregate::Sum | Aggregate::Count => n.iter().sum(),
            Aggregate::Mean => n.iter().sum::<f64>() / n.len() as f64,
            Aggregate::First => first,
            Aggregate::Last => last,
            Aggregate::Diff => last - first,
        })
    }

    fn met(&self, condition: &Condition, each: &str, event: Option<&str>, now: i64) -> Option<bool> {
        match condition {
            Condition::All(list) => {
                let all: Vec<_> = list.iter().map(|one| self.met(one, each, event, now)).collect();
                if all.contains(&Some(false)) { Some(false) } else { (!all.contains(&None)).then_some(true) }
            }
            Condition::Any(list) => {
                let all: Vec<_> = list.iter().map(|one| self.met(one, each, event, now)).collect();
                if all.contains(&Some(true)) { Some(true) } else { (!all.contains(&None)).then_some(false) }
            }
            Condition::Not(one) => Some(!self.met(one, each, event, now)?),
            Condition::Event(wanted) => Some(event == Some(wanted.name.as_str())),
            Condition::Compare(c) => {
                let path = c.path.as_deref().unwrap_or(each);
                let value = match c.window {
                    None => self.newest(path)?.1,
                    Some(window) => Value::from(self.window(path, window, now)?),
                };
                let order = match (value.as_f64(), c.constant.as_f64()) {
                    (Some(a), Some(b)) => a.partial_cmp(&b),
                    _ => (value == c.constant).then_some(std::cmp::Ordering::Equal),
                };
                let numbers = value.is_number() && c.constant.is_number();
                match c.comparator {
                    Comparator::Eq => Some(order.is_some_and(|o| o.is_eq())),
                    Comparator::Neq => Some(!order.is_some_and(|o| o.is_eq())),
                    _ if !numbers => None,
                    Comparator::Gt => Some(order?.is_gt()),
                    Comparator::Gte => Some(order?.is_ge()),
                    Comparator::Lt => Some(order?.is_lt()),
                    Comparator::Lte => Some(order?.is_le()),
                }
            }
        }
    }

    fn listens(rule: &RuleDraft, fact: &Fact, each: &str) -> bool {
        let mut listens = false;
        rule.condition.walk(&mut |one, _| match (one, &fact.kind) {
            (Condition::Compare(c), FactKind::Value { path, .. }) => listens |= c.path.as_deref().unwrap_or(each) == path,
            (Condition::Event(wanted), FactKind::Event(event)) => listens |= wanted.name == event.name,
            _ => {}
        });
        listens
    }
}

type Found = (usize, RuleId, String, OutcomeKind);

fn naive(rules: &[Rule], facts: &[Fact]) -> Vec<Found> {
    let fleet = Fleet::new();
    let mut things: HashMap<ThingId, Naive> = HashMap::new();
    let mut found = Vec::new();
    for (n, fact) in facts.iter().enumerate() {
        let of = things.entry(fact.thing).or_default();
        let mut now = fact.at.as_second();
        let mut event = None;
        match &fact.kind {
            FactKind::Value { path, value } => {
                // What comes later than every window reaches is of no use to any; the bounds of memory are the same for both.
                of.values.push((path.clone(), now, value.clone()));
                now = of.newest(path).unwrap().0;
            }
            FactKind::Event(e) => event = Some(e.name.as_str()),
        }
        for rule in rules.iter().filter(|rule| rule.draft.selector.matches(&fleet.subject(fact.thing).unwrap())) {
            let draft = &rule.draft;
            let instances = if draft.each.is_empty() { vec![String::new()] } else { draft.each.clone() };
            for each in instances.into_iter().filter(|each| Naive::listens(draft, fact, each)) {
                let met = of.met(&draft.condition, &each, event, now) == Some(true);
                let (raised, fired) = of.standing.get(&(rule.id, each.clone())).copied().unwrap_or_default();
                let rested = fired.is_none_or(|fired| now - fired >= i64::from(draft.interval));
                let after = if met && rested && (draft.repeating || !raised) {
                    found.push((n, rule.id, each.clone(), OutcomeKind::Raised));
                    (!draft.momentary(), Some(now))
                } else if !met && raised {
                    found.push((n, rule.id, each.clone(), OutcomeKind::Left));
                    (false, fired)
                } else {
                    (raised, fired)
                };
                of.standing.insert((rule.id, each), after);
            }
        }
    }
    found
}

/// Rules of one fact come in no order that matters.
fn sorted(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_same_is_found(rules in rules(), facts in facts(), cut in 0..60_usize) {
        // `each` without a comparison that asks for it is refused before.
        let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.draft.check().is_ok()).collect();
        let mut index = Index::default();
        // Put twice and one taken out again: the index must forget as well as it remembers.
        for rule in rules.iter().chain(&rules) {
            index.put_rule(rule.clone());
        }
        let extra = RuleId(Uuid::from_u128(999));
        if let Some(rule) = rules.first() {
            index.put_rule(Rule { id: extra, ..rule.clone() });
            index.remove_rule(TENANT, extra);
        }
        let mut state = State::new(Limits::default());
        let cut = cut.min(facts.len());
        let mut found: Vec<Found> = Vec::new();
        for (start, part) in [(0, &facts[..cut]), (cut, &facts[cut..])] {
            found.extend(evaluate(&mut state, &index, &Fleet::new(), part).into_iter().map(|o| (o.fact + start, o.rule, o.path, o.kind)));
        }
        prop_assert_eq!(sorted(found), sorted(naive(&rules, &facts)));
    }

    #[test]
    fn memory_is_bounded(values in prop::collection::vec((0..2_u8, 0..100_i64), 1..400)) {
        let window = Some(Window { aggregate: Aggregate::Sum, seconds: 86_400 });
        let compare = |path: &str| {
            Condition::Compare(Comparison { path: Some(path.to_owned()), window, comparator: Comparator::Gt, constant: Value::from(0) })
        };
        let draft = RuleDraft {
            name: "r".into(), active: true, each: Vec::new(), condition: Condition::Any(PATHS.map(compare).to_vec()),
            selector: Selector::default(), event: "e".into(), exit_event: None, interval: 1, repeating: true,
        };
        let mut index = Index::default();
        let at = Timestamp::UNIX_EPOCH;
        index.put_rule(Rule { id: RuleId(Uuid::nil()), tenant: TENANT, created: at, updated: at, draft });
        let limits = Limits { series: 20, total: 50 };
        let mut state = State::new(limits);
        for (n, step) in values {
            let at = Timestamp::from_second(step).unwrap();
            for path in PATHS {
                let kind = FactKind::Value { path: path.to_owned(), value: Value::from(1) };
                evaluate(&mut state, &index, &Fleet::new(), &[Fact { tenant: TENANT, thing: thing(n), message: MessageId(Uuid::nil()), at, kind }]);
                prop_assert!(state.points() <= limits.total + 6 * Limits::LEAST, "{}", state.points());
            }
        }
    }
}
