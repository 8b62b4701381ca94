//! The contract between what decides and what acts.
//!
//! Everything that decides is a *core*: a plain struct that implements [`Node`].
//! It has no clock, file, thread, socket or random source. A *driver* feeds it
//! events and carries out its output. There are two drivers: the production
//! driver (`driver`, with QUIC and files) and the simulator (crate
//! `synod-tests`). Both run the same cores.
//!
//! ```text
//!              recover(..)*  then  handle(now, event, &mut out)*
//!                                        │
//!      out.records   append to the log, in order ──▶ Event::Durable(lsn)
//!      out.held      send once the log is durable up to the given LSN
//!      out.sends     send at once
//!      out.checkpoint  write the next part of a checkpoint ──▶ Event::CheckpointWritten
//!      out.neighbours  keep links to these servers ──▶ Event::Connected, Event::Disconnected
//!      out.wake      call again with Event::Wake at that time
//!      out.refused   messages that were not obeyed, for people
//!      out.restart   make the node anew from its log
//! ```
//!
//! The driver carries the output out in this order. It may feed many events
//! before it does so: one output then holds what all of them asked for, and one
//! write and one fsync serve the batch.
//!
//! *Deliberately absent*: a core never learns that its log failed. A log whose
//! fsync failed is poisoned and the server stops; what is durable is found out
//! by recovery. Nor does a core take back what it has in mind: when its log turns out to
//! be another one, it starts anew.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Corrupt;
use crate::id::{Peer, RequestId};
use crate::message::Message;
use crate::refusal::{Refusal, Refused};
use crate::time::{Mono, Now};

/// The number of a record in a node's log, from 1. Zero is before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The next one.
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

/// A state machine that a driver runs.
pub trait Node {
    /// Takes back one piece of what survived, before [`Event::Start`]: first the
    /// parts of the newest checkpoint in the order in which they were written,
    /// then every log record from the checkpoint's start on.
    ///
    /// # Errors
    /// If the piece can not be understood. The driver then refuses to start.
    fn recover(&mut self, recovered: Recovered<'_>) -> Result<(), Corrupt>;

    /// Whether somebody of this name may be linked to it. The driver refuses others, so that
    /// nothing is ever heard of them; a certificate alone makes no member of a cluster.
    fn expects(&self, peer: Peer) -> bool {
        let _ = peer;
        true
    }

    /// Reacts to one event.
    fn handle(&mut self, now: Now, event: Event, out: &mut Output);
}

/// One piece of what survived a restart.
#[derive(Clone, Copy, Debug)]
pub enum Recovered<'a> {
    /// A part of the newest checkpoint.
    Checkpoint(&'a [u8]),
    /// A record of the log.
    Record(Lsn, &'a [u8]),
}

/// Decodes a record, or a part of a checkpoint, of which nothing may be left over.
///
/// # Errors
/// If the bytes are anything else; names `what` they should have been.
pub fn decode<T: DeserializeOwned>(what: impl fmt::Display, bytes: &[u8]) -> Result<T, Corrupt> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Corrupt::new(format!("{what} has trailing bytes"))),
        Err(error) => Err(Corrupt::new(format!("{what}: {error}"))),
    }
}

/// What can happen to a node.
#[derive(Debug)]
pub enum Event {
    /// Recovery is over. The seed feeds the core's own jitter.
    Start {
        /// Different at every start.
        seed: u64,
    },
    /// A link to `peer` is up; what is sent from now on may arrive.
    Connected(Peer),
    /// The link to `peer` is down; what was sent may or may not have arrived.
    Disconnected(Peer),
    /// A message arrived.
    Message {
        /// Who sent it, as the transport authenticated it.
        from: Peer,
        /// To be repeated in the reply; zero if no reply is expected.
        request: RequestId,
        /// The message.
        message: Message,
    },
    /// The time asked for in [`Output::wake`] has come.
    Wake,
    /// The log is durable up to and with this record.
    Durable(Lsn),
    /// The checkpoint step that was asked for last is durable.
    CheckpointWritten,
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// Who shall get it. Dropped silently if no link is up: protocols resend.
    pub to: Peer,
    /// The request that it answers, or zero.
    pub request: RequestId,
    /// The message.
    pub message: Message,
}

/// Records to be appended, serialized one behind another, each behind its
/// length as 4 bytes little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// How many.
    pub count: u32,
    /// Their bytes.
    pub bytes: Vec<u8>,
}

impl Records {
    /// Adds one record.
    pub fn push(&mut self, record: &impl Serialize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(record, bytes).expect("our own records can be serialized");
        let len = u32::try_from(self.bytes.len() - start - 4).expect("records are far below 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.count += 1;
    }

    /// Adds one that is serialized already.
    pub fn push_bytes(&mut self, record: &[u8]) {
        let len = u32::try_from(record.len()).expect("records are far below 4 GiB");
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.count += 1;
    }

    /// Takes out all.
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The serialized records in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let (record, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
            rest = tail;
            Some(record)
        })
    }
}

