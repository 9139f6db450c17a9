//! `GET …/messages/stream`: a thing's messages as they are stored, as Server-Sent Events (WHATWG HTML 9.2).
//!
//! An event's id is its message's. A client that comes back with `Last-Event-ID` gets what it missed from the history first; the
//! same happens to one that reads too slowly. Seen twice is possible then, missed is not.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use edge::Stopping;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::Change;
use jiff::{SignedDuration, Timestamp};
use model::{Caller, Direction, Message, MessageId, PageRequest, Result, Thing};
use things::{LiveMessages, MessageFilter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use crate::auth::{Handle, User};
use crate::error::Answer;
use crate::filter::Filter;
use crate::places::{Place, Places};
use crate::wire::MessageWire;
use crate::{App, Shared, TOKENS};

/// A comment this often keeps proxies from hanging up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often token and thing are looked at again.
const RECHECK: Duration = Duration::from_secs(30);
/// Sent messages that are remembered, so that history and live stream do not repeat each other.
const REMEMBERED: usize = 4_096;
/// Messages read from the history at a time.
const STEP: u32 = 100;
/// A message's id and its time are made at almost the same moment; this covers the difference, and a clock that was set.
const SLACK: SignedDuration = SignedDuration::from_secs(2);

pub(crate) async fn stream(
    State(app): Shared,
    user: User,
    Handle(handle): Handle,
    filter: Filter,
    Extension(places): Extension<Places>,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
) -> Answer {
    let thing = app.things.thing(&user.caller, &handle).await?;
    let place = places.take(user.caller.tenant)?;
    // First the live stream, then the history: what is stored in between is in both.
    let live = app.things.live(&user.caller, Some(&handle)).await?;
    let last: Option<MessageId> = edge::header(&headers, "last-event-id").and_then(|id| id.parse().ok());
    let mut recheck = interval(RECHECK);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        changes: app.identity.changes(),
        position: app.identity.clock().now(),
        app,
        caller: user.caller,
        token: user.token,
        handle,
        thing,
        direction: filter.direction,
        live,
        recheck,
        sent: Sent::default(),
        gap: last.and_then(Gap::after),
        stopping: stopping.map(|Extension(stopping)| stopping),
        ready: VecDeque::new(),
        _place: place,
    };
    let events = unfold(feed, |mut feed| async move {
        let message = feed.next().await?;
        Some((Ok::<_, Infallible>(event(&feed.thing, &message)), feed))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

fn event(thing: &Thing, message: &Message) -> Event {
    // A message's JSON is one line, so it is one `data` field.
    let data = serde_json::to_string(&MessageWire::new(thing, message)).unwrap_or_default();
    Event::default().id(message.id.to_string()).data(data)
}

/// One client's view of one thing's messages.
struct Feed {
    app: Arc<App>,
    caller: Caller,
    token: String,
    handle: String,
    thing: Thing,
    direction: Option<Direction>,
    live: LiveMessages,
    changes: Receiver<Change>,
    recheck: Interval,
    /// The time of the last message sent, or of the beginning.
    position: Timestamp,
    sent: Sent,
    gap: Option<Gap>,
    ready: VecDeque<Message>,
    stopping: Option<Stopping>,
    _place: Place,
}

impl Feed {
    /// The next message to send; `None` ends the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                if self.sent.first_time(message.id) {
                    self.position = message.at;
                    return Some(message);
                }
                continue;
            }
            if self.gap.is_some() {
                self.fill().await.ok()?;
                continue;
            }
            tokio::select! {
                () = stopped(self.stopping.as_ref()) => return None,
                next = self.live.next() => match next? {
                    Ok(message) => self.ready.extend(self.direction.is_none_or(|d| d == message.direction).then_some(message)),
                    Err(_lagged) => self.gap = Some(Gap::since(self.position)),
                },
                _ = self.recheck.tick() => self.still_allowed().await?,
                change = self.changes.recv() => match change {
                    Err(RecvError::Closed) => return None,
                    change if concerns(&change, &self.caller) => self.still_allowed().await?,
                    _ => {}
                },
            }
        }
    }

    /// Reads one page of what was missed.
    async fn fill(&mut self) -> Result<()> {
        let Some(gap) = &mut self.gap else { return Ok(()) };
        let filter = MessageFilter { from: Some(gap.from), to: None, direction: self.direction };
        let page = PageRequest::new(Some(STEP), gap.cursor.take())?;
        let page = self.app.things.messages(&self.caller, &self.handle, &filter, false, &page).await?;
        let end = page.next.is_none();
        gap.cursor = page.next;
        self.ready.extend(gap.take(page.items, end));
        if end {
            self.gap = None;
        }
        Ok(())
    }

    /// `None` when the token has ended or the thing is gone.
    async fn still_allowed(&mut self) -> Option<()> {
        self.app.identity.verify(&self.token, &TOKENS).await.ok()?;
        let thing = self.app.things.thing(&self.caller, &self.handle).await.ok()?;
        (thing.id == self.thing.id).then_some(())
    }
}

