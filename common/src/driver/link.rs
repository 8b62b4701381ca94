//! One connection's lane: frames in order, both ways, over one stream.
//!
//! ```text
//!   send ─┐                                                     ┌─ batch ─▶ Sink
//!   send ─┼▶ SendQueue ─▶ writer ══ one chunk ══▶ reader ─ peel ┘
//!   send ─┘               task        QUIC        task
//! ```
//!
//! Frames are encoded straight into the queue; the writer takes all that is
//! there and writes it as one chunk, so what is sent together travels together.
//! The reader hands on all frames that have arrived as one batch, and reads on
//! only when the sink has taken it: that is the back-pressure.
//!
//! The dialer opens the stream and speaks first, because a QUIC stream does not
//! exist for the other side before something was sent on it:
//!
//! ```text
//!   dialer    "SYND" lane u8 role u8 number u16     I am shard 1, for transactions
//!   acceptor  lane u8                               accepted (or the connection is closed)
//! ```
//!
//! What the dialer says of itself must be what its certificate says.
//!
//! *Deliberately absent*: other lanes. Consensus and bulk get a stream each when
//! they exist.

use std::future::{Future, poll_fn};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::{ConnectionError, ReadError};
use tokio::time::{Instant, timeout};

use super::close::{CloseCode, CloseReason};
use super::endpoint::Settings;
use super::stats::Stats;
use super::tls::PeerNames;
use crate::id::RequestId;
use crate::message::Message;
use crate::message::codec::{self, FrameError};
use crate::sync::{Pushed, SendQueue};

/// Chunks taken from QUIC at once.
const CHUNKS: usize = 64;

/// How long a closing side waits until what it sent has arrived.
const LINGER: Duration = Duration::from_secs(1);

/// A message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer reads too slowly: as much as may wait is waiting.
    #[error("too much is waiting to be sent")]
    Full,
    /// The link is down.
    #[error("the link is down")]
    Closed,
    /// The message is larger than a frame may be.
    #[error("the message is too large")]
    TooLarge,
}

/// Takes what a link receives.
pub trait Sink: Send + 'static {
    /// Takes the messages of a batch out of `messages`, which are `bytes` of
    /// frames. The link reads no further until it is done.
    ///
    /// An error closes the link with that code.
    fn deliver(
        &mut self,
        messages: &mut Vec<(RequestId, Message)>,
        bytes: usize,
    ) -> impl Future<Output = Result<(), CloseCode>> + Send;

    /// The link is down; called once, and last.
    fn closed(&mut self, reason: CloseReason);
}

/// One end of a connection. Clones are the same end.
#[derive(Clone)]
pub struct Link {
    queue: Arc<SendQueue>,
    closer: Arc<Closer>,
    peer: Arc<PeerNames>,
    stats: Arc<Stats>,
}

/// Closes the connection and remembers the first reason to do so.
struct Closer {
    connection: quinn::Connection,
    code: OnceLock<CloseCode>,
}

impl Closer {
    fn close(&self, code: CloseCode) {
        self.code.get_or_init(|| code).close(&self.connection);
    }

    /// Waits until it is closed, by whomever.
    async fn closed(&self) -> CloseReason {
        self.reason(&self.connection.closed().await)
    }

    fn reason(&self, error: &ConnectionError) -> CloseReason {
        match (error, self.code.get()) {
            (ConnectionError::LocallyClosed, Some(code)) => CloseReason::Here(*code),
            _ => CloseReason::from(error),
        }
    }
}

/// A connection whose lane is agreed on.
pub(super) struct Lane {
    pub connection: quinn::Connection,
    pub peer: PeerNames,
    pub send: quinn::SendStream,
    pub receive: quinn::RecvStream,
}

impl Link {
    /// Starts the reader and the writer. Must be called within a tokio runtime.
    /// The sink is made before anything can be received.
    pub(super) fn start<S: Sink>(
        lane: Lane,
        settings: &Settings,
        stats: Arc<Stats>,
        sink: impl FnOnce(&Link) -> S,
    ) -> Link {
        let queue = Arc::new(SendQueue::new(settings.send_bytes));
        let closer = Arc::new(Closer { connection: lane.connection, code: OnceLock::new() });
        let link = Link {
            queue: queue.clone(),
            closer: closer.clone(),
            peer: Arc::new(lane.peer),
            stats: stats.clone(),
        };
        let reader = Reader {
            closer: closer.clone(),
            queue: queue.clone(),
            sink: sink(&link),
            reason: None,
        };
        tokio::spawn(write(queue, lane.send, closer, settings.stall));
        tokio::spawn(reader.run(lane.receive, settings.frame_time, stats));
        link
    }

    /// Puts a message into the queue. It may still be lost if the link breaks.
    ///
    /// # Errors
    /// If it was not put there.
    pub fn send(&self, request: RequestId, message: &Message) -> Result<(), SendError> {
        let mut encoded = Ok(0);
        let pushed = self.queue.push(|buffer| {
            let before = buffer.len();
            encoded = codec::encode(request, message, buffer).map(|()| buffer.len() - before);
        });
        match (pushed, encoded) {
            (Pushed::Full, _) => Err(SendError::Full),
            (Pushed::Closed, _) => Err(SendError::Closed),
            (Pushed::Queued { .. }, Err(FrameError::TooLarge(_) | FrameError::Malformed)) => {
                Err(SendError::TooLarge)
            }
            (Pushed::Queued { .. }, Ok(bytes)) => {
                Stats::add(&self.stats.messages_out, 1);
                Stats::add(&self.stats.bytes_out, bytes);
                Ok(())
            }
        }
    }

