//! Project Wycheproof's JWS and JWK vectors, every one, through the functions that check our own tokens. The key is fixed
//! and brings its algorithm. Where we are stricter than the vectors, the good ones we refuse are counted by name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::Algorithm;
use crate::tokens::{read_header, signed_payload};

const SIGNATURES: &str = include_str!("../../tests/vectors/wycheproof-json_web_signature.json");
const KEYS: &str = include_str!("../../tests/vectors/wycheproof-json_web_key.json");
const OURS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::EdDsa, Algorithm::Hs512];

fn bytes(jwk: &Value, member: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap()
}

/// A key as we would hold it; the algorithm is `None` where it is none of ours or the key is not for signatures.
fn key(jwk: &Value) -> (Option<Algorithm>, DecodingKey) {
    let algorithm = jwk["alg"].as_str().and_then(Algorithm::from_name);
    // The rules our own keys, and the keys that others bring, are held to.
    let sound = match (jwk.get("n"), algorithm) {
        (Some(_), _) => !crate::roca::weak(&bytes(jwk, "n")),
        (None, Some(Algorithm::Hs512)) => bytes(jwk, "k").len() >= crate::keys::HS512_KEY,
        _ => true,
    };
    let signs =
        jwk["use"].as_str().is_none_or(|u| u == "sig") && jwk["key_ops"].as_array().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let decoding = match (jwk["kty"].as_str().unwrap(), jwk["crv"].as_str()) {
        ("oct", _) => DecodingKey::from_secret(&bytes(jwk, "k")),
        // The set says RSA of a key that has a point: read as what it is.
        ("EC", _) | (_, Some(_)) => DecodingKey::from_ec_components(jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap()).unwrap(),
        _ => DecodingKey::from_rsa_raw_components(&bytes(jwk, "n"), &bytes(jwk, "e")),
    };
    (algorithm.filter(|_| signs && sound), decoding)
}

fn verifies(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    signed_payload(token, key, algorithm).is_ok()
}

#[derive(Debug, Default, PartialEq)]
struct Count {
    accepted: usize,
    refused: usize,
    /// Good by the vectors, refused by us: the key's algorithm, how many.
    stricter: BTreeMap<String, usize>,
}

impl Count {
    fn note(&mut self, test: &Value, jwk: &Value, accepted: bool) {
        let (id, result) = (&test["tcId"], test["result"].as_str().unwrap());
        match (result, accepted) {
            ("valid" | "acceptable", true) => self.accepted += 1,
            ("invalid", false) => self.refused += 1,
            ("valid" | "acceptable", false) => {
                let name = jwk["alg"].as_str().unwrap();
                assert!(Algorithm::from_name(name).is_none(), "{id}: {name} is ours and a good signature was refused");
                *self.stricter.entry(name.to_owned()).or_default() += 1;
            }
            _ => panic!("{id}: {} was accepted", test["comment"]),
        }
    }
}

fn named<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn every_signature() {
    let file: Value = serde_json::from_str(SIGNATURES).unwrap();
    let mut count = Count::default();
    for group in file["testGroups"].as_array().unwrap() {
        let jwk = group.get("public").unwrap_or(&group["private"]);
        let (algorithm, key) = key(jwk);
        for test in group["tests"].as_array().unwrap() {
            let token = test["jws"].as_str().unwrap();
            count.note(test, jwk, algorithm.is_some_and(|algorithm| verifies(token, &key, algorithm)));
            // No other algorithm of ours opens it either, unless the header asks for just that one.
            let asks = read_header(token).ok().and_then(|header| Algorithm::from_name(&format!("{:?}", header.alg)));
            for other in OURS.into_iter().filter(|other| Some(*other) != asks) {
                assert!(!verifies(token, &key, other), "{}: {other:?}", test["tcId"]);
            }
        }
    }
    let stricter = named([("ES256", 2), ("ES521", 2), ("HS256", 10), ("PS256", 8), ("PS384", 4), ("PS512", 4), ("RS384", 4), ("RS512", 4)]);
    assert_eq!(count, Count { accepted: 8, refused: 355, stricter });
}

/// Key sets: a token's key is the one its `kid` names, as ours are; a set that names two keys alike has none.
#[test]
fn every_key_set() {
    let file: Value = serde_json::from_str(KEYS).unwrap();
    let mut count = Count::default();
    for group in file["testGroups"].as_array().unwrap() {
        let set = group.get("public").unwrap_or(&group["private"])["keys"].as_array().unwrap();
        for test in group["tests"].as_array().unwrap() {
            let token = test["jws"].as_str().unwrap();
            let kid = read_header(token).unwrap().kid.unwrap();
            let named: Vec<_> = set.iter().filter(|jwk| jwk["kid"] == kid.as_str()).collect();
            let accepted = match named.as_slice() {
                [jwk] => {
                    let (algorithm, key) = key(jwk);
                    algorithm.is_some_and(|algorithm| verifies(token, &key, algorithm))
                }
                _ => false,
            };
            count.note(test, named[0], accepted);
        }
    }
    assert_eq!(count, Count { accepted: 2, refused: 21, stricter: named([("HS256", 2), ("HS384", 1)]) });
}
