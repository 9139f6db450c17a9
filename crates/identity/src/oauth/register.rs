//! Dynamic client registration (RFC 7591, 7592).
