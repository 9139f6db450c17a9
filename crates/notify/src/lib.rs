//! The outbox: mail, webhook, device action; retry, back-off, dead letter.
