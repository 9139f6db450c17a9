//! Messages as they come, as server-sent events (WHATWG HTML 9.2).
//!
//! A stream is read ahead of nobody: it may lag, and then says so or catches up from the history. It ends when its credential
//! does: every sign of life asks again whether the caller may still read.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::Change;
use jiff::{SignedDuration, Timestamp};
use model::{Caller, Direction, MessageId, PageRequest, Permission, Principal};
use serde::Deserialize;
use things::{LiveMessages, MessageFilter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::IntoParams;

use crate::error::Result;
use crate::extract::{At, Params, Proof, Proven};
use crate::wire::{DirectionWord, Message};
use crate::{App, Failure, StreamPlace};

/// Which messages to watch.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// Only this direction.
    #[param(value_type = Option<DirectionWord>)]
    direction: Option<Direction>,
}

/// Watch a thing's messages
///
/// Server-sent events: `id` is the message's id, `data` the message. With `Last-Event-ID` the stream first tells what came since.
/// A stream that fell behind catches up by itself. The event `end` says why a stream ends when its credential does.
#[utoipa::path(
    get, path = "/things/{thing}/messages/stream", tag = "messages",
    params(
        ("thing" = String, Path, description = "Its key or id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last message that was received"),
        WatchQuery
    ),
    responses((status = 200, description = "An endless stream of messages", body = Message, content_type = "text/event-stream"))
)]
pub async fn stream_thing_messages(
    State(app): State<App>,
    proven: Proven,
    At(handle): At<String>,
    Params(watch): Params<WatchQuery>,
    headers: HeaderMap,
    stopping: Option<Extension<edge::Stopping>>,
) -> Result<Response> {
    let after = last_event(&headers)?;
    Ok(respond(Feed::open(app, proven, Some(handle), watch.direction, after).await?, stopping))
}

/// Watch the tenant's messages
///
/// Server-sent events: `id` is the message's id, `data` the message. The event `lagged` says how many messages a stream that fell
/// behind has missed; they are in the things' histories.
#[utoipa::path(
    get, path = "/messages/stream", tag = "messages", params(WatchQuery),
    responses((status = 200, description = "An endless stream of messages", body = Message, content_type = "text/event-stream"))
)]
pub async fn stream_messages(
    State(app): State<App>,
    proven: Proven,
    Params(watch): Params<WatchQuery>,
    headers: HeaderMap,
    stopping: Option<Extension<edge::Stopping>>,
) -> Result<Response> {
    let after = last_event(&headers)?;
    Ok(respond(Feed::open(app, proven, None, watch.direction, after).await?, stopping))
}

fn last_event(headers: &HeaderMap) -> Result<Option<MessageId>> {
    const NAME: &str = "last-event-id";
    match edge::header(headers, NAME) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Failure::input("Last-Event-ID", "is not a message's id")),
    }
}

fn respond(feed: Feed, stopping: Option<Extension<edge::Stopping>>) -> Response {
    let mut response = Sse::new(events(feed, stopping.map(|Extension(s)| s))).into_response();
    // A proxy that collects an endless answer before passing it on would never pass it on.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn events(feed: Feed, stopping: Option<edge::Stopping>) -> impl Stream<Item = std::result::Result<Event, Infallible>> + Send {
    stream::unfold(Some((feed, stopping)), |state| async move {
        let (mut feed, stopping) = state?;
        let told = match &stopping {
            Some(edge::Stopping(token)) => {
                let token = token.clone();
                tokio::select! {
                    biased;
                    () = token.cancelled() => Told::Over,
                    told = feed.next() => told,
                }
            }
            None => feed.next().await,
        };
        match told {
            Told::Event(event) => Some((Ok(event), Some((feed, stopping)))),
            Told::Last(event) => Some((Ok(event), None)),
            Told::Over => None,
        }
    })
}

/// One step of a stream.
enum Told {
    /// Tell this, go on.
    Event(Event),
    /// Tell this, then end.
    Last(Event),
    /// End.
    Over,
}

/// How many ids of caught-up messages are kept to recognise them when they come live too.
const SEEN: usize = 16_384;
/// Messages read from the history at a time.
const CATCH_UP: u32 = 200;
/// How far a message's time may lie before that of one stored earlier: times are taken before places are.
const SKEW: SignedDuration = SignedDuration::from_secs(10);

struct Feed {
    app: App,
    caller: Caller,
    proof: Proof,
    handle: Option<String>,
    direction: Option<Direction>,
    live: LiveMessages,
    since: Timestamp,
    greeting: VecDeque<Event>,
    catch_up: Option<CatchUp>,
    backlog: VecDeque<model::Message>,
    seen: Seen,
    last: Option<(MessageId, Timestamp)>,
    changes: Receiver<Change>,
    pulse: Interval,
    _place: StreamPlace,
}

