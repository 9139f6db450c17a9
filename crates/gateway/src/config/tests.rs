use super::*;

fn load(text: &str, overrides: &Overrides) -> Result<Config, Problem> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(NAME);
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), None, overrides)
}

fn refusal(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(NAME);
    std::fs::write(&file, text).unwrap();
    let problem = Config::load(Some(&file), None, &Overrides::default()).unwrap_err();
    assert_eq!(problem.code(), 2);
    let line = problem.to_string();
    assert!(!line.contains('\n'), "{line}");
    line.replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn every_key_is_read() {
    let text = r#"
        data = "d"
        http = "0.0.0.0:80"
        https = "0.0.0.0:443"
        mqtts = "off"
        public_url = "https://iot.example.com/"
        provision = "fleet.toml"
        trusted_proxies = ["10.0.0.1"]
        max_payload = 1000
        max_body = 2000
        max_connections = 7

        [store]
        url = "postgres://u:p@h/d"
        [journal]
        segment_bytes = 1048576
        max_pending_bytes = 2097152
        durability = "flush"
        [mqtt]
        bind = "0.0.0.0:1883"
        anonymous_tenant = "home"
        max_packet = 65536
        max_inflight = 5
        max_queued = 6
        max_keep_alive = 7
        max_session_expiry = 8
        max_subscriptions = 9
        max_connections = 10
        [smtp]
        url = "smtp://u:p@mail:25"
        from = "Heliograph <h@example.com>"
        [webhooks]
        private_addresses = true
        [dialects.flashlex]
        enabled = false
        hosts = ["api.flashlex.com"]
        mqtt_host = "iot.example.com"
        mqtts_port = 8884
        sdk = "sdk.zip"
        return_private_key = false
        [dialects.lightelligence]
        hosts = ["api.lightelligence.io", "id.lightelligence.io"]
        [[listener]]
        bind = "127.0.0.1:4001"
        dialect = "flashlex"
        [registration]
        enabled = true
        plan = "SAPPHIRE"
        [log]
        format = "json"
        level = "debug"
        [tls]
        cert = "/c.pem"
        key = "k.pem"
        names = ["gw.lan"]
    "#;
    let c = load(text, &Overrides::default()).unwrap();
    let beside = c.source.clone().unwrap().parent().unwrap().to_owned();
    assert_eq!((c.data.clone(), c.provision.clone()), (beside.join("d"), Some(beside.join("fleet.toml"))));
    assert_eq!(
        (c.http.as_deref(), c.https.as_deref(), c.mqtt.as_deref(), c.mqtts.as_deref()),
        (Some("0.0.0.0:80"), Some("0.0.0.0:443"), Some("0.0.0.0:1883"), None)
    );
    assert_eq!(c.public_url.as_deref(), Some("https://iot.example.com"));
    assert_eq!((c.max_payload, c.body_limit, c.connections), (1000, 2000, 7));
    assert_eq!(c.journal.durability, Durability::Flush);
    assert_eq!((c.journal.segment_bytes, c.journal.max_pending_bytes), (1 << 20, 2 << 20));
    assert_eq!(c.anonymous_tenant.as_deref(), Some("home"));
    let m = &c.mqtt_limits;
    assert_eq!((m.max_packet, m.max_inflight, m.max_queued_per_session, m.max_keep_alive), (65536, 5, 6, 7));
    assert_eq!((m.max_session_expiry, m.max_subscriptions, m.max_connections), (8, 9, 10));
    assert_eq!(c.flashlex.hosts, ["api.flashlex.com"]);
    assert_eq!((c.flashlex.enabled, c.flashlex.return_private_key, c.flashlex.mqtts_port), (false, false, Some(8884)));
    assert_eq!(c.lightelligence_hosts, ["api.lightelligence.io", "id.lightelligence.io"]);
    assert_eq!(c.listeners, [Listener { bind: "127.0.0.1:4001".into(), dialect: Dialect::Flashlex }]);
    assert_eq!(c.registration, Some(PlanName::Sapphire));
    assert_eq!(c.log, LogConfig { json: true, level: "debug".into() });
    assert_eq!(c.tls, Some((PathBuf::from("/c.pem"), beside.join("k.pem"))));
    assert_eq!(c.tls_names, ["gw.lan"]);
    assert!(c.smtp.is_some() && c.store_url.is_some() && c.private_webhooks);
    let printed = format!("{c:?}");
    assert!(!printed.contains("u:p@"), "a URL's password must not be printed: {printed}");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = "http = \"127.0.0.1:1\"\nmqtt = \"127.0.0.1:2\"\n[log]\nlevel = \"warn\"\n";
    let over =
        Overrides { http: Some("127.0.0.1:9".into()), mqtts: Some("off".into()), log_level: Some(String::new()), ..Default::default() };
    let c = load(file, &over).unwrap();
    assert_eq!(c.http.as_deref(), Some("127.0.0.1:9"));
    assert_eq!(c.mqtt.as_deref(), Some("127.0.0.1:2"));
    assert_eq!(c.mqtts, None);
    assert_eq!(c.log.level, "warn", "an empty variable says nothing");
    let c = load("", &Overrides::default()).unwrap();
    assert_eq!((c.http.as_deref(), c.https, c.mqtt.as_deref(), c.mqtts.as_deref()), (Some(HTTP), None, Some(MQTT), Some(MQTTS)));
}

#[test]
fn mistakes_are_told_with_key_and_line() {
    for (text, expected) in [
        ("\n\nhtpp = \"x\"\n", "DIR/heliograph.toml line 3: unknown field `htpp`"),
        ("http = \"8080\"\n", "line 1: '8080' is not host:port"),
        ("[mqtt]\nanonymus = 1\n", "line 2: unknown field `anonymus`"),
        ("mqtt = 5\n", "line 1: invalid type: integer `5`, expected an address"),
        ("[journal]\n\ndurability = \"always\"\n", "line 3: 'always' is not one of sync, flush, memory"),
        ("[journal]\nsegment_bytes = 1\n", "line 2: 1 is not between 65536 and"),
        ("[store]\nurl = \"mysql://u:secret@h\"\n", "line 2: the URL is not a postgres:// URL"),
        ("[[listener]]\nbind = \"127.0.0.1:1\"\ndialect = \"klingon\"\n", "line 3: unknown variant `klingon`"),
        ("[tls]\ncert = \"c\"\n", "cert and key belong together"),
        ("public_url = \"iot\"\n", "line 1: 'iot' is not an http:// or https:// URL"),
        ("http = \n", "line 1: "),
        ("max_payload = 1000000\n", "[mqtt] max_packet must be at least 1004096"),
        ("[smtp]\nurl = \"smtp://h\"\nfrom = \"nobody\"\n", "[smtp] from must be"),
    ] {
        let line = refusal(text);
        assert!(line.contains(expected), "{text:?} gave: {line}");
        assert!(!line.contains("secret"), "{line}");
    }
}

#[test]
fn a_missing_file_is_one_line() {
    let problem = Config::load(Some(Path::new("/nowhere/heliograph.toml")), None, &Overrides::default()).unwrap_err();
    assert!(problem.to_string().starts_with("cannot read /nowhere/heliograph.toml: "), "{problem}");
}
