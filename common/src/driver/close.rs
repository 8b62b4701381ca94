//! Why a link ended, and why one could not be made.
//!
//! A connection is closed with a code of ours, so that the peer's log and error
//! say what happened. [`ConnectError`] turns what QUIC and TLS report into what
//! a person can act on.

use std::fmt;
use std::io;
use std::time::Duration;

use quinn::{ConnectionError, VarInt};

use crate::message::codec::FrameError;

/// Why one side closed a connection. The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// It is not needed any more.
    Done,
    /// A frame could not be understood, or the stream ended inside one.
    Malformed,
    /// A frame was larger than allowed.
    TooLarge,
    /// A message that a peer of this role may not send.
    Denied,
    /// A frame took too long to arrive.
    SlowFrame,
    /// What was sent was not read in time.
    SlowReader,
    /// A bound on the number of connections was reached.
    TooMany,
    /// The certificate does not bear out who the peer says it is.
    WrongIdentity,
    /// The server is stopping.
    Stopping,
    /// A newer connection of the same server took its place.
    Replaced,
    /// A bug on the side that closed.
    Internal,
    /// The server starts anew.
    Restarting,
    /// The cluster has no server of this name.
    Stranger,
}

impl CloseCode {
    const ALL: [CloseCode; 13] = [
        CloseCode::Done,
        CloseCode::Malformed,
        CloseCode::TooLarge,
        CloseCode::Denied,
        CloseCode::SlowFrame,
        CloseCode::SlowReader,
        CloseCode::TooMany,
        CloseCode::WrongIdentity,
        CloseCode::Stopping,
        CloseCode::Replaced,
        CloseCode::Internal,
        CloseCode::Restarting,
        CloseCode::Stranger,
    ];

    /// As it travels.
    pub fn number(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// From the wire; `None` if a newer version sent it.
    pub fn from_number(number: VarInt) -> Option<CloseCode> {
        CloseCode::ALL.into_iter().find(|code| code.number() == number)
    }

    /// In words, as they travel with the number.
    pub fn text(self) -> &'static str {
        match self {
            CloseCode::Done => "done",
            CloseCode::Malformed => "a frame is malformed",
            CloseCode::TooLarge => "a frame is too large",
            CloseCode::Denied => "the certificate's role may not send this message",
            CloseCode::SlowFrame => "a frame took too long to arrive",
            CloseCode::SlowReader => "what was sent was not read in time",
            CloseCode::TooMany => "too many connections",
            CloseCode::WrongIdentity => "the certificate does not bear out the claimed identity",
            CloseCode::Stopping => "the server is stopping",
            CloseCode::Restarting => "the server starts anew",
            CloseCode::Replaced => "a newer connection took its place",
            CloseCode::Stranger => "the cluster has no server of this name",
            CloseCode::Internal => "internal error",
        }
    }

    /// Closes a connection for this reason.
    pub(super) fn close(self, connection: &quinn::Connection) {
        connection.close(self.number(), self.text().as_bytes());
    }
}

impl From<FrameError> for CloseCode {
    fn from(error: FrameError) -> CloseCode {
        match error {
            FrameError::TooLarge(_) => CloseCode::TooLarge,
            FrameError::Malformed => CloseCode::Malformed,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// How a link ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// This side closed it.
    Here(CloseCode),
    /// The peer closed it.
    There(CloseCode),
    /// It broke: the peer is gone or unreachable.
    Lost(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Here(code) => write!(f, "closed here: {code}"),
            CloseReason::There(code) => write!(f, "closed by the peer: {code}"),
            CloseReason::Lost(what) => write!(f, "lost: {what}"),
        }
    }
}

impl From<&ConnectionError> for CloseReason {
    fn from(error: &ConnectionError) -> CloseReason {
        match error {
            ConnectionError::ApplicationClosed(close) => CloseCode::from_number(close.error_code)
                .map_or_else(
                    || CloseReason::Lost(format!("closed with unknown code {}", close.error_code)),
                    CloseReason::There,
                ),
            ConnectionError::LocallyClosed => CloseReason::Here(CloseCode::Done),
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::CidsExhausted => CloseReason::Lost(error.to_string()),
        }
    }
}

/// Why a connection could not be made. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address can not be resolved.
    #[error("can not resolve '{target}': {error}; give the address as host:port")]
    Address {
        /// What was dialed.
        target: String,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody answered.
    #[error(
        "no answer from {target} within {after:?}; is the server running, the address right, and UDP let through?"
    )]
    NoAnswer {
        /// What was dialed.
        target: String,
        /// How long was waited.
        after: Duration,
    },
    /// The server's certificate is from another authority.
    #[error(
        "{target} shows a certificate of an authority that is not in our ca.pem; does it belong to this cluster?"
    )]
    PeerNotTrusted {
        /// What was dialed.
        target: String,
    },
    /// The server's certificate has expired or is not valid yet.
    #[error("the certificate of {target} has expired, or a clock is wrong; issue it again")]
    PeerExpired {
        /// What was dialed.
        target: String,
    },
    /// Somebody else than expected is at this address.
    #[error("{target} is not {expected} ({detail}); check the address")]
    WrongNode {
        /// What was dialed.
        target: String,
        /// Who was expected there.
        expected: String,
        /// What TLS said.
        detail: String,
    },
    /// The server does not accept our certificate.
    #[error(
        "{target} does not accept our certificate ({detail}); is it issued by the authority of this cluster, for this role?"
    )]
    NotTrusted {
        /// What was dialed.
        target: String,
        /// What TLS said.
        detail: String,
    },
    /// The server says that our certificate has expired.
    #[error(
        "{target} says that our certificate has expired; issue it again, or correct the clocks"
    )]
    Expired {
        /// What was dialed.
        target: String,
    },
    /// The server speaks no version of the protocol that we speak.
    #[error(
        "{target} speaks another version of the protocol than we do ({ours}); upgrade the older side"
    )]
    WrongProtocol {
        /// What was dialed.
        target: String,
        /// The version spoken here.
        ours: String,
    },
    /// The server closed the new connection.
    #[error("{target} refused the connection: {code}")]
    Refused {
        /// What was dialed.
        target: String,
        /// Why.
        code: CloseCode,
    },
    /// Anything else.
    #[error("can not connect to {target}: {what}")]
    Other {
        /// What was dialed.
        target: String,
        /// What happened.
        what: String,
    },
}