/// A walk through a thing's history, oldest first.
struct CatchUp {
    from: Timestamp,
    /// What lies before this message, and itself, was told already.
    past: Option<MessageId>,
    cursor: Option<String>,
}

impl Feed {
    async fn open(
        app: App,
        proven: Proven,
        handle: Option<String>,
        direction: Option<Direction>,
        after: Option<MessageId>,
    ) -> Result<Self> {
        let Proven { caller, proof } = proven;
        let place = app.options.streams.enter(caller.tenant)?;
        let since = app.identity.clock().now();
        let changes = app.identity.changes();
        // Live first, history second: nothing can fall between the two.
        let live = app.things.live(&caller, handle.as_deref()).await?;
        let mut greeting = VecDeque::from([Event::default().retry(Duration::from_secs(3)).comment("heliograph")]);
        let catch_up = match (after, &handle) {
            (Some(id), Some(handle)) => Some(CatchUp::after(&app, &caller, handle, id).await?),
            // The tenant has no history of its own: say that something is missing.
            (Some(_), None) => {
                greeting.push_back(lagged(None));
                None
            }
            (None, _) => None,
        };
        let mut pulse = interval(app.options.keep_alive);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse.reset();
        Ok(Self {
            app,
            caller,
            proof,
            handle,
            direction,
            live,
            since,
            greeting,
            catch_up,
            backlog: VecDeque::new(),
            seen: Seen::default(),
            last: None,
            changes,
            pulse,
            _place: place,
        })
    }

    async fn next(&mut self) -> Told {
        loop {
            if let Some(event) = self.greeting.pop_front() {
                return Told::Event(event);
            }
            if let Some(message) = self.backlog.pop_front() {
                if let Some(event) = self.tell(message) {
                    return Told::Event(event);
                }
                continue;
            }
            if let Some(walk) = self.catch_up.take() {
                if let Err(error) = self.read_on(walk).await {
                    return Told::Last(end(&error.to_string()));
                }
                continue;
            }
            tokio::select! {
                biased;
                change = self.changes.recv() => {
                    if concerns(&self.caller, &change) && let Err(error) = self.still_allowed().await {
                        return Told::Last(end(&error.to_string()));
                    }
                    if matches!(change, Err(RecvError::Closed)) {
                        return Told::Over;
                    }
                }
                message = self.live.next() => match message {
                    Some(Ok(message)) if self.seen.take(message.id) => {}
                    Some(Ok(message)) => {
                        if let Some(event) = self.tell(message) {
                            return Told::Event(event);
                        }
                    }
                    Some(Err(things::Lagged(missed))) => match &self.handle {
                        None => return Told::Event(lagged(Some(missed))),
                        Some(_) => self.catch_up = Some(self.since_last()),
                    },
                    None => return Told::Over,
                },
                _ = self.pulse.tick() => {
                    return match self.still_allowed().await {
                        Ok(()) => Told::Event(Event::default().comment("")),
                        Err(error) => Told::Last(end(&error.to_string())),
                    };
                }
            }
        }
    }

    /// The message as an event, unless it is filtered out.
    fn tell(&mut self, message: model::Message) -> Option<Event> {
        self.last = Some((message.id, message.at));
        if self.direction.is_some_and(|d| d != message.direction) {
            return None;
        }
        let id = message.id.to_string();
        let data = serde_json::to_string(&Message::from(message)).ok()?;
        Some(Event::default().id(id).data(data))
    }

    /// Reads one page of the history into the backlog.
    async fn read_on(&mut self, mut walk: CatchUp) -> model::Result<()> {
        let Some(handle) = &self.handle else { return Ok(()) };
        let filter = MessageFilter { from: Some(walk.from), to: None, direction: None };
        let page = PageRequest { limit: CATCH_UP, cursor: walk.cursor.take() };
        let page = self.app.things.messages(&self.caller, handle, &filter, false, &page).await?;
        for message in page.items {
            match walk.past {
                Some(id) if id == message.id => walk.past = None,
                Some(_) => {}
                None => {
                    if message.at >= before(self.since) {
                        self.seen.put(message.id);
                    }
                    self.backlog.push_back(message);
                }
            }
        }
        if page.next.is_some() {
            walk.cursor = page.next;
            self.catch_up = Some(walk);
        } else if walk.past.is_some() {
            // The message to begin after is gone: rather tell some twice than leave any out.
            self.catch_up = Some(CatchUp { from: walk.from, past: None, cursor: None });
        }
        Ok(())
    }

