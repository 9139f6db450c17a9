//! Faults to inject, so that tests can see what the journal does when the disk misbehaves.

/// A handle on the injected faults; clones share them. None by default, and then it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults;

impl Faults {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self
    }
}
