//! What a match costs with a million subscriptions: `cargo test --release -p mqtt scale -- --ignored --nocapture`.

use std::time::Instant;

use super::{Found, Tree};

/// The filter of subscription `n`, of so many levels: a fleet's shape, few names near the root, many below.
fn filter(n: u64, depth: u32, wild: bool) -> String {
    let mut levels: Vec<String> = (0..depth).map(|level| format!("l{}", n / 10u64.pow(level) % 10)).collect();
    // The last level tells them apart.
    if let Some(last) = levels.last_mut() {
        *last = format!("n{n}");
    }
    if wild && depth > 1 {
        levels[0] = "+".to_owned();
    }
    levels.join("/")
}

/// Nanoseconds a match, and matches found by each.
fn cost(count: u64, depth: u32) -> (f64, f64, f64) {
    let mut tree = Tree::default();
    let begun = Instant::now();
    for n in 0..count {
        // Every hundredth has a wildcard at its first level.
        tree.insert(None, &filter(n, depth, n % 100 == 0), n);
    }
    let insert = begun.elapsed().as_nanos() as f64 / count as f64;
    assert_eq!(tree.len() as u64, count);
    // All over the tree, none twice: what a cache keeps by accident does not count.
    let topics: Vec<String> = (0..100_000u64).map(|i| filter(i.wrapping_mul(7_919) % count, depth, false)).collect();
    let mut found = 0usize;
    let begun = Instant::now();
    for topic in &topics {
        tree.walk(topic, &mut |f| {
            if let Found::Plain(list) = f {
                found += list.len();
            }
        });
    }
    let each = begun.elapsed().as_nanos() as f64 / topics.len() as f64;
    (each, found as f64 / topics.len() as f64, insert)
}

#[test]
fn the_topics_of_the_measurement_find_their_subscription() {
    for depth in [1, 2, 5, 10] {
        let (_, found, _) = cost(2_000, depth);
        assert!((found - 1.0).abs() < f64::EPSILON, "{found} at depth {depth}");
    }
}

#[test]
#[ignore = "a measurement"]
fn a_million_subscriptions() {
    println!("| levels | 1,000 | 1,000,000 | ratio | insert |\n|---|---|---|---|---|");
    for depth in [1, 2, 3, 5, 8, 12] {
        let _ = cost(1_000, depth);
        let ((few, ..), (many, found, insert)) = (cost(1_000, depth), cost(1_000_000, depth));
        println!("| {depth} | {few:.0} ns | {many:.0} ns | {:.1} x | {insert:.0} ns |", many / few);
        assert!((found - 1.0).abs() < f64::EPSILON);
        // A thousand times the subscriptions: a longer way through memory, not a longer walk.
        assert!(many < few * 50.0);
    }
}
