//! Provisioning and the command line's client, against a running gateway and against its directory.

use serde_json::json;

use super::Gateway;
use crate::client::{Client, text};
use crate::provision::apply;
use crate::{Config, Problem};

async fn rows(client: &Client, path: &str) -> Vec<String> {
    let mut rows: Vec<_> = client.all(path).await.unwrap().iter().map(|row| text(row, "key").to_owned()).collect();
    // Things of one provisioning are of one moment, so their order is nobody's promise.
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_with_and_without_a_running_gateway() {
    let gateway = Gateway::start().await;
    let config = Config::for_test(gateway.dir.path().join("data"), gateway.clock.clone());
    let mut client = Client::open(&config).await.unwrap();
    assert!(client.is_running());
    client.in_tenant(Some("acme")).await.unwrap();
    let while_running = rows(&client, "/things").await;
    assert_eq!(while_running, ["dev-1", "dev-2"]);
    client.json(http::Method::POST, "/things/dev-1/messages", Some(&json!({ "payload": "hello" }))).await.unwrap();
    gateway.running.stop().await;

    let mut client = Client::open(&config).await.unwrap();
    assert!(!client.is_running());
    client.in_tenant(Some("acme")).await.unwrap();
    assert_eq!(rows(&client, "/things").await, while_running);
    let messages = client.all("/things/dev-1/messages").await.unwrap();
    assert_eq!(text(&messages[0], "payload"), "hello");
    let problem = client.get("/things/nobody").await.unwrap_err();
    assert_eq!((problem.to_string().as_str(), problem.code()), ("thing not found", 1));
    assert!(client.in_tenant(Some("nowhere")).await.is_err());
    client.close().await;
    // Closed means unlocked.
    Client::open(&config).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().join("typo"));
    let problem = Client::open(&config).await.map(|_| ()).unwrap_err();
    assert_eq!(problem.code(), 2);
    assert!(!dir.path().join("typo").exists());
}

async fn applied(gateway: &Gateway, text: &str) -> Result<(u64, u64, u64), Problem> {
    let house = &gateway.running.house;
    let report = apply(house, &house.operator().await, "f.toml", text).await?;
    Ok((report.created, report.updated, report.unchanged))
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_twice_changes_nothing_and_a_change_is_one_update() {
    let gateway = Gateway::start().await;
    let example = include_str!("../provision/example.toml");
    let (created, updated, _) = applied(&gateway, example).await.unwrap();
    // The usual fleet holds the tenant, Alice, her key and dev-1 of the example already.
    assert_eq!((created, updated), (2, 2), "acme-lux and her membership there; acme's affiliation and plan, and the client");
    assert_eq!(applied(&gateway, example).await.unwrap(), (0, 0, 8));
    let renamed = example.replace("truck 1", "truck 9");
    assert_eq!(applied(&gateway, &renamed).await.unwrap(), (0, 1, 7));
    let secret = "[[thing]]\ntenant = \"acme\"\nid = \"dev-2\"\nsecret = \"a wholly new secret\"\n";
    assert_eq!(applied(&gateway, secret).await.unwrap(), (0, 1, 0));
    assert_eq!(applied(&gateway, secret).await.unwrap(), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clash_with_what_exists_changes_nothing() {
    let gateway = Gateway::start().await;
    let house = gateway.running.house.clone();
    for (clash, told) in [
        ("[[user]]\nemail = \"alice@example.com\"\nid = \"00000000-0000-7000-8000-000000000001\"\n", "its id cannot be changed"),
        ("[[user]]\nemail = \"new@example.com\"\nusername = \"alice\"\n", "username alice is another user's"),
        ("[[client]]\ntenant = \"globex\"\nid = \"backend\"\nsecret = \"0123456789abcdef\"\n", "belongs to another tenant"),
        ("[[thing]]\ntenant = \"acme\"\nid = \"dev-3\"\nname = \"truck-1\"\n", "another thing has the name truck-1"),
        (
            "[[tenant]]\nname = \"small\"\n[[thing]]\ntenant = \"small\"\nid = \"a\"\n[[thing]]\ntenant = \"small\"\nid = \"b\"\n",
            "its plan AMBER allows 1",
        ),
        ("[[thing]]\ntenant = \"acme\"\nid = \"dev-3\"\ncertificate = \"nonsense\"\n", "thing dev-3: certificate:"),
    ] {
        let text = format!("[[tenant]]\nname = \"fresh\"\n{clash}");
        let problem = applied(&gateway, &text).await.unwrap_err().to_string();
        assert!(problem.starts_with("f.toml line ") && problem.contains(told), "{clash} gave {problem}");
        let caller = house.operator().await;
        assert!(house.identity.tenant_named(&caller, "fresh").await.is_err(), "nothing was changed by {clash}");
    }
}
