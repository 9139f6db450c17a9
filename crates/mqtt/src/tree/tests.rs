use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use journal::{Record, Seq};
use model::{Direction, MessageId, TenantId, ThingId, Timestamp};
use proptest::prelude::*;

use super::*;

impl Keyed for u64 {
    fn key(&self) -> u64 {
        *self
    }
}

fn hits(tree: &Tree<u64>, topic: &str) -> Vec<u64> {
    let mut found = Vec::new();
    tree.walk(topic, &mut |f| match f {
        Found::Plain(list) => found.extend_from_slice(list),
        Found::Group(group) => {
            found.extend(group.in_turn().take(1));
            group.advance();
        }
    });
    found.sort_unstable();
    found
}

const CASES: &[(&str, &str, bool)] = &[
    ("sport/tennis/player1/#", "sport/tennis/player1", true),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
    ("sport/#", "sport", true),
    ("#", "sport", true),
    ("#", "/", true),
    ("sport/tennis/+", "sport/tennis/player1", true),
    ("sport/tennis/+", "sport/tennis/player1/ranking", false),
    ("sport/+", "sport", false),
    ("sport/+", "sport/", true),
    ("+/+", "/finance", true),
    ("/+", "/finance", true),
    ("+", "/finance", false),
    ("+/tennis/#", "sport/tennis", true),
    ("#", "$SYS/x", false),
    ("+/x", "$SYS/x", false),
    ("$SYS/#", "$SYS/x", true),
    ("$SYS/+", "$SYS/x", true),
    ("a/+/c", "a//c", true),
    ("a/b", "a/b/", false),
    ("ACCOUNTS", "accounts", false),
    ("+/$SYS", "a/$SYS", true),
];

#[test]
fn the_standards_examples() {
    for (filter, topic, expected) in CASES {
        assert_eq!(matches(filter, topic), *expected, "{filter} {topic}");
        let mut tree = Tree::default();
        tree.insert(None, filter, 1);
        assert_eq!(!hits(&tree, topic).is_empty(), *expected, "tree: {filter} {topic}");
        let mut retained = Retained::default();
        retained.set(&record(topic, 1, "x"));
        assert_eq!(!retained.find(filter, Timestamp::UNIX_EPOCH).is_empty(), *expected, "retained: {filter} {topic}");
    }
}

#[test]
fn replacing_and_removing_leave_nothing_behind() {
    let mut tree = Tree::default();
    assert!(!tree.insert(None, "a/+/c", 7));
    assert!(tree.insert(None, "a/+/c", 7));
    assert!(!tree.insert(Some("g"), "a/+/c", 7));
    assert!(!tree.insert(None, "a/#", 8));
    assert_eq!(tree.len(), 3);
    assert_eq!(hits(&tree, "a/b/c"), [7, 7, 8]);
    assert_eq!(tree.remove(None, "a/+/c", 7), Some(7));
    assert_eq!(tree.remove(None, "a/+/c", 7), None);
    assert_eq!(tree.remove(Some("h"), "a/+/c", 7), None);
    assert_eq!(tree.remove(Some("g"), "a/+/c", 7), Some(7));
    assert_eq!(tree.remove(None, "a/#", 8), Some(8));
    assert_eq!(tree.len(), 0);
    assert!(tree.root.is_empty());
}

#[test]
fn a_group_takes_turns() {
    let mut tree = Tree::default();
    for member in 1..=3 {
        tree.insert(Some("g"), "t", member);
    }
    let mut seen: Vec<u64> = (0..6).flat_map(|_| hits(&tree, "t")).collect();
    seen.sort_unstable();
    assert_eq!(seen, [1, 1, 2, 2, 3, 3]);
}

fn record(topic: &str, seq: u64, payload: &str) -> Arc<Record> {
    Arc::new(Record {
        seq: Seq(seq),
        id: MessageId(uuid::Uuid::nil()),
        tenant: TenantId(uuid::Uuid::nil()),
        thing: ThingId(uuid::Uuid::nil()),
        direction: Direction::Inbound,
        at: Timestamp::UNIX_EPOCH,
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        expires: None,
        qos: 1,
        retain: true,
        properties: Bytes::new(),
        inboxes: smallvec::SmallVec::new(),
    })
}

#[test]
fn the_newest_retained_message_wins_whatever_the_order() {
    let mut retained = Retained::default();
    let find = |r: &Retained| r.find("a/#", Timestamp::UNIX_EPOCH).iter().map(|r| r.seq.0).collect::<Vec<_>>();
    retained.set(&record("a", 5, "new"));
    retained.set(&record("a", 3, "old"));
    assert_eq!(find(&retained), [5]);
    retained.set(&record("a", 9, ""));
    retained.set(&record("a", 7, "late"));
    assert!(find(&retained).is_empty(), "a cleared topic does not come back");
    assert_eq!((retained.len(), retained.cleared()), (0, 1));
    retained.forget_cleared(1);
    assert_eq!(retained.cleared(), 0);
    retained.set(&record("a/b", 11, "x"));
    assert_eq!(retained.remove_where(&|r| r.seq == Seq(11)), 1);
    assert_eq!(retained.len(), 0);
}

proptest! {
    #[test]
    fn the_tree_agrees_with_the_plain_matcher(
        filters in prop::collection::vec("(\\$?[ab]|\\+|)(/([ab]|\\+|)){0,3}(/#)?", 1..12),
        topics in prop::collection::vec("\\$?[ab]?(/[ab]?){0,4}", 1..12),
        gone in prop::collection::vec(any::<bool>(), 12),
    ) {
        let mut tree = Tree::default();
        let mut left = BTreeSet::new();
        for (i, filter) in filters.iter().enumerate() {
            tree.insert(None, filter, i as u64);
            left.insert(i as u64);
        }
        for (i, filter) in filters.iter().enumerate() {
            if gone[i] {
                prop_assert_eq!(tree.remove(None, filter, i as u64), Some(i as u64));
                left.remove(&(i as u64));
            }
        }
        prop_assert_eq!(tree.len(), left.len());
        let mut retained = Retained::default();
        for (i, topic) in topics.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            retained.set(&record(topic, i as u64 + 1, "x"));
            let expected: Vec<u64> = left.iter().copied().filter(|i| matches(&filters[*i as usize], topic)).collect();
            prop_assert_eq!(hits(&tree, topic), expected);
        }
        let unique: BTreeSet<&String> = topics.iter().filter(|t| !t.is_empty()).collect();
        for filter in &filters {
            let found = retained.find(filter, Timestamp::UNIX_EPOCH).len();
            prop_assert_eq!(found, unique.iter().filter(|t| matches(filter, t)).count());
        }
    }
}
