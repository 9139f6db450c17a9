//! The HTTP kit: listen, TLS, graceful stop, request id, limits, Caller from bearer, cookie or basic.
