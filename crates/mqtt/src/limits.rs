//! Every size has a limit; what has been counted.

use std::time::Duration;

/// The broker's limits. [`Limits::default`] suits a small box.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest packet taken, in bytes, fixed header included; announced as Maximum Packet Size.
    pub max_packet: usize,
    /// Publishes a connection may have unacknowledged, either way; announced as Receive Maximum.
    pub max_inflight: u16,
    /// Messages that may wait for a connected client outside the journal; beyond it `QoS` 0 is dropped, and a clean session that would
    /// lose more is closed (0x97).
    pub max_queued_per_session: usize,
    /// The same in bytes of topic and payload; with as many bytes unacknowledged a client is sent nothing more above `QoS` 0.
    pub max_queued_bytes: usize,
    /// Time from the first byte possible to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Longest keep alive, in seconds; a longer or absent one is replaced when this is not 0 (Server Keep Alive on MQTT 5).
    pub max_keep_alive: u16,
    /// Longest session expiry, in seconds; also what a 3.1.1 session without clean session gets. `u32::MAX` never ends.
    pub max_session_expiry: u32,
    /// Levels in a topic or filter.
    pub max_topic_levels: usize,
    /// Bytes in a topic or filter.
    pub max_topic_bytes: usize,
    /// Subscriptions of one session.
    pub max_subscriptions: usize,
    /// Aliases a client may set; announced as Topic Alias Maximum.
    pub max_topic_alias: u16,
    /// Aliases the broker sets towards a client that allows them.
    pub max_topic_alias_out: u16,
    /// Longest client id, in bytes.
    pub max_client_id: usize,
    /// Properties of one message, in bytes.
    pub max_properties: usize,
    /// Connections at a time; further ones are closed at once.
    pub max_connections: usize,
    /// Sessions of one tenant, connected or not; a further client id is refused (0x97; 5).
    pub max_sessions_per_tenant: usize,
    /// Sessions a thing may leave behind when it disconnects; a further client id that asks for one is refused (0x97; 5).
    pub max_kept_sessions_per_thing: usize,
    /// Retained messages of one tenant; a further topic is refused (0x97).
    pub max_retained: usize,
    /// The same in bytes of topic, properties and payload: they are held in memory.
    pub max_retained_bytes: usize,
    /// Bytes waiting in one connection's write buffer before it stops collecting more.
    pub max_write_buffer: usize,
    /// How often `$SYS` figures are sent to who subscribes to them; zero is never.
    pub figures_every: Duration,
    /// On so many connections that end without an answer a record of a thing's inbox may be the first unanswered one; then the host is
    /// told that it cannot be delivered. 0: as often as it takes.
    pub max_deliveries: u32,
    /// Prefix of the Response Information handed out on request, as `PREFIX/CLIENT-ID`; none hands out nothing.
    pub response_prefix: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_packet: 320 << 10,
            max_inflight: 1_024,
            max_queued_per_session: 10_000,
            max_queued_bytes: 4 << 20,
            connect_timeout: Duration::from_secs(10),
            max_keep_alive: 0,
            max_session_expiry: u32::MAX,
            max_topic_levels: 64,
            max_topic_bytes: 1_024,
            max_subscriptions: 1_000,
            max_topic_alias: 32,
            max_topic_alias_out: 32,
            max_client_id: 256,
            max_properties: 16 << 10,
            max_connections: 1_000_000,
            max_sessions_per_tenant: 1_000_000,
            max_kept_sessions_per_thing: 100,
            max_retained: 100_000,
            max_retained_bytes: 64 << 20,
            max_write_buffer: 64 << 10,
            figures_every: Duration::from_secs(10),
            max_deliveries: 0,
            response_prefix: None,
        }
    }
}

/// Figures of the moment; counters start at 0 with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections with a CONNACK of success, now.
    pub connections: u64,
    /// Connections taken since start, refused ones included.
    pub accepted: u64,
    /// CONNECTs refused.
    pub refused: u64,
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Subscriptions of all sessions.
    pub subscriptions: u64,
    /// Retained messages.
    pub retained: u64,
    /// PUBLISH packets taken in.
    pub messages_in: u64,
    /// PUBLISH packets sent.
    pub messages_out: u64,
    /// Messages a host refused.
    pub messages_refused: u64,
    /// `QoS` 0 messages dropped because a client read too slowly, or too large for it.
    pub messages_dropped: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Clients closed because they read too slowly.
    pub slow_closed: u64,
    /// Takeovers by a newer connection.
    pub taken_over: u64,
}
