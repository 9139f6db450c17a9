//! Heliograph's own REST API under /heliograph/v1.
