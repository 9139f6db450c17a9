//! A whole gateway in this process, its clock set by hand.

mod commands;
mod endings;
mod mqtt;
mod queue;
mod websocket;

use model::{Caller, Clock, ThingId, Timestamp};
use testkit::Http;
use testkit::fleet::FLEET;
use testkit::mqtt::{Client, Options};

use crate::{Config, Running, start};

/// A gateway with the usual fleet and two things that have secrets (`dev-2` in acme, `dev-8` in globex).
struct Gateway {
    running: Running,
    dir: tempfile::TempDir,
    clock: Clock,
}

const SECRET: &str = "a secret of the thing";

impl Gateway {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let more = format!(
            "{FLEET}\n[[thing]]\ntenant = \"acme\"\nid = \"dev-2\"\nname = \"truck-2\"\nsecret = \"{SECRET}\"\n\
             [[thing]]\ntenant = \"globex\"\nid = \"dev-8\"\nsecret = \"{SECRET}\"\n"
        );
        std::fs::write(dir.path().join("fleet.toml"), more).unwrap();
        // Certificates are valid from the day before the machine's today, so the clock begins there.
        let clock = Clock::manual(Clock::system().now());
        let mut config = Config::for_test(dir.path().join("data"), clock.clone());
        config.provision = Some(dir.path().join("fleet.toml"));
        change(&mut config);
        let running = start(config).await.unwrap();
        Self { running, dir, clock }
    }

    /// Stops and starts again on the same data.
    async fn again(self) -> Self {
        let Self { running, dir, clock } = self;
        running.stop().await;
        let config = Config::for_test(dir.path().join("data"), clock.clone());
        let running = start(config).await.unwrap();
        assert!(running.first_start.is_none());
        Self { running, dir, clock }
    }

    fn http(&self) -> Http {
        Http::new(format!("http://{}", self.running.ready.http.unwrap()))
    }

    fn at(&self) -> String {
        self.running.ready.mqtt.unwrap().to_string()
    }

    async fn connect(&self, id: &str, username: &str, password: &str) -> Client {
        Client::connect(&self.at(), &Options::new(id).login(username, password)).await
    }

    async fn refused(&self, options: Options) -> u8 {
        Client::try_connect(&self.at(), &options).await.unwrap().map(|_| ()).unwrap_err()
    }

    /// The operator in acme.
    async fn acme(&self) -> Caller {
        self.running.house.identity.operator_caller(testkit::fleet::ACME.parse().unwrap())
    }

    async fn thing(&self, key: &str) -> ThingId {
        self.running.house.things.thing(&self.acme().await, key).await.unwrap().id
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_says_what_is_bound_and_goes_at_a_clean_stop() {
    let gateway = Gateway::start().await;
    let data = gateway.dir.path().join("data");
    let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(data.join("ready.json")).unwrap()).unwrap();
    assert_eq!(ready["http"], gateway.running.ready.http.unwrap().to_string());
    assert_eq!(ready["https"], serde_json::Value::Null);
    assert!(std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap().contains("BEGIN CERTIFICATE"));
    assert_eq!(gateway.http().get("/readyz").await.status, 200);
    assert_eq!(gateway.http().get("/healthz").await.status, 200);
    let first = gateway.running.first_start.as_ref().unwrap();
    assert_eq!(first.user.email, "operator@localhost");
    let metrics = gateway.http().get("/metrics").await.text();
    for name in ["heliograph_mqtt_connections 0", "heliograph_journal_healthy 1", "heliograph_http_requests_total{status=\"200\"} 2"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    let second = start(Config::for_test(&data, Clock::system())).await.unwrap_err();
    assert!(second.to_string().contains("is in use by another heliograph"), "{second}");
    gateway.running.stop().await;
    assert!(!data.join("ready.json").exists() && !data.join("operator.token").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_token_opens_the_api_while_it_runs() {
    let gateway = Gateway::start().await;
    let token = std::fs::read_to_string(gateway.dir.path().join("data/operator.token")).unwrap();
    let operator = gateway.http().bearer(token.clone());
    let tenants = operator.get("/heliograph/v1/tenants").await.expect(200).json();
    assert_eq!(tenants["items"].as_array().unwrap().len(), 3);
    for wrong in ["operator-", "operator-x", &format!("{token}x")] {
        assert_eq!(gateway.http().bearer(wrong).get("/heliograph/v1/tenants").await.status, 401, "{wrong}");
    }
    let gateway = gateway.again().await;
    assert_eq!(gateway.http().bearer(token).get("/heliograph/v1/tenants").await.status, 401, "another start, another token");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_a_dialects_own_host() {
    let gateway = Gateway::start_with(|config| config.flashlex.hosts = vec!["api.flashlex.com".to_owned()]).await;
    let nothing = gateway.http().get("/no/such/thing/here").await;
    assert_eq!((nothing.status, nothing.header("content-type")), (404, Some("application/problem+json")));
    // On its own host a dialect answers for every path, in its own shape.
    let own = gateway.http().send(reqwest::Method::GET, "/heliograph/v1/info", &[("host", "api.flashlex.com")], None).await;
    assert_ne!(own.status, 401);
    assert!(own.text().contains("\"messages\""), "{}", own.text());
}
