//! A broker that lets everything pass: `cargo run -p mqtt --features testing --example broker -- 127.0.0.1:1883 DIR [memory]`.
//! Never on a network: there is no authentication.

use std::error::Error;
use std::sync::Arc;

use journal::{Durability, Journal, Options};
use model::Clock;
use mqtt::testing::OpenHost;
use mqtt::{Broker, Limits, StreamMeta};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:1883".to_owned());
    let dir = arguments.next().unwrap_or_else(|| "mqtt-example-journal".to_owned());
    let clock = Clock::system();
    let host = OpenHost::default();
    if arguments.next().as_deref() == Some("memory") {
        *host.durability.lock() = Some(Durability::Memory);
    }
    let journal = Journal::open(Options::new(dir, clock.clone())).await?;
    let limits = Limits { response_prefix: Some("response".to_owned()), ..Limits::default() };
    let broker = Broker::new(Arc::new(host), journal.clone(), clock, limits).await;
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, peer) = accepted?;
                stream.set_nodelay(true)?;
                let broker = Arc::clone(&broker);
                let meta = StreamMeta { address: Some(peer), ..StreamMeta::default() };
                tokio::spawn(async move { broker.serve(stream, meta).await });
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    broker.stop(std::time::Duration::from_secs(5)).await;
    println!("{:?}", broker.stats());
    journal.close().await?;
    Ok(())
}
