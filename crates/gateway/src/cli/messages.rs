//! `heliograph messages …`

use std::io::Read as _;

use bytes::Bytes;
use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::{Scope, say};
use crate::client::{Client, escaped, text};
use crate::{Config, Problem};

/// Messages.
#[derive(Debug, Subcommand)]
pub enum Messages {
    /// List a thing's messages, newest first
    List {
        /// The thing's handle or id
        thing: String,
        /// Not before: RFC 3339 or seconds since the epoch
        #[arg(long)]
        from: Option<String>,
        /// Not after
        #[arg(long)]
        to: Option<String>,
        /// inbound (from the thing) or outbound (to it)
        #[arg(long, value_enum)]
        direction: Option<Way>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Send a message to a thing
    Send {
        /// The thing's handle or id
        thing: String,
        /// The payload; `-` reads it from stdin
        payload: String,
        /// Seconds after which it is no longer worth delivering
        #[arg(long)]
        expires_in: Option<u32>,
        /// 0 to 9: 9 is delivered first [default: 4]
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=9))]
        priority: Option<u8>,
    },
    /// List what waits for a thing, in the order it will receive it
    Inbox {
        /// The thing's handle or id
        thing: String,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one message
    Show(One),
    /// Take a message out of the inbox; it stays in the history
    Remove(One),
    /// Declare a waiting message's time to be over
    Expire(One),
    /// Send a message once more: waiting, delivered, expired or dead
    Redeliver {
        #[command(flatten)]
        one: One,
        /// Before everything that waits
        #[arg(long)]
        first: bool,
    },
    /// Take a waiting message aside, among the dead letters
    Bury {
        #[command(flatten)]
        one: One,
        /// Why
        #[arg(long, default_value = "taken aside by hand")]
        reason: String,
    },
    /// List a thing's dead letters
    Dead {
        /// The thing's handle or id
        thing: String,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Delete a dead letter
    Forget(One),
    /// Show or set how safely the tenant's messages are kept before they are acknowledged
    Durability {
        /// sync (on disk), flush, memory, or default for the gateway's; absent: show it
        level: Option<String>,
    },
    /// Print messages as they come
    Tail {
        /// Only this thing's
        thing: Option<String>,
        /// inbound (from things) or outbound (to them)
        #[arg(long, value_enum)]
        direction: Option<Way>,
    },
}

/// One message of a thing.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The thing's handle or id
    thing: String,
    /// The message's id
    message: String,
}

impl One {
    /// Below the thing, with what is behind the message.
    fn path(&self, list: &str, rest: &str) -> String {
        format!("/things/{}/{list}/{}{rest}", escaped(&self.thing), escaped(&self.message))
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Way {
    /// From the thing
    Inbound,
    /// To the thing
    Outbound,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Inbound => "inbound",
            Way::Outbound => "outbound",
        }
    }
}

/// Does what is asked.
pub async fn run(config: &Config, scope: &Scope, what: Messages) -> Result<(), Problem> {
    let mut client = Client::open(config).await?;
    let done = match client.in_tenant(scope.tenant.as_deref()).await {
        Ok(()) => carry_out(&client, scope.json, what).await,
        Err(problem) => Err(problem),
    };
    client.close().await;
    done
}

async fn carry_out(client: &Client, json: bool, what: Messages) -> Result<(), Problem> {
    match what {
        Messages::List { thing, from, to, direction, limit } => {
            let mut path = format!("/things/{}/messages?limit={limit}", escaped(&thing));
            for (name, value) in [("from", from), ("to", to), ("direction", direction.map(|d| d.word().to_owned()))] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", escaped(&value)));
                }
            }
            let page = client.get(&path).await?;
            if let Some(Value::Array(items)) = page.get("items") {
                for message in items {
                    show(message, json)?;
                }
            }
            Ok(())
        }
        Messages::Send { thing, payload, expires_in, priority } => {
            let mut body = Map::new();
            let (member, value) = content(payload)?;
            body.insert(member.to_owned(), value);
            if let Some(seconds) = expires_in {
                body.insert("expires_in".to_owned(), json!(seconds));
            }
            if let Some(priority) = priority {
                body.insert("priority".to_owned(), json!(priority));
            }
            let message = client.json(Method::POST, &format!("/things/{}/messages", escaped(&thing)), Some(&Value::Object(body))).await?;
            if json { say(&message) } else { say(format_args!("{} {}", text(&message, "status"), text(&message, "id"))) }
        }
        Messages::Inbox { thing, limit } => waiting(client, &format!("/things/{}/inbox?limit={limit}", escaped(&thing)), json).await,
        Messages::Dead { thing, limit } => waiting(client, &format!("/things/{}/dead-letters?limit={limit}", escaped(&thing)), json).await,
        Messages::Show(one) => show_queued(&client.get(&one.path("messages", "")).await?, json),
        Messages::Remove(one) => done(client, Method::DELETE, &one.path("inbox", ""), None, "removed").await,
        Messages::Expire(one) => done(client, Method::POST, &one.path("inbox", "/expire"), None, "expired").await,
        Messages::Forget(one) => done(client, Method::DELETE, &one.path("dead-letters", ""), None, "deleted").await,
        Messages::Bury { one, reason } => {
            done(client, Method::POST, &one.path("inbox", "/bury"), Some(&json!({ "reason": reason })), "taken aside").await
        }
        Messages::Redeliver { one, first } => {
            let copy = client.json(Method::POST, &one.path("messages", "/redeliver"), Some(&json!({ "first": first }))).await?;
            if json { say(&copy) } else { say(format_args!("{} {}", text(&copy, "status"), text(&copy, "id"))) }
        }
        Messages::Durability { level } => durability(client, json, level.as_deref()).await,
        Messages::Tail { thing, direction } => {
            if !client.is_running() {
                return Err(Problem::failed("no gateway runs on this data directory, so no message can come"));
            }
            let mut path = match &thing {
                Some(thing) => format!("/things/{}/messages/stream", escaped(thing)),
                None => "/messages/stream".to_owned(),
            };
            if let Some(direction) = direction {
                path.push_str(&format!("?direction={}", direction.word()));
            }
            tail(client, &path, json).await
        }
    }
}

