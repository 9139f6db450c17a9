//! Everything a gateway remembers, opened: store, journal, identity, things, outbox, rules.

use std::sync::Arc;

use identity::{ExposeSecret as _, Identity, MasterKey};
use journal::{Faults, Journal, JournalError};
use model::{Caller, TenantId};
use notify::{MailTransport, Notify, Sender, ThingMessage};
use rules::Rules;
use store::Db;
use things::{Outgoing, Things};

use crate::data::{Layout, Lock};
use crate::{Config, Problem};

/// The opened parts; cheap to clone.
#[derive(Clone)]
pub struct House {
    /// Entities.
    pub db: Db,
    /// Messages.
    pub journal: Journal,
    /// Who is who.
    pub identity: Identity,
    /// Devices.
    pub things: Things,
    /// Mail, web hooks, messages to things.
    pub notify: Notify,
    /// Rules, alerts and notifications.
    pub rules: Rules,
    /// The data directory's files.
    pub layout: Layout,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl House {
    /// Opens everything in the data directory, which the caller has locked.
    pub async fn open(config: &Config, _: &Lock) -> Result<Self, Problem> {
        let layout = Layout::new(&config.data);
        let master_key = master_key(config, &layout)?;
        let db = open_store(config, &layout).await?;
        let journal = open_journal(config, &layout).await?;
        let mut options = identity::Options::new(config.clock.clone(), config.public_url.clone().unwrap_or_default(), master_key);
        options.password = config.password;
        options.found_tenants = config.found_tenants;
        if let Some(plan) = config.registration {
            options.registration_plan = plan;
        }
        let identity = Identity::open(db.clone(), options).await.map_err(|e| Problem::setup(Problem::from(e)))?;
        let options =
            things::Options { max_payload: config.max_payload, durability: config.journal.durability, ..things::Options::default() };
        let things = Things::open(db.clone(), journal.clone(), identity.clone(), options).await?;
        let mail = match &config.smtp {
            Some(smtp) => MailTransport::smtp(smtp.url.expose_secret(), &smtp.from).map_err(|e| Problem::setup(format!("[smtp] {e}")))?,
            None => MailTransport::none(),
        };
        let notify = Notify::open(db.clone(), config.clock.clone(), mail);
        equip(&notify, &identity, &things, config.private_webhooks);
        let rules = Rules::open(db.clone(), journal.clone(), identity.clone(), things.clone(), notify.clone());
        layout.write(&layout.ca(), identity.ca_certificate_pem().as_bytes(), false)?;
        Ok(Self { db, journal, identity, things, notify, rules, layout })
    }

    /// The operator at the command line, in the default tenant (none: a nil one, in which there is nothing).
    pub async fn operator(&self) -> Caller {
        let tenant = self.identity.default_tenant().await.map_or(TenantId(uuid::Uuid::nil()), |tenant| tenant.id);
        self.identity.operator_caller(tenant)
    }

    /// Writes what is in memory and closes the files.
    pub async fn close(&self) {
        self.things.stop().await;
        self.identity.stop().await;
        if let Err(error) = self.journal.close().await {
            tracing::error!(%error, "the journal did not close cleanly; it will be recovered at the next start");
        }
        self.db.close().await;
    }
}

/// Gives the outbox what lies above it: who sends to things.
fn equip(notify: &Notify, identity: &Identity, things: &Things, private_webhooks: bool) {
    // The web hooks' client asks for the process's cryptography; a second call only says that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (people, things) = (identity.clone(), things.clone());
    let sender: Sender = Arc::new(move |message: ThingMessage| {
        let (things, caller) = (things.clone(), people.operator_caller(message.tenant));
        Box::pin(async move {
            let key = Some(message.id.to_string());
            let outgoing = Outgoing { payload: message.payload.into(), idempotency_key: key, expires: None };
            things.send(&caller, &message.thing.to_string(), outgoing).await.map(|_| ())
        })
    });
    notify.equip(identity.clone(), private_webhooks, sender);
}

fn master_key(config: &Config, layout: &Layout) -> Result<MasterKey, Problem> {
    match &config.master_key {
        Some(text) => MasterKey::parse(text.expose_secret().trim())
            .map_err(|_| Problem::setup("HELIOGRAPH_MASTER_KEY must be 64 hexadecimal digits (openssl rand -hex 32)")),
        None => {
            let path = layout.master_key();
            // A fresh key beside old data opens nothing: better to stop here than to make a second mystery.
            if !path.exists() && layout.database().exists() {
                return Err(Problem::setup(format!(
                    "{} is missing, but {} was made with it: put the key back, or set HELIOGRAPH_MASTER_KEY",
                    path.display(),
                    layout.database().display()
                )));
            }
            MasterKey::load_or_create(&path).map_err(|e| Problem::setup(Problem::from(e)))
        }
    }
}

pub(crate) async fn open_store(config: &Config, layout: &Layout) -> Result<Db, Problem> {
    match &config.store_url {
        Some(url) => Db::postgres(url.expose_secret())
            .await
            .map_err(|e| Problem::setup(format!("cannot open the PostgreSQL store: {e}; check [store] url and that the server runs"))),
        None => {
            let path = layout.database();
            layout.make_private()?;
            let opened = if config.synced { Db::sqlite(&path).await } else { Db::sqlite_unsynced(&path).await };
            opened.map_err(|e| Problem::setup(format!("cannot open {}: {e}", path.display())))
        }
    }
}

pub(crate) async fn open_journal(config: &Config, layout: &Layout) -> Result<Journal, Problem> {
    let dir = layout.journal();
    let options = journal::Options {
        dir: dir.clone(),
        clock: config.clock.clone(),
        segment_bytes: config.journal.segment_bytes,
        max_pending_bytes: config.journal.max_pending_bytes,
        max_payload: config.max_payload.max(config.mqtt_limits.max_packet),
        faults: Faults::none(),
    };
    Journal::open(options).await.map_err(|e| match e {
        JournalError::Corrupt { .. } => Problem::setup(format!(
            "the journal in {}: {e}; `heliograph doctor --repair` steps over the damage, or restore a backup",
            dir.display()
        )),
        other => Problem::setup(format!("cannot open the journal in {}: {other}", dir.display())),
    })
}
