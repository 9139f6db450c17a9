//! Registration: an address and a password, a six-digit code by mail, and the account is there.

use axum::extract::State;
use edge::{Origin, Payload};
use identity::{ExposeSecret as _, Pending, SecretString};
use model::{Denial, Error, Result};
use notify::Mail;
use serde_json::{Map, Value};

use crate::error::Answer;
use crate::respond::ok;
use crate::wire::UserWire;
use crate::{App, Shared, payload};

/// The same answer for a new address and a known one; only the mail tells them apart.
pub(crate) async fn register(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    open(&app)?;
    let fields = Fields::parse(&body.0?)?;
    let (email, password) = (fields.need("email")?, SecretString::from(fields.need("password")?));
    if fields.get("passwordrepeat").is_some_and(|again| again != password.expose_secret()) {
        return Err(Error::invalid("passwordRepeat", "differs from password").into());
    }
    let pending = app.identity.register(&email, &password, &(&origin).into()).await?;
    let address = pending.email.clone();
    app.notify.mail(mail(&pending, &app.identity.public_url())).await?;
    let message = "A code was sent by e-mail. Verify it to finish the registration.";
    Ok(ok(message, serde_json::json!({ "message": message, "username": address })))
}

pub(crate) async fn verify(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    open(&app)?;
    let fields = Fields::parse(&body.0?)?;
    let signed_in = app.identity.verify_registration(&fields.need("email")?, fields.need("code")?.trim(), &(&origin).into()).await?;
    let user = signed_in.user.ok_or_else(|| Error::internal("a verified registration without a user"))?;
    Ok(ok("Registration verified.", UserWire::from(user)))
}

fn open(app: &App) -> Result<()> {
    if app.options.registration { Ok(()) } else { Err(Error::Forbidden(Denial::Rule("registration is closed on this gateway"))) }
}

fn mail(pending: &Pending, public_url: &str) -> Mail {
    let (subject, text) = match &pending.code {
        Some(code) => (
            format!("Your code: {}", code.expose_secret()),
            format!(
                "Somebody, you we hope, registers this address at {public_url}.\n\nThe code is {}, good until {}.\n\n\
                 If it was not you, leave this mail alone and nothing will happen.\n",
                code.expose_secret(),
                pending.expires.strftime("%H:%M UTC"),
            ),
        ),
        None => (
            "You have an account already".to_owned(),
            format!(
                "Somebody, you perhaps, tried to register this address at {public_url}, where it has an account already.\n\n\
                 Sign in with the password you chose then. If it was not you, leave this mail alone: nothing has changed.\n"
            ),
        ),
    };
    Mail { to: pending.email.clone(), subject, text }
}

/// The fields of a JSON object or of a form, by their names in lower case without separators (`Email`, `password_repeat`).
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self> {
        let text = payload::utf8(body)?.trim();
        let pairs = if text.starts_with(['{', '[', '"']) {
            let object: Map<String, Value> = edge::json(text.as_bytes())?;
            object.into_iter().filter_map(|(name, value)| plain(&value).map(|value| (name, value))).collect()
        } else {
            edge::form::<Vec<(String, String)>>(text.as_bytes())?
        };
        let name = |name: String| name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        Ok(Self(pairs.into_iter().map(|(n, value)| (name(n), value)).collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &'static str) -> Result<String> {
        match self.get(name) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(Error::invalid(name, "is missing")),
        }
    }
}

/// Text, or a number that stands for its digits (a code without quotes).
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(format!("{:0>6}", number.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_forms_are_the_same() {
        for body in [
            r#"{"email":"a@b.c","password":"p&w","passwordRepeat":"p&w"}"#,
            "email=a%40b.c&password=p%26w&passwordRepeat=p%26w",
            "Email=a%40b.c&Password=p%26w&Password+Repeat=p%26w",
        ] {
            let fields = Fields::parse(body.as_bytes()).unwrap();
            assert_eq!((fields.need("email").unwrap().as_str(), fields.need("password").unwrap().as_str()), ("a@b.c", "p&w"), "{body}");
            assert_eq!(fields.get("passwordrepeat"), Some("p&w"));
        }
    }

    #[test]
    fn a_code_keeps_its_zeros() {
        for body in [r#"{"code":"001234"}"#, r#"{"code":1234}"#, "code=001234"] {
            assert_eq!(Fields::parse(body.as_bytes()).unwrap().need("code").unwrap(), "001234", "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for bad in [&b"{"[..], b"[]", b"\"x\"", b"\xff"] {
            assert!(Fields::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "{}", r#"{"email":["a"]}"#, r#"{"email":""}"#, "email="] {
            assert!(Fields::parse(bad.as_bytes()).unwrap().need("email").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mail_has_the_code_and_a_known_address_gets_none() {
        let pending = |code: Option<&str>| Pending {
            email: "a@b.c".into(),
            code: code.map(SecretString::from),
            expires: "2026-01-01T10:15:00Z".parse().unwrap(),
        };
        let new = mail(&pending(Some("012345")), "https://gateway.example");
        assert!(new.subject.contains("012345") && new.text.contains("012345") && new.text.contains("10:15 UTC"));
        let known = mail(&pending(None), "https://gateway.example");
        assert!(known.text.contains("already") && !known.text.contains("code"));
    }
}
