//! `heliograph things …`

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::{Scope, say};
use crate::client::{Client, escaped, text};
use crate::data::Layout;
use crate::{Config, Problem};

/// Things.
#[derive(Debug, Subcommand)]
pub enum Things {
    /// List things
    List {
        /// Only with this tag
        #[arg(long)]
        tag: Option<String>,
        /// Only names that contain this
        #[arg(long)]
        name: Option<String>,
    },
    /// Provision a thing
    Add {
        /// Its handle, unique in the tenant [default: made]
        key: Option<String>,
        /// Its name [default: the handle]
        #[arg(long)]
        name: Option<String>,
        /// What sort of device
        #[arg(long, default_value = "")]
        kind: String,
        /// What software it runs
        #[arg(long, default_value = "")]
        distribution: String,
        /// A label; may be repeated
        #[arg(long = "tag")]
        tags: Vec<String>,
        /// A name=value pair; may be repeated
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
        /// By what it is recognised
        #[arg(long, value_enum, default_value_t = Credentials::Rsa)]
        credentials: Credentials,
        /// Its secret, with `--credentials secret` [default: made]
        #[arg(long)]
        secret: Option<String>,
        /// Write certificate and keys into this directory
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Show a thing
    Show {
        /// Its handle or id
        thing: String,
    },
    /// Write a thing's certificate and keys into a directory
    Dist {
        /// Its handle or id
        thing: String,
        /// The directory [default: the thing's name]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Deprovision a thing, with its messages
    Remove {
        /// Its handle or id
        thing: String,
    },
}

/// By what a thing is recognised.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Credentials {
    /// A certificate with an RSA key
    Rsa,
    /// A certificate with an ECDSA key
    Ecdsa,
    /// A shared secret
    Secret,
    /// Nothing yet
    None,
}

/// Does what is asked.
pub async fn run(config: &Config, scope: &Scope, what: Things) -> Result<(), Problem> {
    let mut client = Client::open(config).await?;
    let done = match client.in_tenant(scope.tenant.as_deref()).await {
        Ok(()) => carry_out(&client, scope.json, what).await,
        Err(problem) => Err(problem),
    };
    client.close().await;
    done
}

async fn carry_out(client: &Client, json: bool, what: Things) -> Result<(), Problem> {
    match what {
        Things::List { tag, name } => {
            let mut query = String::from("/things?");
            for (param, value) in [("tag", tag), ("name", name)] {
                if let Some(value) = value {
                    query.push_str(&format!("{param}={}&", escaped(&value)));
                }
            }
            let things = client.all(query.trim_end_matches(['&', '?'])).await?;
            for thing in &things {
                if json {
                    say(thing)?;
                } else {
                    say(format_args!(
                        "{:<24} {:<28} {:<9} {}",
                        text(thing, "key"),
                        text(thing, "name"),
                        text(thing, "status"),
                        text(thing, "kind")
                    ))?;
                }
            }
            Ok(())
        }
        Things::Add { key, name, kind, distribution, tags, attributes, credentials, secret, out } => {
            let body = json!({
                "key": key, "name": name, "kind": kind, "distribution": distribution, "tags": tags,
                "attributes": pairs(&attributes)?, "credentials": credentials.word(), "secret": secret,
            });
            let thing = client.json(Method::POST, "/things", Some(&body)).await?;
            if json {
                say(&thing)?;
            } else {
                say(format_args!("added {} ({})", text(&thing, "key"), text(&thing, "id")))?;
                if let Some(secret) = thing.get("secret").and_then(Value::as_str) {
                    say(format_args!("secret: {secret}"))?;
                }
            }
            match (out, thing.get("keys")) {
                (Some(dir), Some(keys)) => write_keys(&dir, text(&thing, "name"), keys),
                (Some(_), None) => Err(Problem::failed("it has no certificate, so there is nothing to write")),
                (None, Some(_)) if !json => say(format_args!("its keys: heliograph things dist {}", text(&thing, "key"))),
                (None, _) => Ok(()),
            }
        }
        Things::Show { thing } => {
            let thing = client.get(&format!("/things/{}", escaped(&thing))).await?;
            say(if json { thing.to_string() } else { serde_json::to_string_pretty(&thing).map_err(Problem::failed)? })
        }
        Things::Dist { thing, out } => {
            let shown = client.get(&format!("/things/{}", escaped(&thing))).await?;
            let keys = client.get(&format!("/things/{}/keys", escaped(&thing))).await?;
            let name = text(&shown, "name");
            write_keys(&out.unwrap_or_else(|| PathBuf::from(name)), name, &keys)
        }
        Things::Remove { thing } => {
            client.json(Method::DELETE, &format!("/things/{}", escaped(&thing)), None).await?;
            say(format_args!("removed {thing}"))
        }
    }
}

impl Credentials {
    /// The API's word.
    fn word(self) -> &'static str {
        match self {
            Credentials::Rsa => "rsa_certificate",
            Credentials::Ecdsa => "ecdsa_certificate",
            Credentials::Secret => "secret",
            Credentials::None => "none",
        }
    }
}

fn pairs(texts: &[String]) -> Result<Map<String, Value>, Problem> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), Value::String(value.to_owned()))),
            None => Err(Problem::setup(format!("--attribute {text}: is not NAME=VALUE"))),
        })
        .collect()
}

/// The files of a device, named as its platform's distribution names them (contracts/flashlex.md 2.2).
fn write_keys(dir: &Path, name: &str, keys: &Value) -> Result<(), Problem> {
    std::fs::create_dir_all(dir).map_err(|e| Problem::file("make", dir, &e))?;
    let layout = Layout::new(dir);
    for (file, member, secret) in [
        (format!("{name}-certificate.pem"), "certificate", false),
        (format!("{name}-keypair-private.pem"), "private_key", true),
        (format!("{name}-keypair-public.pem"), "public_key", false),
        ("root-ca-cert.pem".to_owned(), "ca", false),
    ] {
        let content = text(keys, member);
        if !content.is_empty() {
            let path = dir.join(file);
            layout.write(&path, content.as_bytes(), secret)?;
            say(format_args!("wrote {}", path.display()))?;
        }
    }
    Ok(())
}