/// Does something that answers nothing.
async fn done(client: &Client, method: Method, path: &str, body: Option<&Value>, what: &str) -> Result<(), Problem> {
    client.json(method, path, body).await?;
    say(what)
}

async fn waiting(client: &Client, path: &str, json: bool) -> Result<(), Problem> {
    let page = client.get(path).await?;
    for message in page.get("items").and_then(Value::as_array).into_iter().flatten() {
        show_queued(message, json)?;
    }
    Ok(())
}

/// One line: id, priority and, of a dead letter, why.
fn show_queued(message: &Value, json: bool) -> Result<(), Problem> {
    if json {
        return say(message);
    }
    let priority = message.get("priority").and_then(Value::as_u64).map_or_else(|| "-".to_owned(), |p| p.to_string());
    let reason = Some(text(message, "reason")).filter(|reason| !reason.is_empty()).map(|reason| format!("  ({})", reason.escape_debug()));
    let (id, at, status) = (text(message, "id"), text(message, "at"), text(message, "status"));
    say(format_args!("{id}  {at}  {priority}  {status:<9} {}{}", line(message), reason.unwrap_or_default()))
}

async fn durability(client: &Client, json: bool, level: Option<&str>) -> Result<(), Problem> {
    let tenant = client.get("/me").await?;
    let path = format!("/tenants/{}/durability", escaped(text(&tenant, "tenant")));
    let told = match level {
        None => client.get(&path).await?,
        Some("default") => client.json(Method::PUT, &path, Some(&json!({ "level": null }))).await?,
        Some(level) => client.json(Method::PUT, &path, Some(&json!({ "level": level }))).await?,
    };
    if json {
        return say(&told);
    }
    let own = if told.get("level").is_some() { "the tenant's own" } else { "the gateway's" };
    say(format_args!("{} ({own})", text(&told, "effective")))
}

/// The payload as the API takes it: text, or base64 of what is not UTF-8.
fn content(payload: String) -> Result<(&'static str, Value), Problem> {
    use base64::Engine as _;
    if payload != "-" {
        return Ok(("payload", Value::String(payload)));
    }
    let mut bytes = Vec::new();
    std::io::stdin().take(16 << 20).read_to_end(&mut bytes).map_err(Problem::failed)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => ("payload", Value::String(text)),
        Err(other) => ("payload_base64", Value::String(base64::engine::general_purpose::STANDARD.encode(other.as_bytes()))),
    })
}

fn show(message: &Value, json: bool) -> Result<(), Problem> {
    if json {
        return say(message);
    }
    let payload = line(message);
    let topic = Some(text(message, "topic")).filter(|topic| !topic.is_empty()).unwrap_or("-");
    say(format_args!("{}  {:<8} {:<9} {topic}  {payload}", text(message, "at"), text(message, "direction"), text(message, "status")))
}

/// The payload on one line, whatever is in it.
fn line(message: &Value) -> String {
    let payload = message.get("payload").and_then(Value::as_str).unwrap_or_else(|| text(message, "payload_base64"));
    payload.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// Reads server-sent events (WHATWG HTML 9.2) until the stream ends.
async fn tail(client: &Client, path: &str, json: bool) -> Result<(), Problem> {
    let mut answer = client.send(Method::GET, path, None).await?;
    let mut events = Events::default();
    while let Some(piece) = answer.chunk().await? {
        for (kind, data) in events.read(&piece) {
            let value: Value = serde_json::from_str(&data).unwrap_or(Value::Null);
            match kind.as_str() {
                "" | "message" => show(&value, json)?,
                "lagged" => eprintln!(
                    "heliograph: {} messages were missed here; `messages list` has them",
                    value.get("missed").unwrap_or(&Value::Null)
                ),
                "end" => return Err(Problem::failed(text(&value, "reason"))),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Server-sent events out of pieces that begin and end anywhere.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    kind: String,
    data: String,
}

impl Events {
    fn read(&mut self, piece: &Bytes) -> Vec<(String, String)> {
        let mut done = Vec::new();
        for byte in piece {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            if line.is_empty() {
                let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
                if !data.is_empty() {
                    done.push((kind, data));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line.as_str(), ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.kind),
                "data" if self.data.is_empty() => value.clone_into(&mut self.data),
                "data" => {
                    self.data.push('\n');
                    self.data.push_str(value);
                }
                _ => {}
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_any_cut() {
        let text = ": hello\nretry: 3000\n\nid: 1\ndata: {\"a\":1}\n\nevent: end\r\ndata: x\r\ndata: y\r\n\r\ndata: unfinished\n";
        for cut in 0..text.len() {
            let mut events = Events::default();
            let (a, b) = text.split_at(cut);
            let mut got = events.read(&Bytes::copy_from_slice(a.as_bytes()));
            got.extend(events.read(&Bytes::copy_from_slice(b.as_bytes())));
            assert_eq!(got, [(String::new(), "{\"a\":1}".to_owned()), ("end".to_owned(), "x\ny".to_owned())], "cut at {cut}");
        }
    }
}
