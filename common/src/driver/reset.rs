//! A restarted server tells its peers at once that their connections are gone.
//!
//! A process that is killed says no farewell; its peers would go on sending to
//! it until the idle timeout. QUIC has an answer: whoever gets a packet of a
//! connection it does not know replies with a token that only the connection's
//! owner could have made (RFC 9000 §10.3). For this the token must come out the
//! same after a restart, so its key is derived from the certificate's key, and
//! connection ids must be acceptable that another process handed out.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::hmac;

/// Separates this use of the secret from all others.
const PURPOSE: &[u8] = b"synod stateless reset";
const ID_BYTES: usize = 8;

/// An endpoint whose stateless resets are recognized after a restart.
pub(super) fn endpoint_config(secret: &[u8]) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let derived = hmac::sign(&secret, PURPOSE);
    let key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(|| Box::new(AnyId));
    config
}

/// Connection ids without a mark of the process that made them.
struct AnyId;

impl ConnectionIdGenerator for AnyId {
    fn generate_cid(&mut self) -> ConnectionId {
        // Keyed by the system's randomness: SipHash of nothing under a new key.
        ConnectionId::new(&RandomState::new().hash_one(()).to_ne_bytes())
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
