//! `/metrics`: Prometheus text format 0.0.4. Figures only; no names of tenants, users or things.

use std::fmt::Write as _;

use crate::site::Site;

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP heliograph_{name} {help}\n# TYPE heliograph_{name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        let _ = writeln!(self.0, "heliograph_{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "counter", help);
        let _ = writeln!(self.0, "heliograph_{name} {value}");
    }
}

/// The page.
pub async fn render(site: &Site) -> String {
    let mut page = Page(String::with_capacity(8 * 1024));
    page.family("build_info", "gauge", "The version; always 1.");
    let _ = writeln!(page.0, "heliograph_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    http(&mut page, site);
    mqtt(&mut page, site);
    journal(&mut page, site);
    if let Ok((waiting, dead)) = site.house.notify.backlog().await {
        page.gauge("outbox_waiting", "Deliveries that wait to be sent.", waiting);
        page.gauge("outbox_dead", "Deliveries that were given up.", dead);
    }
    rules(&mut page, site);
    process(&mut page);
    page.0
}

fn http(page: &mut Page, site: &Site) {
    let meter = &site.meter;
    page.gauge("http_connections", "HTTP connections open now.", meter.open());
    page.counter("http_connections_total", "HTTP connections since the start.", meter.accepted());
    page.family("http_requests_total", "counter", "HTTP requests answered, by status.");
    for (status, count) in meter.answers() {
        let _ = writeln!(page.0, "heliograph_http_requests_total{{status=\"{status}\"}} {count}");
    }
}

fn mqtt(page: &mut Page, site: &Site) {
    let Some(broker) = &site.broker else { return };
    let s = broker.stats();
    page.gauge("mqtt_connections", "MQTT clients connected now.", s.connections);
    page.counter("mqtt_connections_total", "MQTT connections since the start, refused ones included.", s.accepted);
    page.counter("mqtt_refused_total", "CONNECTs refused.", s.refused);
    page.gauge("mqtt_sessions", "MQTT sessions, connected or kept.", s.sessions);
    page.gauge("mqtt_subscriptions", "Subscriptions of all sessions.", s.subscriptions);
    page.gauge("mqtt_retained", "Retained messages.", s.retained);
    page.counter("mqtt_messages_in_total", "PUBLISH packets received.", s.messages_in);
    page.counter("mqtt_messages_out_total", "PUBLISH packets sent.", s.messages_out);
    page.counter("mqtt_messages_refused_total", "PUBLISH packets refused.", s.messages_refused);
    page.counter("mqtt_messages_dropped_total", "Messages dropped because a client read too slowly.", s.messages_dropped);
    page.counter("mqtt_slow_closed_total", "Clients closed because they read too slowly.", s.slow_closed);
    page.counter("mqtt_takeovers_total", "Connections taken over by a newer one of the same client id.", s.taken_over);
    page.counter("mqtt_bytes_in_total", "Bytes read from MQTT clients.", s.bytes_in);
    page.counter("mqtt_bytes_out_total", "Bytes written to MQTT clients.", s.bytes_out);
}

fn journal(page: &mut Page, site: &Site) {
    let s = site.house.journal.stats();
    page.gauge("journal_healthy", "1 while the journal can write.", u8::from(s.healthy));
    page.gauge("journal_bytes", "Bytes of the journal's segments on disk.", s.bytes);
    page.gauge("journal_segments", "Segments of the journal.", s.segments);
    page.gauge("journal_records", "Messages in the journal.", s.records);
    page.gauge("journal_pending_bytes", "Bytes that wait for the disk.", s.pending_bytes);
    page.counter("journal_syncs_total", "Syncs since the start.", s.syncs);
    page.counter("journal_batches_total", "Batches written since the start.", s.batches);
    page.counter("journal_damaged_total", "Damaged records met by reads.", s.damaged);
    page.gauge("inbox_messages", "Messages that wait in inboxes.", s.inbox_entries);
    page.gauge("inboxes", "Inboxes with something in them.", s.inboxes);
}

fn rules(page: &mut Page, site: &Site) {
    let p = site.house.rules.progress();
    page.gauge("rules_lag", "Messages in the journal that rules have not yet looked at.", p.lag);
    page.counter("rules_facts_total", "Values and events that rules looked at since the start.", p.facts);
    page.counter("rules_raised_total", "Events that rules raised since the start.", p.raised);
    page.counter("rules_failures_total", "Batches that failed and were done again.", p.failures);
    page.counter("notifications_total", "Notifications handed to the outbox since the start.", p.notified);
    page.counter("notifications_suppressed_total", "Notifications kept back because another was too recent.", p.suppressed);
}

/// Memory and descriptors, where the system tells.
fn process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(resident) = kib("VmRSS") {
        page.0.push_str("# HELP process_resident_memory_bytes Resident memory.\n# TYPE process_resident_memory_bytes gauge\n");
        let _ = writeln!(page.0, "process_resident_memory_bytes {}", resident * 1024);
    }
    if let Some(threads) = kib("Threads") {
        page.0.push_str("# HELP process_threads Threads.\n# TYPE process_threads gauge\n");
        let _ = writeln!(page.0, "process_threads {threads}");
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.0.push_str("# HELP process_open_fds Open file descriptors.\n# TYPE process_open_fds gauge\n");
        let _ = writeln!(page.0, "process_open_fds {}", open.count());
    }
}