    /// From the last message told, or from the stream's beginning.
    fn since_last(&self) -> CatchUp {
        match self.last {
            Some((id, at)) => CatchUp { from: before(at), past: Some(id), cursor: None },
            None => CatchUp { from: before(self.since), past: None, cursor: None },
        }
    }

    /// Does the credential still hold, and is there still what it watches?
    async fn still_allowed(&mut self) -> model::Result<()> {
        let caller = self.proof.check(&self.app.identity).await?;
        // An operator may be looking at another tenant than its own.
        let caller = caller.in_tenant(self.caller.tenant)?;
        caller.require(Permission::MessageRead)?;
        if let Some(handle) = &self.handle {
            self.app.things.thing(&caller, handle).await?;
        }
        self.caller = caller;
        Ok(())
    }
}

impl CatchUp {
    async fn after(app: &App, caller: &Caller, handle: &str, id: MessageId) -> Result<Self> {
        match app.things.message(caller, handle, id).await {
            Ok(message) => Ok(Self { from: before(message.at), past: Some(id), cursor: None }),
            // It is deleted or too old, but its id tells when it was.
            Err(model::Error::NotFound { .. }) => Ok(Self { from: before(made_at(id)), past: None, cursor: None }),
            Err(error) => Err(error.into()),
        }
    }
}

/// A moment such that whatever was stored after a message of `at` is not before it.
fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SKEW).unwrap_or(Timestamp::UNIX_EPOCH).max(Timestamp::UNIX_EPOCH)
}

/// The moment in a `UUIDv7` (RFC 9562 5.7).
fn made_at(id: MessageId) -> Timestamp {
    let micros = id.uuid().get_timestamp().map(|t| t.to_unix()).and_then(|(seconds, nanos)| {
        let seconds = i64::try_from(seconds).ok()?;
        Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()
    });
    micros.unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Might this change end the caller's stream?
fn concerns(caller: &Caller, change: &std::result::Result<Change, RecvError>) -> bool {
    match change {
        Ok(Change::UserChanged(user) | Change::MemberChanged { user, .. }) => caller.user() == Some(*user),
        Ok(Change::ClientRemoved(id)) => matches!(&caller.principal, Principal::Client(mine) if mine == id),
        Ok(Change::TenantRemoved(tenant)) => caller.tenant == *tenant,
        // Which token or key a stream rests on, the check finds out.
        Ok(Change::TokenRevoked(_) | Change::KeyRemoved(_)) | Err(RecvError::Lagged(_)) => true,
        Err(RecvError::Closed) => false,
    }
}

fn lagged(missed: Option<u64>) -> Event {
    Event::default().event("lagged").data(serde_json::json!({ "missed": missed }).to_string())
}

fn end(reason: &str) -> Event {
    Event::default().event("end").data(serde_json::json!({ "reason": reason }).to_string())
}

/// The newest so many ids.
#[derive(Default)]
struct Seen {
    order: VecDeque<MessageId>,
    ids: HashSet<MessageId>,
}

impl Seen {
    fn put(&mut self, id: MessageId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        while self.order.len() > SEEN {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }

    /// Was it told already? Told twice it is no more.
    fn take(&mut self, id: MessageId) -> bool {
        self.ids.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use model::Clock;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_id_tells_when_it_was_made() {
        let at: Timestamp = "2026-01-31T12:00:00.123Z".parse().unwrap();
        let id: MessageId = Clock::manual(at).new_id();
        assert_eq!(made_at(id), at);
        assert_eq!(made_at(MessageId(Uuid::nil())), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_was_seen_is_bounded() {
        let mut seen = Seen::default();
        for n in 0..40_000 {
            seen.put(MessageId(Uuid::from_u128(n)));
        }
        assert_eq!((seen.order.len(), seen.ids.len()), (SEEN, SEEN));
        assert!(seen.take(MessageId(Uuid::from_u128(39_999))) && !seen.take(MessageId(Uuid::from_u128(39_999))));
        assert!(!seen.take(MessageId(Uuid::from_u128(0))));
    }

    #[test]
    fn a_last_event_is_an_id_or_absent() {
        let with = |value: &str| last_event(&HeaderMap::from_iter([(HeaderName::from_static("last-event-id"), value.parse().unwrap())]));
        assert_eq!(last_event(&HeaderMap::new()), Ok(None));
        assert_eq!(with(""), Ok(None));
        assert!(with("7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01").unwrap().is_some());
        assert!(with("17").is_err());
    }
}
