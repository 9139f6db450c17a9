//! (development) A whole gateway on port 0 with a clock set by hand, and helpers to talk to it.