    /// Who is at the other end, as its certificate says.
    pub fn peer(&self) -> &PeerNames {
        &self.peer
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Sends what is in the queue, then closes.
    pub fn close(&self, code: CloseCode) {
        self.closer.code.get_or_init(|| code);
        self.queue.close();
    }

    /// Closes at once; what is in the queue is lost.
    pub fn abort(&self, code: CloseCode) {
        self.queue.close();
        self.closer.close(code);
    }

    /// Waits until the link is down, and says why.
    pub async fn closed(&self) -> CloseReason {
        self.closer.closed().await
    }
}

/// The writer: ends when the queue is closed and empty, or the stream is.
async fn write(
    queue: Arc<SendQueue>,
    mut stream: quinn::SendStream,
    closer: Arc<Closer>,
    stall: Duration,
) {
    // On every way out, a panic included, nobody may queue for nothing.
    struct OnExit(Arc<SendQueue>, Arc<Closer>, CloseCode);
    impl Drop for OnExit {
        fn drop(&mut self) {
            self.0.close();
            self.1.close(self.2);
        }
    }
    let mut exit = OnExit(queue.clone(), closer, CloseCode::Internal);
    while let Some(frames) = poll_fn(|cx| queue.poll_take(cx)).await {
        match timeout(stall, stream.write_chunk(frames.freeze())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                exit.2 = CloseCode::Done;
                return;
            }
            Err(_) => {
                exit.2 = CloseCode::SlowReader;
                return;
            }
        }
    }
    exit.2 = CloseCode::Done;
    if stream.finish().is_ok() {
        // Whether it arrived or not: the connection is closed either way.
        let _ = timeout(LINGER, stream.stopped()).await;
    }
}

/// The reader, and what must happen when it ends.
struct Reader<S: Sink> {
    closer: Arc<Closer>,
    queue: Arc<SendQueue>,
    sink: S,
    reason: Option<CloseReason>,
}

impl<S: Sink> Drop for Reader<S> {
    fn drop(&mut self) {
        self.queue.close();
        let reason = self.reason.take().unwrap_or_else(|| {
            // Panicked, or the runtime is going down.
            self.closer.close(CloseCode::Internal);
            CloseReason::Here(CloseCode::Internal)
        });
        self.sink.closed(reason);
    }
}

/// Why reading ended.
enum End {
    Here(CloseCode),
    Broken(ConnectionError),
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> End {
        match error {
            ReadError::ConnectionLost(error) => End::Broken(error),
            // The peer gave up the stream in the middle: nothing half-received
            // counts, and there is nothing else that it could say.
            ReadError::Reset(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => End::Here(CloseCode::Malformed),
        }
    }
}

impl From<CloseCode> for End {
    fn from(code: CloseCode) -> End {
        End::Here(code)
    }
}

impl<S: Sink> Reader<S> {
    async fn run(mut self, stream: quinn::RecvStream, frame_time: Duration, stats: Arc<Stats>) {
        let end = self.read(stream, frame_time, &stats).await;
        let reason = match end {
            Err(End::Here(code)) => {
                self.closer.close(code);
                CloseReason::Here(code)
            }
            Err(End::Broken(error)) => self.closer.reason(&error),
            // The peer has said all that it wanted to, and is about to close.
            Ok(()) => {
                self.queue.close();
                match timeout(LINGER, self.closer.closed()).await {
                    Ok(reason @ CloseReason::There(_)) => reason,
                    _ => CloseReason::There(CloseCode::Done),
                }
            }
        };
        self.reason = Some(reason);
    }

    /// Reads frames until the stream ends between two of them.
    async fn read(
        &mut self,
        mut stream: quinn::RecvStream,
        frame_time: Duration,
        stats: &Stats,
    ) -> Result<(), End> {
        let mut buffer = BytesMut::new();
        let mut messages = Vec::new();
        let mut chunks = vec![Bytes::new(); CHUNKS];
        // What is left of the time in which the frame that has begun must end.
        // Only waiting for the peer counts, not waiting for the sink.
        let mut left = frame_time;
        loop {
            let read = if buffer.is_empty() {
                left = frame_time;
                stream.read_chunks(&mut chunks).await
            } else {
                let start = Instant::now();
                let read = timeout(left, stream.read_chunks(&mut chunks)).await;
                left = left.saturating_sub(start.elapsed());
                read.map_err(|_| CloseCode::SlowFrame)?
            };
            let Some(count) = read? else {
                return if buffer.is_empty() { Ok(()) } else { Err(CloseCode::Malformed.into()) };
            };
            for chunk in chunks.iter_mut().take(count) {
                buffer.extend_from_slice(&std::mem::take(chunk));
            }
            let before = buffer.len();
            let peeled = peel(&mut buffer, &mut messages);
            if !messages.is_empty() {
                left = frame_time;
                let bytes = before - buffer.len();
                Stats::add(&stats.messages_in, messages.len());
                Stats::add(&stats.bytes_in, bytes);
                self.sink.deliver(&mut messages, bytes).await?;
                messages.clear();
            }
            peeled.map_err(CloseCode::from)?;
        }
    }
}

/// Takes all complete frames off the buffer.
fn peel(buffer: &mut BytesMut, messages: &mut Vec<(RequestId, Message)>) -> Result<(), FrameError> {
    while let Some(message) = codec::decode(buffer)? {
        messages.push(message);
    }
    Ok(())
}