/// One step of writing a checkpoint. The core asks for one at a time and goes
/// on when [`Event::CheckpointWritten`] answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointStep {
    /// Start a new checkpoint; recovery from it replays the log from this LSN.
    Begin(Lsn),
    /// Write a part.
    Part(Vec<u8>),
    /// Make it the newest checkpoint, durably; the log before its start may go.
    Finish,
}

/// A server that a core wants a link to, which it learned of at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Who is there.
    pub peer: Peer,
    /// Where, as `host:port`.
    pub address: String,
}

/// What a core asks of its driver. Carried out in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Output {
    last: Lsn,
    forced: usize,
    logged: u64,
    /// Records to append to the log.
    pub records: Records,
    /// Messages that may leave once the log is durable up to an LSN, in order.
    pub held: Vec<(Lsn, Send)>,
    /// Messages that may leave at once, in order.
    pub sends: Vec<Send>,
    /// The next step of a checkpoint.
    pub checkpoint: Option<CheckpointStep>,
    /// The servers to keep links to from now on, beside those that the
    /// configuration names; `None`: as before. A set takes the place of the one
    /// before: links to servers that are in both with the same address stay, those
    /// to the others are closed. Links that a peer made are the peer's business; of
    /// two with the same peer the driver keeps the newer, so only one side asks. A
    /// driver that has joined its nodes by other means does nothing.
    pub neighbours: Option<Vec<Neighbour>>,
    /// When to call with [`Event::Wake`]; overwritten by every call of `handle`.
    pub wake: Option<Mono>,
    /// Messages that were not obeyed, and why: to be counted and written down.
    pub refused: Vec<Refused>,
    /// What the node has in mind is not what its log will say. After all the above, the
    /// driver closes its links, and makes it anew from what is durable, as after a crash.
    pub restart: bool,
}

impl Output {
    /// An empty output of a node whose log ends with `last`.
    pub fn new(last: Lsn) -> Output {
        Output { last, ..Output::default() }
    }

    /// LSN of the last record that was appended.
    pub fn last_lsn(&self) -> Lsn {
        self.last
    }

    /// Appends a record that somebody waits for: it is made durable as soon as
    /// the disk is free.
    pub fn force(&mut self, record: &impl Serialize) -> Lsn {
        self.forced += 1;
        self.append(record)
    }

    /// Appends a record that nobody waits for: it becomes durable with the next
    /// forced one, or after a short while.
    pub fn append(&mut self, record: &impl Serialize) -> Lsn {
        let before = self.records.bytes.len();
        self.records.push(record);
        self.appended(before)
    }

    /// As [`Output::force`], a record that is serialized already.
    pub fn force_bytes(&mut self, record: &[u8]) -> Lsn {
        self.forced += 1;
        self.append_bytes(record)
    }

    /// As [`Output::append`], a record that is serialized already.
    pub fn append_bytes(&mut self, record: &[u8]) -> Lsn {
        let before = self.records.bytes.len();
        self.records.push_bytes(record);
        self.appended(before)
    }

    fn appended(&mut self, before: usize) -> Lsn {
        self.logged += (self.records.bytes.len() - before) as u64;
        self.last = self.last.next();
        self.last
    }

    /// Sends at once.
    pub fn send(&mut self, to: Peer, request: RequestId, message: impl Into<Message>) {
        self.sends.push(Send { to, request, message: message.into() });
    }

    /// Sends once the log is durable up to `lsn`.
    pub fn send_after(
        &mut self,
        lsn: Lsn,
        to: Peer,
        request: RequestId,
        message: impl Into<Message>,
    ) {
        self.held.push((lsn, Send { to, request, message: message.into() }));
    }

    /// A message was not obeyed.
    pub fn refuse(&mut self, from: Peer, why: Refusal) {
        self.refused.push(Refused { from, why });
    }

    /// Keeps links to these servers from now on, and to no others but those of
    /// the configuration. A link that is down is made again and again.
    pub fn keep_links(&mut self, neighbours: impl IntoIterator<Item = Neighbour>) {
        self.neighbours = Some(neighbours.into_iter().collect());
    }

    /// Bytes appended since this was last asked, for deciding on checkpoints.
    pub fn take_logged(&mut self) -> u64 {
        std::mem::take(&mut self.logged)
    }

    /// Nothing is asked for any more, by a node whose log ends with `last`.
    pub fn begin_anew(&mut self, last: Lsn) {
        let over = std::mem::replace(self, Output::new(last));
        self.reuse(over.records);
        (self.held, self.sends) = (over.held, over.sends);
        self.held.clear();
        self.sends.clear();
    }

    /// Takes back the memory of records that were taken.
    pub fn reuse(&mut self, mut records: Records) {
        if self.records.is_empty() {
            records.clear();
            self.records = records;
        }
    }

    /// Takes the records, with how many of them are forced.
    pub fn take_records(&mut self) -> (Records, usize) {
        (std::mem::take(&mut self.records), std::mem::take(&mut self.forced))
    }
}