/// What a dialer knows when a connection fails.
pub(super) struct Attempt<'a> {
    pub target: &'a str,
    pub expected: &'a str,
    pub ours: &'a [u8],
    pub after: Duration,
}

impl Attempt<'_> {
    /// Says why the connection failed.
    pub fn failed(&self, error: &ConnectionError) -> ConnectError {
        let target = self.target.to_owned();
        match error {
            ConnectionError::TransportError(close) => {
                self.alert_here(u64::from(close.code), &close.reason, error)
            }
            ConnectionError::ConnectionClosed(close) => {
                self.alert_there(u64::from(close.error_code), error)
            }
            ConnectionError::TimedOut => ConnectError::NoAnswer { target, after: self.after },
            ConnectionError::ApplicationClosed(close) => {
                match CloseCode::from_number(close.error_code) {
                    Some(code) => ConnectError::Refused { target, code },
                    None => self.other(error),
                }
            }
            ConnectionError::VersionMismatch => self.wrong_protocol(),
            ConnectionError::Reset
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => self.other(error),
        }
    }

    /// We refused the server's handshake.
    fn alert_here(&self, code: u64, reason: &str, error: &ConnectionError) -> ConnectError {
        let target = self.target.to_owned();
        match alert(code) {
            Some(UNKNOWN_CA | DECRYPT_ERROR) => ConnectError::PeerNotTrusted { target },
            Some(CERTIFICATE_EXPIRED) => ConnectError::PeerExpired { target },
            Some(BAD_CERTIFICATE | UNSUPPORTED_CERTIFICATE) => ConnectError::WrongNode {
                target,
                expected: self.expected.to_owned(),
                detail: reason.to_owned(),
            },
            Some(NO_APPLICATION_PROTOCOL) => self.wrong_protocol(),
            _ => self.other(error),
        }
    }

    /// The server refused our handshake.
    fn alert_there(&self, code: u64, error: &ConnectionError) -> ConnectError {
        let target = self.target.to_owned();
        match alert(code) {
            Some(CERTIFICATE_EXPIRED) => ConnectError::Expired { target },
            Some(NO_APPLICATION_PROTOCOL) => self.wrong_protocol(),
            Some(UNKNOWN_CA) => {
                ConnectError::NotTrusted { target, detail: "unknown authority".into() }
            }
            Some(CERTIFICATE_REQUIRED) => {
                ConnectError::NotTrusted { target, detail: "a certificate is required".into() }
            }
            Some(BAD_CERTIFICATE | UNSUPPORTED_CERTIFICATE | DECRYPT_ERROR | ACCESS_DENIED) => {
                ConnectError::NotTrusted { target, detail: error.to_string() }
            }
            _ if code == CONNECTION_REFUSED => {
                ConnectError::Refused { target, code: CloseCode::TooMany }
            }
            _ => self.other(error),
        }
    }

    fn wrong_protocol(&self) -> ConnectError {
        let ours = String::from_utf8_lossy(self.ours).into_owned();
        ConnectError::WrongProtocol { target: self.target.to_owned(), ours }
    }

    fn other(&self, error: &ConnectionError) -> ConnectError {
        ConnectError::Other { target: self.target.to_owned(), what: error.to_string() }
    }
}

/// QUIC's code for a server that takes no more connections.
const CONNECTION_REFUSED: u64 = 2;
const BAD_CERTIFICATE: u8 = 42;
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const CERTIFICATE_EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const ACCESS_DENIED: u8 = 49;
const DECRYPT_ERROR: u8 = 51;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The TLS alert in a QUIC error code.
fn alert(code: u64) -> Option<u8> {
    (code >> 8 == 1).then_some(code as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_and_read_back() {
        for (i, code) in CloseCode::ALL.into_iter().enumerate() {
            assert_eq!(code.number(), VarInt::from_u32(i as u32));
            assert_eq!(CloseCode::from_number(code.number()), Some(code));
        }
        assert_eq!(CloseCode::from_number(VarInt::from_u32(99)), None);
    }
}
