//! Everything the fuzzer kept goes through the same doors again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn replay(name: &str) {
    let folder = corpus().join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 5, "{} has {} files", folder.display(), files.len());
    let door = doors::named(name);
    for file in files {
        // Says which, should it fall.
        println!("{}", file.display());
        let bytes = std::fs::read(&file).unwrap();
        door(&bytes);
        // Cut short, too: an end in the middle is what networks do.
        door(bytes.split_at(bytes.len() / 2).0);
    }
}

macro_rules! replayed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_door_has_its_corpus_its_target_and_its_test() {
            let doors: BTreeSet<String> = doors::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
            let tests: BTreeSet<String> = [$(stringify!($name).to_owned()),*].into();
            let folders: BTreeSet<String> =
                std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            let targets = std::fs::read_dir(corpus().join("../targets")).unwrap();
            let targets: BTreeSet<String> =
                targets.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            assert_eq!((&tests, &folders, &targets), (&doors, &doors, &doors));
        }
    };
}

replayed! { mqtt_codec mqtt_session tracker numbers token graphql json oauth segment }