/// Waits for the gateway's end.
async fn stopped(stopping: Option<&Stopping>) {
    match stopping {
        Some(Stopping(token)) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Could this change end the caller's stream? A receiver that fell behind does not know, and asks.
fn concerns(change: &std::result::Result<Change, RecvError>, caller: &Caller) -> bool {
    match change {
        Ok(Change::UserChanged(user) | Change::MemberChanged { user, .. }) => caller.user() == Some(*user),
        Ok(Change::TenantRemoved(tenant)) => caller.tenant == *tenant,
        Ok(_) | Err(_) => true,
    }
}

/// What was sent lately.
#[derive(Default)]
struct Sent {
    ids: HashSet<MessageId>,
    order: VecDeque<MessageId>,
}

impl Sent {
    fn first_time(&mut self, id: MessageId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// A part of the history to catch up with.
struct Gap {
    from: Timestamp,
    cursor: Option<String>,
    /// The last message the client has, while it is still being looked for among those up to `until`.
    last: Option<(MessageId, Timestamp)>,
    /// Messages that follow it, if it is not found.
    held: Vec<Message>,
}

impl Gap {
    /// What came after the message a client saw last. Ids that carry no time say nothing, and the stream begins with now.
    fn after(last: MessageId) -> Option<Self> {
        let made = made_at(last.uuid())?;
        let (from, until) = (made.checked_sub(SLACK).ok()?, made.checked_add(SLACK).ok()?);
        Some(Self { from, cursor: None, last: Some((last, until)), held: Vec::new() })
    }

    /// What came since.
    fn since(position: Timestamp) -> Self {
        Self { from: position, cursor: None, last: None, held: Vec::new() }
    }

    /// What of a page is to be sent: everything behind the last message seen, or everything if that one is gone.
    fn take(&mut self, items: Vec<Message>, end: bool) -> Vec<Message> {
        let Some((last, until)) = self.last else { return items };
        for message in items {
            if self.last.is_some() && message.id == last {
                self.last = None;
                self.held.clear();
                continue;
            }
            if message.at > until {
                self.last = None;
            }
            self.held.push(message);
        }
        if end || self.last.is_none() { std::mem::take(&mut self.held) } else { Vec::new() }
    }
}

/// When a `UUIDv7` was made (RFC 9562, 5.7).
fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use model::{Clock, MessageStatus, TenantId, ThingId};

    use super::*;

    fn message(clock: &Clock) -> Message {
        let message = Message {
            id: clock.new_id(),
            tenant: TenantId(Uuid::nil()),
            thing: ThingId(Uuid::nil()),
            direction: Direction::Inbound,
            at: clock.now(),
            topic: String::new(),
            payload: b"{}".to_vec(),
            expires: None,
            status: MessageStatus::Stored,
        };
        clock.advance(Duration::from_millis(700));
        message
    }

    fn some(count: usize) -> Vec<Message> {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        (0..count).map(|_| message(&clock)).collect()
    }

    #[test]
    fn a_gap_begins_behind_the_last_message_seen() {
        let all = some(9);
        let mut gap = Gap::after(all[4].id).unwrap();
        assert!(gap.from <= all[4].at && gap.from > all[0].at);
        let window: Vec<_> = all.iter().filter(|m| m.at >= gap.from).cloned().collect();
        assert_eq!(gap.take(window, true), all[5..]);
    }

    #[test]
    fn a_gap_works_across_pages() {
        let all = some(9);
        let mut gap = Gap::after(all[4].id).unwrap();
        let window: Vec<_> = all.iter().filter(|m| m.at >= gap.from).cloned().collect();
        let mut taken = Vec::new();
        for one in &window {
            taken.extend(gap.take(vec![one.clone()], false));
        }
        assert_eq!(taken, all[5..]);
    }

    #[test]
    fn if_the_last_message_is_gone_nothing_after_it_is_missed() {
        let all = some(9);
        let mut gap = Gap::after(all[4].id).unwrap();
        let window: Vec<_> = all.iter().enumerate().filter(|(i, m)| *i != 4 && m.at >= gap.from).map(|(_, m)| m.clone()).collect();
        let taken = gap.take(window, true);
        assert!(all[5..].iter().all(|m| taken.contains(m)));
    }

    #[test]
    fn ids_without_a_time_begin_with_now() {
        assert!(Gap::after(MessageId(Uuid::new_v4())).is_none());
        assert!(Gap::after(MessageId(Uuid::nil())).is_none());
        assert!(Gap::after(MessageId(Uuid::max())).is_none());
    }

    #[test]
    fn nothing_is_sent_twice_in_a_row() {
        let mut sent = Sent::default();
        let id = MessageId(Uuid::from_u128(1));
        assert!(sent.first_time(id) && !sent.first_time(id));
        for n in 0..u128::try_from(REMEMBERED).unwrap() {
            sent.first_time(MessageId(Uuid::from_u128(n + 2)));
        }
        assert_eq!((sent.ids.len(), sent.order.len()), (REMEMBERED, REMEMBERED), "bounded");
    }
}
