//! Errors say what the caller may conclude.

/// Something durable can not be understood, or contradicts itself. Never
/// repaired silently; the server refuses to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt: {0}")]
pub struct Corrupt(pub String);
