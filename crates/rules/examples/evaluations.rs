//! How fast rules are evaluated, and what rules cost that do not listen: `cargo run -p rules --example evaluations [--release]`.
//!
//! One hundred things each report one of ten series in turn. With N rules, ten rules listen to each fact whatever N is; the others listen
//! to other series, or are meant for other things on the same series. The last column is the number to hold: near 1 if the cost follows
//! the rules that listen.
#![allow(clippy::indexing_slicing, clippy::print_stdout, reason = "a measurement prints")]

use std::time::Instant;

use jiff::Timestamp;
use model::{
    Aggregate, Comparator, Comparison, Condition, Fact, FactKind, MessageId, Rule, RuleDraft, RuleId, Selector, Subject, TenantId, ThingId,
    Value, Window,
};
use rules::{Index, Limits, State, Subjects, evaluate};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const FACTS: u64 = 20_000;
const LISTENERS: usize = 10;

struct Fleet;

impl Subjects for Fleet {
    fn subject(&self, id: ThingId) -> Option<Subject<'_>> {
        let (thing_type, connected_by) = (None, None);
        Some(Subject { id, name: "x", tags: &[], thing_type, type_name: "", categories: &[], connected_by, aliases: &[] })
    }
}

fn rule(n: usize, path: String, selector: Selector) -> Rule {
    let window = n.is_multiple_of(2).then_some(Window { aggregate: Aggregate::Mean, seconds: 10 });
    let compare = Comparison { path: Some(path), window, comparator: Comparator::Gt, constant: Value::from(1_000_000) };
    let draft = RuleDraft {
        name: "r".to_owned(),
        active: true,
        each: Vec::new(),
        condition: Condition::Compare(compare),
        selector,
        event: "e".to_owned(),
        exit_event: None,
        interval: 1,
        repeating: true,
    };
    let (created, updated) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    Rule { id: RuleId(Uuid::from_u128(n as u128)), tenant: TENANT, created, updated, draft }
}

fn series(n: usize) -> String {
    format!("$.attributes.s{n}")
}

fn thing(n: u64) -> ThingId {
    ThingId(Uuid::from_u128(u128::from(n)))
}

/// Seconds for one fact.
fn measure(rules: usize) -> f64 {
    let mut index = Index::default();
    for n in 0..rules {
        index.put_rule(match n {
            _ if n < LISTENERS => rule(n, series(0), Selector::default()),
            // Half listen to what is never said, half mean things that are not there.
            _ if n % 2 == 0 => rule(n, series(n), Selector::default()),
            _ => rule(n, series(0), Selector { things: vec![thing(1_000 + n as u64)], ..Selector::default() }),
        });
    }
    let mut state = State::new(Limits::default());
    let fact = |n: u64| {
        let at = Timestamp::from_millisecond(i64::try_from(n).unwrap_or(0)).unwrap_or(Timestamp::UNIX_EPOCH);
        let kind = FactKind::Value { path: series(0), value: Value::from(n % 100) };
        Fact { tenant: TENANT, thing: thing(n % 100), message: MessageId(Uuid::nil()), at, kind }
    };
    let facts: Vec<Fact> = (0..FACTS).map(fact).collect();
    let start = Instant::now();
    let found = evaluate(&mut state, &index, &Fleet, &facts);
    assert!(found.is_empty(), "nothing is that hot");
    start.elapsed().as_secs_f64() / FACTS as f64
}

fn main() {
    println!("rules     facts/s   evaluations/s   cost of a fact against 10 rules");
    let base = measure(10);
    for rules in [10, 1_000, 100_000] {
        let one = measure(rules);
        println!("{rules:>7}  {:>8.0}  {:>13.0}   {:.2}", 1.0 / one, LISTENERS as f64 / one, one / base);
    }
}
