//! The client over QUIC.
/// Placeholder
pub struct Credentials;
