//! Mails and the server that takes them.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::{AsyncSmtpTransport, AsyncSmtpTransportBuilder};
use lettre::{Address, AsyncTransport as _, Message, Tokio1Executor};
use model::{Error, Result, Timestamp};
use uuid::Uuid;

use crate::worker::Failure;

/// How long one exchange with the server may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest text, in bytes.
const MAX_TEXT: usize = 256 << 10;
/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 512;

/// A plain-text mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// One address, without a name.
    pub to: String,
    /// One line, at most 512 bytes.
    pub subject: String,
    /// The text, at most 256 KiB.
    pub text: String,
}

impl fmt::Debug for Mail {
    // The text may hold a code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Mail {
    pub(crate) fn check(&self) -> Result<()> {
        address("to", &self.to)?;
        if self.subject.len() > MAX_SUBJECT || self.subject.chars().any(char::is_control) {
            return Err(Error::invalid("subject", format!("must be one line of at most {MAX_SUBJECT} bytes")));
        }
        if self.text.len() > MAX_TEXT {
            return Err(Error::TooLarge { limit: MAX_TEXT as u64 });
        }
        Ok(())
    }
}

/// Is it the address of a mailbox, without a name? Error: Invalid.
pub fn check_address(field: &'static str, text: &str) -> Result<()> {
    address(field, text).map(|_| ()).map_err(|_| Error::invalid(field, format!("'{text:.100}' is not an e-mail address")))
}

fn address(field: &'static str, text: &str) -> Result<Address> {
    if text.len() > 254 {
        return Err(Error::invalid(field, "is not an e-mail address"));
    }
    text.parse().map_err(|_| Error::invalid(field, "is not an e-mail address"))
}

/// Where mails go.
#[derive(Clone)]
pub struct MailTransport(Option<Smtp>);

#[derive(Clone)]
struct Smtp {
    builder: AsyncSmtpTransportBuilder,
    /// Built at the first mail: its connection pool needs the runtime, and a configuration is read before there is one.
    server: Arc<OnceLock<AsyncSmtpTransport<Tokio1Executor>>>,
    from: Mailbox,
}

impl fmt::Debug for MailTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(smtp) => write!(f, "MailTransport(from {})", smtp.from),
            None => f.write_str("MailTransport(none)"),
        }
    }
}

impl MailTransport {
    /// Nowhere: mails stay queued until the gateway is started with a server.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// A server by URL, and the sender (`address` or `Name <address>`).
    ///
    /// `smtps://user:password@host:465` speaks TLS from the start. `smtp://host:587` with `?tls=required` begins with STARTTLS or not
    /// at all, with `?tls=starttls` if the server offers it, with `?tls=none` never. Without `tls` it is `required` where there is a
    /// password to protect and `starttls` otherwise. User and password are percent-encoded. Error: Invalid(smtp, from), without the URL.
    pub fn smtp(url: &str, from: &str) -> Result<Self> {
        let from: Mailbox = from.parse().map_err(|_| Error::invalid("from", "is not an e-mail address"))?;
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let password = base.contains('@');
        let tls = match query.split_once('=') {
            None if query.is_empty() && password => "required",
            None if query.is_empty() => "starttls",
            Some(("tls", mode)) => mode,
            _ => return Err(Error::invalid("smtp", "understands no parameter but tls")),
        };
        let lettre_url = match (base.split_once("://").map(|(scheme, _)| scheme), tls) {
            (Some("smtps"), _) => base.to_owned(),
            (Some("smtp"), "none") => base.to_owned(),
            (Some("smtp"), "starttls") => format!("{base}?tls=opportunistic"),
            (Some("smtp"), "required") => format!("{base}?tls=required"),
            (Some("smtp"), _) => return Err(Error::invalid("smtp", "tls is none, starttls or required")),
            _ => return Err(Error::invalid("smtp", "must begin with smtp:// or smtps://")),
        };
        // The library's error could repeat parts of the URL, password included.
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&lettre_url)
            .map_err(|_| Error::invalid("smtp", "is not of the form smtp://user:password@host:port"))?;
        Ok(Self(Some(Smtp { builder: builder.timeout(Some(TIMEOUT)), server: Arc::default(), from })))
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Hands one mail to the server.
    pub(crate) async fn send(&self, id: Uuid, created: Timestamp, mail: Mail) -> std::result::Result<(), Failure> {
        let Some(smtp) = &self.0 else { return Err(Failure::later("no mail server is configured")) };
        let message = smtp.message(id, created, mail).map_err(|e| Failure::forever(e.to_string()))?;
        match smtp.server.get_or_init(|| smtp.builder.clone().build()).send(message).await {
            Ok(_) => Ok(()),
            // What the server will never take; a refused sign-in is for the operator to mend, not the mail's fault.
            Err(error) if error.is_permanent() && !error.status().is_some_and(|code| matches!(u16::from(code), 530..=538)) => {
                Err(Failure::forever(text_of(&error)))
            }
            Err(error) => Err(Failure::later(text_of(&error))),
        }
    }
}

/// The error and its causes, cut to what a row should hold.
pub(crate) fn text_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

impl Smtp {
    fn message(&self, id: Uuid, created: Timestamp, mail: Mail) -> Result<Message> {
        let to = Mailbox::new(None, address("to", &mail.to)?);
        let head: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject)
            .date(SystemTime::from(created))
            // The same at each attempt, so that a mail sent twice is recognised as one.
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())));
        head.header(ContentType::TEXT_PLAIN).body(mail.text).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for good in [
            "smtp://localhost:25?tls=none",
            "smtp://u:p%40ss@mail.example.com",
            "smtps://u:p@mail.example.com:465",
            "smtp://h?tls=required",
        ] {
            assert!(MailTransport::smtp(good, "Heliograph <gateway@example.com>").is_ok(), "{good}");
        }
        for bad in ["", "mail.example.com", "http://h", "smtp://h?tls=maybe", "smtp://h?x=y", "smtp://"] {
            assert!(MailTransport::smtp(bad, "gateway@example.com").is_err(), "{bad}");
        }
        assert!(MailTransport::smtp("smtp://h", "nobody").is_err());
    }

    #[test]
    fn no_error_repeats_the_url() {
        let error = MailTransport::smtp("smtp://u:s3cret@:x", "g@example.com").unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn nothing_slips_into_the_header() {
        let mail = |to: &str, subject: &str| Mail { to: to.into(), subject: subject.into(), text: "x".into() };
        assert!(mail("a@example.com", "Hello, Wörld").check().is_ok());
        for bad in ["a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com", "A <a@example.com>", "", "a"] {
            assert!(mail(bad, "x").check().is_err(), "{bad:?}");
        }
        assert!(mail("a@example.com", "x\r\nBcc: b@example.com").check().is_err());
        assert!(mail("a@example.com", &"x".repeat(513)).check().is_err());
    }
}
