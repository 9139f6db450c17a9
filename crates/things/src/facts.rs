//! Facts: what a message says, read out of its payload. Pure.
