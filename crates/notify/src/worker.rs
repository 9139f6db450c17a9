//! The worker: claims what is due, hands it out, records what came of it.

use std::time::Duration;

use model::{Error, Result, Timestamp};
use store::{OutboxEntry, OutboxState};
use tokio_util::sync::CancellationToken;

use crate::webhook::WebhookBody;
use crate::{Channel, KEEP_DEAD, KEEP_SENT, Mail, MailBody, MessageBody, Notify, ThingMessage};

/// Waiting times after the first, second, … failed attempt; after one more the entry is dead.
pub const BACK_OFF: [Duration; 5] =
    [Duration::from_secs(10), Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(30), Duration::from_hours(2)];
/// How long a claimed entry is left to its worker; longer than any attempt may take.
pub const LEASE: Duration = Duration::from_mins(5);

/// Entries claimed in one go.
const BATCH: u32 = 16;
/// Without a nudge the worker looks this often: other nodes' entries nudge nobody here.
const POLL: Duration = Duration::from_secs(5);
/// After a nudge that came before its transaction's commit.
const LOOK_AGAIN: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];
/// An attempt under way at the stop may take this long to finish.
const GRACE: Duration = Duration::from_secs(5);
/// Old entries are cleared away this often.
const SWEEP: Duration = Duration::from_hours(1);

/// Why an attempt failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    reason: String,
    forever: bool,
}

impl Failure {
    /// Another attempt may work.
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), forever: false }
    }

    /// No attempt will ever work.
    pub(crate) fn forever(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), forever: true }
    }
}

impl Notify {
    /// Sends what is due, until `shutdown`. An attempt under way then gets a few seconds to end; what it leaves is due again after
    /// [`LEASE`]. Mails go their own way, so that a slow web hook holds up none.
    pub async fn run(&self, shutdown: CancellationToken) {
        tokio::join!(self.lane(true, &shutdown), self.lane(false, &shutdown), self.sweeps(&shutdown));
    }

