//! FlashLex API 1.4: tokens, things, messages, collect, publish, distribution.
