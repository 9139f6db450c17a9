//! Who are you, what may you do, here is your token: credentials, sessions, keys, certificates, tokens; no HTTP.
