//! From a message on disk to the mail handed over: `cargo run -p rules --example told [--release]`.
//!
//! A hundred things, each told of by a rule and a notification. One message at a time, each after the mail of the one before, so that
//! what is measured is the way and not a queue: journal (synced), worker, outbox, SMTP dialogue with a server on loopback. The ratio
//! printed is against the same SMTP dialogue alone, by the same mailer, in the same run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a measurement prints and may fail")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use identity::{Identity, MasterKey, NewTenant, PasswordCost};
use journal::{Durability, Journal};
use model::{Caller, Clock, PlanName, Principal, Role, TenantId, UserId};
use notify::{Mail, MailTransport, Notify};
use rules::Rules;
use store::Db;
use things::{Incoming, NewThing, Options, Things, thing_permissions};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const THINGS: usize = 100;
const RULE: &str = r#"{"name":"hot","condition":{"compare":{"path":"$.attributes.t","comparator":"gt","constant":30}},"event":"hot"}"#;
const NOTE: &str = r#"{"template":{"recipients":["a@x.example"],"payload":"It is hot."},"filter":{"events":["hot"]}}"#;

/// Takes every mail and says when.
async fn sink(listener: TcpListener, taken: mpsc::UnboundedSender<Instant>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(dialogue(stream, taken.clone()));
    }
}

async fn dialogue(stream: TcpStream, taken: mpsc::UnboundedSender<Instant>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 sink\r\n").await?;
    let mut data = false;
    while let Some(line) = lines.next_line().await? {
        let answer: &[u8] = match line.as_str() {
            "." if data => {
                data = false;
                let _ = taken.send(Instant::now());
                b"250 taken\r\n"
            }
            _ if data => continue,
            "DATA" => {
                data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 sink\r\n",
        };
        write.write_all(answer).await?;
    }
    Ok(())
}

fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let db = Db::sqlite(&dir.path().join("store.db")).await.unwrap();
    let journal = Journal::open(journal::Options::new(dir.path().join("journal"), clock.clone())).await.unwrap();
    let mut options = identity::Options::new(clock.clone(), "https://gate.example.com", MasterKey::from_bytes([42; 32]));
    options.password = PasswordCost::fast();
    let identity = Identity::open(db.clone(), options).await.unwrap();
    let things = Things::open(db.clone(), journal.clone(), identity.clone(), Options::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (taken, mut mails) = mpsc::unbounded_channel();
    tokio::spawn(sink(listener, taken));
    let notify = Notify::open(db.clone(), clock.clone(), MailTransport::smtp(&url, "gateway@example.com").unwrap());
    let operator = identity.operator_caller(TenantId(Uuid::nil()));
    let new = NewTenant { name: "acme".to_owned(), plan: PlanName::ALL.last().copied(), ..NewTenant::default() };
    let tenant = identity.create_tenant(&operator, new).await.unwrap().id;
    let caller = |principal, permissions| Caller { tenant, principal, permissions, request: clock.new_id(), address: None };
    let owner = caller(Principal::User(UserId(Uuid::from_u128(1))), Role::Owner.permissions());
    let mut fleet = Vec::new();
    for n in 0..THINGS {
        let new = NewThing { key: Some(format!("dev-{n}")), ..NewThing::default() };
        fleet.push(things.provision(&owner, new).await.unwrap().thing);
    }
    let rules = Rules::open(db.clone(), journal.clone(), identity.clone(), things.clone(), notify.clone());
    rules.create_rule(&owner, serde_json::from_str(RULE).unwrap()).await.unwrap();
    rules.create_notification(&owner, serde_json::from_str(NOTE).unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn({
        let (rules, stop) = (rules.clone(), stop.clone());
        async move { rules.run(stop).await }
    });
    tokio::spawn({
        let (notify, stop) = (notify.clone(), stop.clone());
        async move { notify.run(stop).await }
    });
    // The workers find out where they are.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let (mut told, mut mailed) = (Vec::new(), Vec::new());
    for thing in &fleet {
        let incoming = Incoming {
            thing: thing.id,
            direction: model::Direction::Inbound,
            topic: Bytes::from_static(b"x"),
            payload: Bytes::from_static(br#"{"t":41}"#),
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires: None,
            idempotency: None,
        };
        let message = things.accept(&caller(Principal::Thing(thing.id), thing_permissions()), incoming).unwrap();
        let begun = Instant::now();
        journal.write(message, Durability::Sync).await.unwrap();
        told.push(mails.recv().await.unwrap() - begun);
        let mail = Mail { to: "a@x.example".to_owned(), subject: "alone".to_owned(), text: "It is hot.".to_owned() };
        let begun = Instant::now();
        notify.mail(mail).await.unwrap();
        mailed.push(mails.recv().await.unwrap() - begun);
    }
    stop.cancel();
    let (told, mailed) = (quantiles(told), quantiles(mailed));
    println!("{THINGS} messages, one at a time; milliseconds p50 / p99");
    println!("| publish to mail handed over | {:.1} / {:.1} |", told.0.as_secs_f64() * 1e3, told.1.as_secs_f64() * 1e3);
    println!("| a mail alone, queued to handed over | {:.1} / {:.1} |", mailed.0.as_secs_f64() * 1e3, mailed.1.as_secs_f64() * 1e3);
    println!("| ratio at p50 | {:.2} |", told.0.as_secs_f64() / mailed.0.as_secs_f64());
}
