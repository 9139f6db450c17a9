//! Small requests that would cost much: nesting, aliases, fragments, patterns.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use testkit::fleet::{ALICE, API_KEY};

use super::assert_quiet;
use crate::Place;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn graphql_bombs_do_not_go_off() {
    let place = Place::new();
    let gateway = place.start();
    let http = gateway.http();
    let fragments: String = (0..30).map(|i| format!("fragment f{i} on Query {{ ...f{} ...f{} }}\n", i + 1, i + 1)).collect();
    let many = |n: usize, f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<String>();
    let login = format!("login(input: {{ email: \"{}\", password: \"wrong\" }}) {{ code }}", ALICE.email);
    let wide = many(200, &|i| format!("a{i}: usage {{ plan }} "));
    let queries = [
        ("aliases", format!("{{ {} }}", many(1_000, &|i| format!("a{i}: me {{ user {{ id }} }} ")))),
        ("aliases in an inline fragment", format!("{{ ... on Query {{ {wide} }} }}")),
        ("aliases in a fragment, many times", format!("{{ {} }} fragment w on Query {{ {wide} }}", "...w ".repeat(500))),
        ("depth", format!("{}id{}", "{ me ".repeat(5_000), "}".repeat(5_000))),
        ("depth of selections", "{".repeat(30_000)),
        ("depth of a list", format!("{{ thing(id: {}) {{ id }} }}", "[".repeat(30_000))),
        ("depth of an object", format!("{{ thing(id: {}) {{ id }} }}", "{a:".repeat(20_000))),
        ("a fragment that is itself", "{ ...a } fragment a on Query { ...a }".to_owned()),
        ("fragments in a ring", "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned()),
        ("fragments that double", format!("{{ ...f0 }} {fragments} fragment f30 on Query {{ __typename }}")),
        ("directives", format!("{{ me {} {{ user {{ id }} }} }}", "@include(if: true) ".repeat(2_000))),
        ("fields", format!("{{ {} }}", "__typename ".repeat(100_000))),
        ("a long name", format!("{{ {} }}", "a".repeat(500_000))),
        ("a long string", format!("{{ thing(id: \"{}\") {{ id }} }}", "a".repeat(900_000))),
        ("a number", format!("{{ things(limit: {}) {{ next }} }}", "9".repeat(10_000))),
        ("variables", format!("query({}) {{ __typename }}", many(5_000, &|i| format!("$a{i}: [[[[Int]]]] ")))),
        ("types", format!("query($a: {}Int{}) {{ __typename }}", "[".repeat(20_000), "]".repeat(20_000))),
        ("comments", "#\n".repeat(400_000)),
        (
            "introspection of introspection",
            format!("{{ __schema {{ types {{ {} name {} }} }} }}", "fields { type { ".repeat(40), "} }".repeat(40)),
        ),
        ("operations", many(5_000, &|i| format!("query q{i} {{ __typename }} "))),
        ("logins", format!("mutation {{ {} }}", many(20, &|i| format!("a{i}: {login} ")))),
        ("logins in a fragment", format!("mutation {{ ... on Mutation {{ {} }} }}", many(20, &|i| format!("a{i}: {login} ")))),
        ("logins in a spread", format!("mutation {{ ...l }} fragment l on Mutation {{ {} }}", many(20, &|i| format!("a{i}: {login} ")))),
    ];
    for (what, query) in &queries {
        let began = Instant::now();
        let answer = http.post("/graphql", &json!({ "query": query })).await;
        assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
        assert!(matches!(answer.status, 200 | 400 | 413), "{what}: {}", answer.status);
        let text = answer.text();
        if what.starts_with("logins") {
            assert!(text.contains("more than one login"), "{what}: {text}");
        }
        assert!(text.contains("\"errors\""), "{what}: {text:.300}");
        // By GET as well, as far as an address is long.
        if query.len() < 8_000 && query.is_ascii() {
            let encoded: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
            let answer = http.send(Method::GET, &format!("/graphql?query={encoded}"), &[("accept", "application/json")], None).await;
            assert!(matches!(answer.status, 200 | 400 | 405 | 413 | 414 | 431), "{what}: {}", answer.status);
        }
    }
    let deep = format!("{{\"query\":\"{{__typename}}\",\"variables\":{{\"a\":{}1{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = http.send(Method::POST, "/graphql", &[("content-type", "application/json")], Some(deep.into_bytes())).await;
    assert_eq!(answer.status, 400);
    assert_quiet(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_is_refused_at_every_face() {
    let place = Place::new();
    let gateway = place.start();
    let http = gateway.http();
    let (native, flashlex) = (ALICE.native(&http).await, ALICE.flashlex(&http).await);
    let flotas = http.post("/api/Auth/Token", &json!({ "userName": ALICE.email, "apiKey": API_KEY })).await.expect(200).json();
    let flotas = http.bearer(flotas["token"].as_str().unwrap());
    let open_iot =
        http.post("/v1/api/auth/token", &json!({ "username": ALICE.email, "password": ALICE.password })).await.expect(200).json();
    let open_iot = http.bearer(open_iot["token"].as_str().unwrap());
    let bombs = [
        "[".repeat(400_000),
        "{\"a\":".repeat(150_000),
        format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{\"key\":{}}}", "9".repeat(100_000)),
        format!("{{\"key\":1e{}}}", "9".repeat(300)),
        format!("{{{}}}", (0..40_000).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(",")),
    ];
    for bomb in bombs {
        for (who, method, path) in [
            (&native, "POST", "/heliograph/v1/things"),
            (&native, "PATCH", "/heliograph/v1/things/dev-1"),
            (&http, "POST", "/heliograph/v1/token"),
            (&flashlex, "POST", "/prd/v1/things"),
            (&flotas, "POST", "/api/groups"),
            (&flotas, "PATCH", "/api/groups/1"),
            (&flotas, "POST", "/api/devices/1/locations"),
            (&http, "POST", "/api/Auth/Token"),
            (&http, "POST", "/api/osmand?id=dev-1&secret=x"),
            (&http, "POST", "/v1/api/auth/token"),
            (&open_iot, "POST", "/v1/api/accounts"),
            (&http, "POST", "/oauth2/token"),
        ] {
            let began = Instant::now();
            let headers = [("content-type", "application/json")];
            let answer = who.send(method.parse().unwrap(), path, &headers, Some(bomb.clone().into_bytes())).await;
            // FlashLex reads over members it does not know, however many.
            let ignored = answer.status == 200 && path.starts_with("/prd/") && bomb.ends_with('}');
            assert!(ignored || (400..500).contains(&answer.status), "{method} {path} of {:.20}: {answer}", bomb);
            assert!(began.elapsed() < SOON, "{method} {path} of {:.20}", bomb);
        }
    }
    assert_quiet(&gateway);
}
