//! The topic tree.
