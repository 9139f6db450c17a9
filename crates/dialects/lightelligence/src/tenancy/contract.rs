//! What a tenant's owner says of billing: checked, kept, shown again; nothing here is ever billed.

use model::{Error, Result};
use serde_json::{Map, Value};

/// A text property: its path, how short and long it may be, whether it must be there.
type Text = (&'static str, usize, usize, bool);

const CONTACT: &[Text] = &[
    ("title", 1, 4, true),
    ("firstname", 1, 40, true),
    ("lastname", 1, 40, true),
    ("email", 3, 254, true),
    ("phoneCountryPrefix", 0, 8, false),
    ("phone", 1, 40, false),
];
const COMPANY: &[Text] = &[
    ("name1", 1, 40, true),
    ("name2", 1, 40, false),
    ("street", 1, 40, true),
    ("housenum", 1, 8, true),
    ("postcode", 1, 15, true),
    ("city", 1, 40, true),
    ("countryCode", 1, 8, true),
    ("vat", 1, 12, false),
];
const PACKAGE: &[Text] = &[("id", 1, 127, true)];
const PAYMENT: &[Text] = &[("shopperReference", 36, 36, true), ("recurringDetailReference", 1, 255, true)];
/// The parts, and whether a new tenant needs them.
const PARTS: &[(&str, &[Text], bool)] =
    &[("billingContact", CONTACT, true), ("billingCompany", COMPANY, true), ("package", PACKAGE, true), ("payment", PAYMENT, true)];
const CONTRACT_ID_MAX: usize = 127;

/// Reads the parts out of a body. `anew`: all that is needed must be there, and texts that may be left out must not be empty.
pub(super) fn read(body: &Map<String, Value>, anew: bool) -> Result<Map<String, Value>> {
    let mut kept = Map::new();
    for (part, texts, needed) in PARTS {
        match body.get(*part) {
            Some(Value::Object(given)) => {
                kept.insert((*part).to_owned(), Value::Object(check(part, given, texts, anew)?));
            }
            None if !(anew && *needed) => {}
            _ => return Err(Error::invalid("body", format!("{part} is missing or no object"))),
        }
    }
    match body.get("contractId") {
        None => {}
        Some(Value::String(id)) if id.chars().count() <= CONTRACT_ID_MAX => {
            kept.insert("contractId".to_owned(), Value::String(id.clone()));
        }
        Some(_) => return Err(Error::invalid("contractId", format!("must be a text of at most {CONTRACT_ID_MAX} characters"))),
    }
    Ok(kept)
}

fn check(part: &str, given: &Map<String, Value>, texts: &[Text], anew: bool) -> Result<Map<String, Value>> {
    let wrong = |name: &str, reason: &str| Err(Error::invalid("body", format!("{part}.{name} {reason}")));
    let mut kept = Map::new();
    for (name, least, most, needed) in texts {
        let text = match given.get(*name) {
            Some(Value::String(text)) => text,
            None if !needed => continue,
            _ => return wrong(name, "is missing or no text"),
        };
        let least = if *needed || anew { *least } else { 0 };
        if !(least..=*most).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            return wrong(name, &format!("must be {least} to {most} characters"));
        }
        let fits = match *name {
            "title" => ["Mr.", "Mrs.", "Ms."].contains(&text.as_str()),
            "email" => model::normalize_email(text).is_ok(),
            "shopperReference" => text.parse::<uuid::Uuid>().is_ok(),
            _ => true,
        };
        if !fits {
            return wrong(name, "has no value that is allowed");
        }
        kept.insert((*name).to_owned(), Value::String(text.clone()));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn whole() -> Value {
        json!({
            "name": "acme",
            "billingContact": { "title": "Ms.", "firstname": "A", "lastname": "B", "email": "a@b.example", "mood": "good" },
            "billingCompany": { "name1": "ACME", "street": "S", "housenum": "1", "postcode": "1", "city": "C", "countryCode": "DE" },
            "package": { "id": "OLT_FREE2019" },
            "payment": { "shopperReference": "0190a0b0-1234-7abc-8def-0123456789ab", "recurringDetailReference": "r" },
        })
    }

    #[test]
    fn what_is_asked_for_is_kept_and_nothing_else() {
        let kept = read(&body(whole()), true).unwrap();
        assert_eq!(kept.len(), 4);
        assert!(kept["billingContact"].get("mood").is_none());
    }

    #[test]
    fn a_new_tenant_needs_all_a_change_needs_nothing() {
        for part in ["billingContact", "billingCompany", "package", "payment"] {
            let mut less = body(whole());
            less.remove(part);
            assert!(read(&less, true).is_err(), "{part}");
            assert!(read(&less, false).is_ok());
        }
        assert!(read(&Map::new(), false).unwrap().is_empty());
    }

    #[test]
    fn wrong_values_are_refused() {
        for (path, bad) in [
            ("/billingContact/title", json!("Dr.")),
            ("/billingContact/email", json!("nobody")),
            ("/billingContact/firstname", json!("")),
            ("/billingCompany/housenum", json!("123456789")),
            ("/payment/shopperReference", json!("x")),
            ("/package/id", json!(7)),
            ("/package", json!([])),
        ] {
            let mut wrong = whole();
            *wrong.pointer_mut(path).unwrap() = bad;
            assert!(read(&body(wrong), true).is_err(), "{path}");
        }
    }
}
