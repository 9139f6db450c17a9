//! Things, inboxes, history: accept a message, ask for history, send to a thing.
