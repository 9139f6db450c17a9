//! docs/mqtt.md names a test for every statement of the standards; here is checked that it leaves none out and invents no test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Sections with the numbers of their first and last statement (appendix B of each standard).
const THREE: &str = "1.5.3:1-3 2.2.2:1-2 2.3.1:1-7 3.1.0:1-2 3.1.2:1-24 3.1.3:1-11 3.1.4:1-5 3.2.0:1-1 3.2.2:1-6 3.3.1:1-12 3.3.2:1-3 \
    3.3.4:1-1 3.3.5:1-2 3.6.1:1-1 3.8.1:1-1 3.8.3:1-4 3.8.4:1-6 3.9.3:1-2 3.10.1:1-1 3.10.3:1-2 3.10.4:1-6 3.12.4:1-1 3.14.1:1-1 \
    3.14.4:1-3 4.1.0:1-2 4.2.0:1-1 4.3.1:1-1 4.3.2:1-2 4.3.3:1-2 4.4.0:1-1 4.5.0:1-2 4.6.0:1-6 4.7.1:1-3 4.7.2:1-1 4.7.3:1-4 \
    4.8.0:1-2 6.0.0:1-4";
const FIVE: &str = "1.5.4:1-3 1.5.5:1-1 1.5.7:1-1 2.1.3:1-1 2.2.1:2-6 2.2.2:1-1 3.1.0:1-2 3.1.2:1-30 3.1.3:1-12 3.1.4:1-6 3.2.0:1-2 \
    3.2.2:1-22 3.3.1:1-13 3.3.2:1-20 3.3.4:1-10 3.4.2:1-3 3.5.2:1-3 3.6.1:1-1 3.6.2:1-3 3.7.2:1-3 3.8.1:1-1 3.8.3:1-5 3.8.4:1-8 \
    3.9.2:1-2 3.9.3:1-2 3.10.1:1-1 3.10.3:1-2 3.10.4:1-6 3.11.2:1-2 3.11.3:1-2 3.12.4:1-1 3.14.0:1-1 3.14.1:1-1 3.14.2:1-4 \
    3.14.4:1-3 3.15.1:1-1 3.15.2:1-3 4.1.0:1-2 4.2.0:1-1 4.3.1:1-1 4.3.2:1-5 4.3.3:1-13 4.4.0:1-2 4.5.0:1-2 4.6.0:1-6 4.7.0:1-1 \
    4.7.1:1-2 4.7.2:1-1 4.7.3:1-4 4.8.2:1-6 4.9.0:1-3 4.12.0:1-7 4.12.1:1-2 4.13.1:1-1 4.13.2:1-1 6.0.0:1-4";

fn statements(sections: &str) -> BTreeSet<String> {
    let section = |text: &str| {
        let (name, range) = text.split_once(':').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let (from, to): (u32, u32) = (from.parse().unwrap(), to.parse().unwrap());
        (from..=to).map(|n| format!("{name}-{n}")).collect::<Vec<_>>()
    };
    sections.split_whitespace().flat_map(section).collect()
}

/// The functions marked as tests in every source file below a directory.
fn tests_below(dir: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                let Some(name) = line.strip_prefix("async fn ").or(line.strip_prefix("fn ")) else { continue };
                let marks = lines[..at].iter().rev().take_while(|l| l.starts_with("#[") || l.starts_with("//"));
                if marks.into_iter().any(|l| l.starts_with("#[test]") || l.starts_with("#[tokio::test")) {
                    *found.entry(name.split(['(', '<']).next().unwrap().to_owned()).or_default() += 1;
                }
            }
        }
    }
}

#[test]
fn every_statement_has_its_test() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(crates.parent().unwrap().join("docs/mqtt.md")).unwrap();
    let mut tests = BTreeMap::new();
    for dir in ["mqtt/src", "edge/src", "gateway/src"] {
        tests_below(&crates.join(dir), &mut tests);
    }
    let (_, tables) = text.split_once("### MQTT 3.1.1").unwrap();
    let (three, five) = tables.split_once("### MQTT 5").unwrap();
    for (part, sections) in [(three, THREE), (five, FIVE)] {
        let mut seen = BTreeSet::new();
        for line in part.lines().filter(|line| line.starts_with("| MQTT-")) {
            let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [statement, asks, shown] = columns[..] else { panic!("{line}") };
            assert!(seen.insert(statement.trim_start_matches("MQTT-").to_owned()), "{statement} twice");
            assert!(!asks.is_empty(), "{line}");
            let names: Vec<&str> = shown.split_whitespace().map(|name| name.trim_matches('`')).collect();
            assert!(!names.is_empty(), "{statement} has no test");
            for name in names {
                assert_eq!(tests.get(name), Some(&1), "{statement}: {name} must be one test");
            }
        }
        let clients = part.lines().find_map(|line| line.strip_prefix("For clients only: ")).unwrap().trim_end_matches('.');
        for statement in clients.split_whitespace() {
            assert!(seen.insert(statement.to_owned()), "{statement} is for clients only and in the table");
        }
        let all = statements(sections);
        assert_eq!(seen.difference(&all).collect::<Vec<_>>(), [] as [&String; 0], "unknown to the standard");
        assert_eq!(all.difference(&seen).collect::<Vec<_>>(), [] as [&String; 0], "left out");
    }
}
