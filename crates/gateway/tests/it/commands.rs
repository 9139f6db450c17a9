//! The command line's promises: what it writes, how it ends, and that a mistake is told in one clear line.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use testkit::clients::{Outcome, run};
use testkit::fleet::{ALICE, RITA};
use testkit::{Child, Http};

use crate::{HELIOGRAPH, Place};

async fn heliograph(arguments: &[&str]) -> Outcome {
    run(HELIOGRAPH, arguments, 60).await
}

/// Runs `serve` where it must not start: exit code 2, one line on standard error, which holds all of `words`.
async fn refused(data: &Path, more: &[&str], words: &[&str]) -> String {
    let data = data.display().to_string();
    let mut arguments = vec!["serve", "--data", &data];
    for listener in ["--http", "--mqtt", "--mqtts"].iter().filter(|flag| !more.contains(flag)) {
        arguments.extend([listener, "127.0.0.1:0"]);
    }
    arguments.extend(more);
    let outcome = heliograph(&arguments).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert_eq!(outcome.err.lines().count(), 1, "one line: {}", outcome.err);
    for word in words {
        assert!(outcome.err.contains(word), "{word:?} in {}", outcome.err);
    }
    assert!(!outcome.err.contains("panicked") && !outcome.err.contains("Error {"), "{}", outcome.err);
    outcome.err
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_json_is_there_while_it_is_ready() {
    let place = Place::new();
    let gateway = place.start();
    let file = place.data().join("ready.json");
    let ready: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut keys: Vec<_> = ready.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["ca", "http", "https", "mqtt", "mqtts", "public_url"]);
    assert_eq!(ready["https"], Value::Null, "off by default");
    for name in ["http", "mqtt", "mqtts"] {
        let port: u16 = ready[name].as_str().unwrap().strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
        assert_ne!(port, 0);
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
    assert_eq!(ready["public_url"], format!("http://{}", ready["http"].as_str().unwrap()));
    let ca = std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
    let http = gateway.http();
    assert_eq!(http.get("/readyz").await.status, 200);
    assert_eq!(http.get("/healthz").await.status, 200);
    assert_eq!(gateway.stop(), Some(0));
    assert!(!file.exists(), "removed at a clean stop");
}

/// What was provisioned before the start is there as soon as the gateway says that it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn provisioned_before_it_is_ready() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    assert_eq!(alice.get("/heliograph/v1/things/dev-1").await.status, 200);
    let by_key = gateway.http().bearer(testkit::fleet::API_KEY);
    assert_eq!(by_key.get("/heliograph/v1/things/dev-1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_is_refused() {
    let place = Place::new();
    place.start().kill();
    let file = place.data().join("master.key");
    let key = std::fs::read_to_string(&file).unwrap();
    let other: String = key
        .chars()
        .map(|c| {
            if c == '0' {
                '1'
            } else if c == '1' {
                '0'
            } else {
                c
            }
        })
        .collect();
    assert_ne!(key, other);
    std::fs::write(&file, &other).unwrap();
    let line = refused(&place.data(), &[], &["key"]).await;
    assert!(!line.contains(key.trim()) && !line.contains(other.trim()), "no secret in an error: {line}");
    std::fs::write(&file, "not a key").unwrap();
    let _ = refused(&place.data(), &[], &["master.key"]).await;
    std::fs::remove_file(&file).unwrap();
    let _ = refused(&place.data(), &[], &["master.key"]).await;
    std::fs::write(&file, &key).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let _ = refused(&place.data(), &[], &["master.key", "chmod 600"]).await;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(place.start().stop(), Some(0), "with the right key all is well again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_port_is_named() {
    let place = Place::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    for flag in ["--http", "--mqtt", "--mqtts", "--https"] {
        let _ = refused(&place.data(), &[flag, &address], &[&address]).await;
        assert!(!place.data().join("ready.json").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_used_is_named() {
    let place = Place::new();
    let file = place.folder.path().join("fleet.toml");
    let _ = refused(&file, &[], &["fleet.toml"]).await;
    let _ = refused(&file.join("below"), &[], &["fleet.toml"]).await;
    // One gateway at a time.
    let gateway = place.start();
    let _ = refused(&place.data(), &[], &["data", &gateway.id().to_string()]).await;
    assert_eq!(gateway.http().get("/readyz").await.status, 200, "the first one did not mind");
    assert!(place.data().join("ready.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_version_is_left_alone() {
    let Some(python) = testkit::clients::python() else { return };
    let place = Place::new();
    assert_eq!(place.start().stop(), Some(0));
    let database = place.data().join("heliograph.db").display().to_string();
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute(\"insert into _sqlx_migrations select 9000, 'of the future', installed_on, success, checksum, execution_time from _sqlx_migrations limit 1\")\n\
        db.commit()\n";
    let _ = run(&python, ["-c", script, &database], 20).await.ok();
    let _ = refused(&place.data(), &[], &["newer"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_files_are_told_with_their_line() {
    let place = Place::new();
    let config = place.folder.path().join("heliograph.toml");
    std::fs::write(&config, "http = \"127.0.0.1:0\"\nhtpps = \"off\"\n").unwrap();
    let _ = refused(&place.data(), &["--config", &config.display().to_string()], &["htpps", "line 2"]).await;
    std::fs::write(&config, "http = [\n").unwrap();
    let _ = refused(&place.data(), &["--config", &config.display().to_string()], &["heliograph.toml", "line"]).await;
    let fleet = place.folder.path().join("broken.toml");
    std::fs::write(&fleet, "[[tenant]]\nname = \"acme\"\ncolour = \"blue\"\n").unwrap();
    let _ = refused(&place.data(), &["--provision", &fleet.display().to_string()], &["broken.toml", "colour", "line 3"]).await;
    let _ = refused(&place.data(), &["--provision", "/nowhere/fleet.toml"], &["/nowhere/fleet.toml"]).await;
    let _ = refused(&place.data(), &["--http", "everywhere"], &["--http", "everywhere"]).await;
}

/// Everything that a provisioning file can say, as the gateway shows it.
async fn catalogue(http: &Http) -> Value {
    let alice = ALICE.native(http).await;
    let mut all = json!({});
    for list in ["tenants", "things", "users", "memberships", "clients", "api-keys"] {
        all[list] = alice.get(&format!("/heliograph/v1/{list}")).await.expect(200).json();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_changes_nothing() {
    let place = Place::new();
    let data = place.data().display().to_string();
    // Through a running gateway.
    let gateway = Child::start(HELIOGRAPH, &place.data(), &[]);
    let first = heliograph(&["apply", &place.fleet(), "--data", &data]).await.ok();
    let before = catalogue(&gateway.http()).await;
    let again = heliograph(&["apply", &place.fleet(), "--data", &data]).await.ok();
    assert_ne!(first.out, again.out, "the second one says that nothing was to be done");
    assert_eq!(catalogue(&gateway.http()).await, before);
    assert_eq!(gateway.stop(), Some(0));
    // On the data directory itself.
    let third = heliograph(&["apply", &place.fleet(), "--data", &data]).await.ok();
    assert_eq!(again.out, third.out);
    // At start.
    let gateway = place.start();
    assert_eq!(catalogue(&gateway.http()).await, before);
    let bad = place.folder.path().join("bad.toml");
    std::fs::write(&bad, "[[user]]\nemail = \"x@example.com\"\nmemberships = [{ tenant = \"nowhere\", role = \"owner\" }]\n").unwrap();
    let refused = heliograph(&["apply", &bad.display().to_string(), "--data", &data]).await;
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(refused.err.contains("nowhere"), "{refused:?}");
    assert_eq!(catalogue(&gateway.http()).await, before, "all or nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_it_runs_restores_everything() {
    let place = Place::new();
    let data = place.data().display().to_string();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let made = alice.post("/heliograph/v1/things", &json!({ "key": "kept", "credentials": "rsa_certificate" })).await.expect(201).json();
    let send = async |from: u32, to: u32| {
        for n in from..to {
            let _ = alice.post("/heliograph/v1/things/kept/messages", &json!({ "payload": format!("message {n}") })).await.expect(201);
        }
    };
    send(0, 50).await;
    let messages = alice.get("/heliograph/v1/things/kept/messages?limit=1000").await.expect(200).json();
    let inbox = alice.get("/heliograph/v1/things/kept/inbox?limit=1000").await.expect(200).json();
    let before = catalogue(&gateway.http()).await;
    let file = place.folder.path().join("backup.zip").display().to_string();
    let _ = heliograph(&["backup", &file, "--data", &data]).await.ok();
    // What comes later is not in it.
    send(50, 60).await;
    let _ = alice.post("/heliograph/v1/things", &json!({ "key": "later" })).await.expect(201);
    gateway.kill();

    let elsewhere = place.folder.path().join("elsewhere");
    let there = elsewhere.display().to_string();
    let _ = heliograph(&["restore", &file, "--data", &there]).await.ok();
    let again = heliograph(&["restore", &file, "--data", &there]).await;
    assert_eq!(again.code, Some(2), "never over existing data: {again:?}");
    let gateway = Child::start(HELIOGRAPH, &elsewhere, &[]);
    assert_eq!(catalogue(&gateway.http()).await, before);
    let alice = ALICE.native(&gateway.http()).await;
    assert_eq!(alice.get("/heliograph/v1/things/kept/messages?limit=1000").await.expect(200).json(), messages);
    assert_eq!(alice.get("/heliograph/v1/things/kept/inbox?limit=1000").await.expect(200).json(), inbox);
    let keys = alice.get("/heliograph/v1/things/kept/keys").await.expect(200).json();
    assert_eq!(keys, made["keys"], "private keys open with the key in the backup");
    assert_eq!(alice.get("/heliograph/v1/things/later").await.status, 404);
    assert_eq!(gateway.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn everyday_commands() {
    let place = Place::new();
    let data = place.data().display().to_string();
    let gateway = place.start();
    for argument in ["--help", "--version"] {
        assert!(!heliograph(&[argument]).await.ok().out.is_empty());
    }
    let added = heliograph(&[
        "user",
        "add",
        "--email",
        "dora@example.com",
        "--password",
        "dora has a password",
        "--tenant",
        "acme",
        "--role",
        "writer",
        "--data",
        &data,
    ])
    .await;
    let _ = added.ok();
    let http = gateway.http();
    let dora = testkit::fleet::Person { email: "dora@example.com", password: "dora has a password", id: "" }.native(&http).await;
    let _ = dora.post("/heliograph/v1/things", &json!({ "key": "doras" })).await.expect(201);
    let things = heliograph(&["things", "--data", &data]).await;
    assert!(things.code == Some(0) || things.code == Some(2), "{things:?}");
    assert_eq!(heliograph(&["no-such-command"]).await.code, Some(2));
    assert_eq!(heliograph(&["doctor", "--data", &data]).await.code, Some(0));
    assert_eq!(RITA.native(&http).await.get("/heliograph/v1/me").await.status, 200);
}
