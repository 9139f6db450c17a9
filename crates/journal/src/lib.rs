//! The durable message log: append with group commit, inbox, history by thing and time, live subscription.
