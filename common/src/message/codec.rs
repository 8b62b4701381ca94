//! Frames: how messages stand in a stream. Total on hostile bytes.
//!
//! ```text
//!   ┌────────┬───────────┬──────────────────┬─────────────┐
//!   │ len u32│request u64│ header (postcard)│ bulk (raw)  │   little-endian
//!   └────────┴───────────┴──────────────────┴─────────────┘
//!             ◀────────────── len ────────────────────────▶
//! ```
//!
//! The header says by itself where it ends; what follows is the bulk, and there
//! may be none unless the kind of message has one. A header must be encoded
//! canonically: postcard accepts over-long integers, we do not.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Message;
use crate::id::RequestId;
use crate::limits;

/// Name of this version of the protocol in the TLS handshake.
pub const ALPN: &[u8] = b"synod/1";

/// Bytes of a frame before its header.
const PREFIX: usize = 4 + 8;

/// A frame that is refused. The connection it came on is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Larger than [`limits::FRAME_BYTES`].
    #[error("a frame of {0} bytes is too large")]
    TooLarge(u64),
    /// Truncated, of unknown kind, with trailing bytes, or not canonical.
    #[error("a frame is malformed")]
    Malformed,
}

/// Appends a frame to `out`.
///
/// # Errors
/// [`FrameError::TooLarge`] if the message does not fit; `out` is unchanged.
pub fn encode(request: RequestId, message: &Message, out: &mut BytesMut) -> Result<(), FrameError> {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u64_le(request.0);
    let header_start = out.len();
    postcard::to_extend(message, Appender(out)).map_err(|_| FrameError::Malformed)?;
    let header = out.len() - header_start;
    let bulk = message.bulk().map_or(&[][..], |bulk| bulk);
    let len = out.len() - start - 4 + bulk.len();
    if header > limits::HEADER_BYTES || len > limits::FRAME_BYTES {
        out.truncate(start);
        return Err(FrameError::TooLarge(len as u64));
    }
    out.extend_from_slice(bulk);
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(())
}

/// Lets postcard write into a `BytesMut`, which is no `Extend<u8>` by value.
struct Appender<'a>(&'a mut BytesMut);

impl Extend<u8> for Appender<'_> {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        for byte in bytes {
            self.0.put_u8(byte);
        }
    }
}

/// Takes the next complete frame off the front of `input`, or `None` if more
/// bytes are needed.
///
/// # Errors
/// If the frame is refused; nothing after it can be trusted.
pub fn decode(input: &mut BytesMut) -> Result<Option<(RequestId, Message)>, FrameError> {
    let Some(len) = input.first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_le_bytes(*len) as usize;
    if len > limits::FRAME_BYTES {
        return Err(FrameError::TooLarge(len as u64));
    }
    if len < PREFIX - 4 {
        return Err(FrameError::Malformed);
    }
    if input.len() < 4 + len {
        return Ok(None);
    }
    let mut frame = input.split_to(4 + len).freeze();
    frame.advance(4);
    let request = RequestId(frame.get_u64_le());
    decode_message(frame).map(|message| Some((request, message)))
}

/// Decodes header and bulk.
fn decode_message(mut bytes: Bytes) -> Result<Message, FrameError> {
    let window = &bytes[..bytes.len().min(limits::HEADER_BYTES)];
    let (mut message, rest) =
        postcard::take_from_bytes::<Message>(window).map_err(|_| FrameError::Malformed)?;
    let header = window.len() - rest.len();
    if !is_canonical(&message, &window[..header]) {
        return Err(FrameError::Malformed);
    }
    bytes.advance(header);
    match message.bulk_mut() {
        Some(bulk) => *bulk = bytes,
        None if bytes.is_empty() => {}
        None => return Err(FrameError::Malformed),
    }
    Ok(message)
}

/// Whether encoding the message again gives the same header.
fn is_canonical(message: &Message, header: &[u8]) -> bool {
    struct Compare<'a> {
        rest: &'a [u8],
        same: bool,
    }
    impl Extend<u8> for Compare<'_> {
        fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
            for byte in bytes {
                match self.rest.split_first() {
                    Some((first, tail)) if *first == byte => self.rest = tail,
                    _ => self.same = false,
                }
            }
        }
    }
    let compare = Compare { rest: header, same: true };
    postcard::to_extend(message, compare).is_ok_and(|done| done.same && done.rest.is_empty())
}

#[cfg(test)]
mod tests;