    async fn sweeps(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.sweep(self.inner.clock.now()).await {
                tracing::warn!(%error, "old entries of the outbox were not cleared away");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    async fn lane(&self, mails: bool, shutdown: &CancellationToken) {
        let mut looks = LOOK_AGAIN.iter();
        let mut told = false;
        let nudge = if mails { &self.inner.nudge_mails } else { &self.inner.nudge_others };
        while !shutdown.is_cancelled() {
            if mails && self.inner.mail.is_none() {
                told = self.tell_waiting(told).await;
            } else {
                let step = self.deliver_lane(mails);
                tokio::pin!(step);
                let done = tokio::select! {
                    done = &mut step => Some(done),
                    () = shutdown.cancelled() => tokio::time::timeout(GRACE, step).await.ok(),
                };
                match done {
                    // More may be due.
                    Some(Ok(n)) if n > 0 => {
                        looks = LOOK_AGAIN.iter();
                        continue;
                    }
                    Some(Err(error)) => tracing::warn!(%error, "the outbox cannot be read or written; tried again shortly"),
                    _ => {}
                }
            }
            let wait = looks.next().copied().unwrap_or(POLL);
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = nudge.notified() => looks = LOOK_AGAIN.iter(),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Without a server: says once that mails wait.
    async fn tell_waiting(&self, told: bool) -> bool {
        match self.backlog().await {
            Ok((waiting, _)) if waiting > 0 && !told => {
                tracing::warn!(waiting, "mails are queued, but no mail server is configured: set smtp in the configuration");
                true
            }
            _ => told,
        }
    }

    /// Makes one attempt at each entry that is due, 16 mails and 16 others at most; answers how many. What [`Notify::run`] does over
    /// and over. Without a mail server mails are left alone.
    pub async fn deliver_due(&self) -> Result<usize> {
        let mails = if self.inner.mail.is_none() { 0 } else { self.deliver_lane(true).await? };
        Ok(mails + self.deliver_lane(false).await?)
    }

    async fn deliver_lane(&self, mails: bool) -> Result<usize> {
        let due = self.inner.db.read().await?.outbox_due(self.inner.clock.now(), mails, BATCH).await?;
        if mails {
            let mut attempted = 0;
            for entry in due {
                attempted += usize::from(self.deliver(entry).await?);
            }
            return Ok(attempted);
        }
        // Each of these may talk to another server, and any may be slow.
        let attempts = futures_util::future::join_all(due.into_iter().map(|entry| self.deliver(entry))).await;
        attempts.into_iter().try_fold(0, |sum, attempted| Ok(sum + usize::from(attempted?)))
    }

    async fn deliver(&self, entry: OutboxEntry) -> Result<bool> {
        if !self.claim(&entry).await? {
            return Ok(false);
        }
        let outcome = self.attempt(&entry).await;
        self.settle(&entry, outcome).await?;
        Ok(true)
    }

    async fn claim(&self, entry: &OutboxEntry) -> Result<bool> {
        let until = self.inner.clock.now().checked_add(LEASE).unwrap_or(Timestamp::MAX);
        let mut tx = self.inner.db.begin().await?;
        let mine = tx.claim_outbox(entry, until).await?;
        tx.commit().await?;
        Ok(mine)
    }

    async fn attempt(&self, entry: &OutboxEntry) -> std::result::Result<(), Failure> {
        match Channel::parse(&entry.channel) {
            Some(Channel::Mail) => {
                let body: MailBody = serde_json::from_str(&entry.body).map_err(|_| Failure::forever("the stored mail is not readable"))?;
                if body.expires.is_some_and(|at| at <= self.inner.clock.micros()) {
                    return Err(Failure::forever("its time ran out before it could be sent"));
                }
                self.inner.mail.send(entry.id, entry.created, Mail { to: body.to, subject: body.subject, text: body.text }).await
            }
            Some(Channel::Webhook) => {
                let body: WebhookBody =
                    serde_json::from_str(&entry.body).map_err(|_| Failure::forever("the stored web hook is not readable"))?;
                let Some(equipment) = self.inner.equipment.get() else { return Err(Failure::later("web hooks are not set up")) };
                equipment.hooks.post(entry.id, &body, self.inner.clock.now()).await
            }
            Some(Channel::Message) => {
                let body: MessageBody =
                    serde_json::from_str(&entry.body).map_err(|_| Failure::forever("the stored message is not readable"))?;
                let (Some(equipment), Some(tenant)) = (self.inner.equipment.get(), entry.tenant) else {
                    return Err(Failure::later("messages to things are not set up"));
                };
                let message = ThingMessage { id: entry.id, tenant, thing: body.thing, payload: body.payload };
                (equipment.sender)(message).await.map_err(|error| match error {
                    Error::NotFound { .. } | Error::Invalid { .. } | Error::TooLarge { .. } => Failure::forever(error.to_string()),
                    other => Failure::later(other.to_string()),
                })
            }
            // Written by a newer version that shares the database; it will take it.
            None => Err(Failure::later(format!("this version knows no channel '{:.40}'", entry.channel))),
        }
    }

    async fn settle(&self, entry: &OutboxEntry, outcome: std::result::Result<(), Failure>) -> Result<()> {
        let now = self.inner.clock.now();
        // The claim counted this attempt; the entry was read before.
        let next = usize::try_from(entry.attempts).ok().and_then(|failed_before| BACK_OFF.get(failed_before));
        let mut tx = self.inner.db.begin().await?;
        match (outcome, next) {
            (Ok(()), _) => tx.outbox_sent(entry.id, now).await?,
            (Err(Failure { reason, forever: false }), Some(wait)) => {
                tracing::info!(id = %entry.id, %reason, wait = ?wait, "not delivered; tried again");
                tx.outbox_again(entry.id, now.checked_add(*wait).unwrap_or(Timestamp::MAX), &reason).await?;
            }
            (Err(Failure { reason, .. }), _) => {
                tracing::warn!(id = %entry.id, %reason, "given up; it is among the dead letters");
                tx.outbox_dead(entry.id, now, &reason).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        for (state, keep) in [(OutboxState::Sent, KEEP_SENT), (OutboxState::Dead, KEEP_DEAD)] {
            if let Ok(before) = now.checked_sub(keep) {
                tx.purge_outbox(state, before).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
