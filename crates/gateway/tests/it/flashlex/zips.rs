//! Archives and distributions, unpacked.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::Gateway;
use testkit::fleet::ALICE;

use super::{THING, collect, provision, raw, thing_token};

fn unzip(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        files.insert(file.name().unwrap().into_owned(), text);
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_holds_every_message_that_was_asked_for() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let _ = collect(&gateway, &thing_token(&gateway, &thing), THING, r#"{"foo":"bar"}"#).await.expect(200);
    let _ = raw(&alice, "POST", &format!("/prd/v1/things/{THING}/publish"), b"FOO|BAR").await.expect(200);
    let path = format!("/prd/v1/things/{THING}/archive");
    let answer = alice.get(&path).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    let files = unzip(&STANDARD.decode(&answer.body).unwrap());
    let listed = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.json()["result"].clone();
    let expected: BTreeMap<String, Value> =
        listed.as_array().unwrap().iter().map(|m| (format!("{}.json", m["flmessagespk"].as_str().unwrap()), m.clone())).collect();
    let found: BTreeMap<String, Value> = files.into_iter().map(|(name, text)| (name, serde_json::from_str(&text).unwrap())).collect();
    assert_eq!(found, expected);
    let egress = alice.get(&format!("{path}?messagetype=egress&raw=1")).await.expect(200);
    assert_eq!(egress.header("content-disposition"), Some(format!("attachment; filename=\"{THING}_messages_2026-03-01.zip\"").as_str()));
    assert_eq!(unzip(&egress.body).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_is_all_a_device_needs() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let path = format!("/prd/v1/things/{THING}/dist");
    let encoded = alice.get(&path).await.expect(200);
    assert_eq!(encoded.header("content-type"), Some("application/zip"));
    let octets = [("accept", "application/octet-stream")];
    let bytes = alice.send(reqwest::Method::GET, &path, &octets, None).await.expect(200);
    let files = unzip(&bytes.body);
    assert_eq!(unzip(&STANDARD.decode(&encoded.body).unwrap()), files, "the same every time");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "README.md",
            "config.yml",
            "ecd13b11-mything-certificate.pem",
            "ecd13b11-mything-keypair-private.pem",
            "ecd13b11-mything-keypair-public.pem",
            "root-ca-cert.pem",
        ]
    );
    assert_eq!(json!(files["ecd13b11-mything-certificate.pem"]), thing["certificatePem"]);
    assert_eq!(json!(files["ecd13b11-mything-keypair-private.pem"]), thing["keyPairPrivate"]);
    assert_eq!(json!(files["ecd13b11-mything-keypair-public.pem"]), thing["keyPairPublic"]);
    assert!(files["ecd13b11-mything-keypair-private.pem"].starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(files["ecd13b11-mything-keypair-public.pem"].starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(files["config.yml"].contains(&format!("endpoint: \"{}\"\n", gateway.http().base())), "{}", files["config.yml"]);
    let port = gateway.mqtts().rsplit(':').next().unwrap().to_owned();
    assert!(files["config.yml"].contains(&format!("port: {port}\n")), "{}", files["config.yml"]);
    // What openssl makes of it: the certificate is the CA's, the keys belong together, the id is its fingerprint.
    let folder = gateway.folder();
    for (name, text) in &files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let openssl = |arguments: &[&str]| {
        let out = std::process::Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(out.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let certificate = "ecd13b11-mything-certificate.pem";
    openssl(&["verify", "-attime", "1772366400", "-CAfile", "root-ca-cert.pem", certificate]);
    let text = openssl(&["x509", "-in", certificate, "-noout", "-text"]);
    for says in ["Version: 3", "rsaEncryption", "2048 bit", "CA:FALSE", "Digital Signature"] {
        assert!(text.contains(says), "{says} in {text}");
    }
    let public = openssl(&["x509", "-in", certificate, "-noout", "-pubkey"]);
    assert_eq!(public.trim(), openssl(&["rsa", "-in", "ecd13b11-mything-keypair-private.pem", "-pubout"]).trim());
    assert_eq!(public.trim(), files["ecd13b11-mything-keypair-public.pem"].trim());
    let print = openssl(&["x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"]).to_lowercase().replace(':', "");
    assert!(print.trim().ends_with(thing["certificateId"].as_str().unwrap()), "{print}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_that_brought_its_own_certificate_moves_over() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let native = ALICE.native(&http).await;
    let folder = gateway.folder();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "own.key",
            "-out",
            "own.pem",
            "-days",
            "20000",
            "-subj",
            "/CN=AWS IoT Certificate",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success());
    let pem = std::fs::read_to_string(folder.join("own.pem")).unwrap();
    let _ = native.post("/heliograph/v1/things", &json!({ "key": THING, "name": "ecd13b11-mything" })).await.expect(201);
    // It begins with the machine's present, which the test's clock must have reached.
    let made = std::fs::metadata(folder.join("own.pem")).unwrap().modified().unwrap();
    gateway.clock().set(model::Timestamp::try_from(made).unwrap() + Duration::from_secs(60));
    let (alice, native) = (ALICE.flashlex(&http).await, ALICE.native(&http).await);
    let _ = native.post(&format!("/heliograph/v1/things/{THING}/certificates"), &json!({ "pem": pem })).await.expect(201);
    let thing = alice.get(&format!("/prd/v1/things/{THING}")).await.expect(200).json()["result"].clone();
    assert_eq!(thing["keyPairPrivate"], "", "its private key is its own business");
    assert_eq!(thing["certificatePem"].as_str().unwrap().trim(), pem.trim());
    let token =
        super::signed(&std::fs::read_to_string(folder.join("own.key")).unwrap(), &super::header(THING), &super::claims(&gateway, THING));
    let _ = collect(&gateway, &token, THING, "{}").await.expect(200);
    let files = unzip(&alice.get(&format!("/prd/v1/things/{THING}/dist?raw=1")).await.expect(200).body);
    assert!(!files.keys().any(|name| name.contains("private")), "{:?}", files.keys());
}
