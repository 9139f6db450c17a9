//! Condition tree, index by series, evaluation, alerts.
