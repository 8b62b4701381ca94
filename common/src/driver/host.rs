//! Runs one node: the loop between its inbox, its log and its links.
//!
//! ```text
//!   inbox ──batch──▶ node.handle × n ──▶ one Output
//!                                           │ 1 records ──▶ log (one submit)
//!     durable ◀─────────── log thread ◀─────┘ 2 held ─────▶ wait here for their LSN
//!                                             3 sends ────▶ links, at once
//!                                             4 checkpoint ▶ log
//!                                             5 neighbours ▶ who is dialed
//!                                             6 wake ─────▶ timer
//!                                             7 refused ──▶ counted, written down
//! ```
//!
//! All on one thread, except the log's. The loop never waits for the disk: while
//! a batch is being made durable, the next one is handled. After each batch it
//! lets the links' tasks run, so batches grow by themselves under load.
//!
//! What bounds it: the inbox; a log that falls behind, until when nothing more is
//! handled; and per link the replies that wait to be sent, until when the link's
//! remaining messages are put aside.
//!
//! A node that asks for it is made anew from its log: its links are closed, and all that
//! it had in mind is gone, as after a crash.
//!
//! *Deliberately absent*: more than one thread per node. A core is one struct.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until};

use super::chaos::Chaos;
use super::close::CloseCode;
use super::handle::{HostHandle, LinkHandle};
use super::inbox::{Inbound, LinkId};
use super::link::SendError;
use super::runner::Observe;
use super::stats::Stats;
use crate::id::{Peer, RequestId};
use crate::message::Message;
use crate::node::{Event, Lsn, Node, Output, Send};
use crate::refusal::{Refusal, Refused};
use crate::sync::GroupCommit;
use crate::time::{Mono, Now, Wall};

/// So many messages of a link are handled before what they caused is sent.
const SLICE: usize = 16;

/// How soon to look again at links whose messages were put aside.
const ASIDE: Duration = Duration::from_millis(1);

/// Why a host ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The log failed. Nothing was acknowledged that is not durable.
    #[error("the log has failed and the server stops: {0}")]
    Log(String),
    /// The core, or the driver around it, has a bug.
    #[error("the server stops because of a bug: {0}")]
    Panicked(String),
    /// The network endpoint is gone.
    #[error("the network endpoint has failed and the server stops")]
    Endpoint,
}

/// A node with what it needs to run.
pub struct Host<N> {
    node: N,
    handle: HostHandle,
    log: Arc<GroupCommit>,
    links: BTreeMap<Peer, Entry>,
    held: VecDeque<(Lsn, Send)>,
    aside: VecDeque<Aside>,
    out: Output,
    /// The durability that the node was told of.
    told: Lsn,
    steps_told: u64,
    clock: Clock,
    observe: Option<Observe<N>>,
    remake: Option<Remake<N>>,
}

/// Makes the node and its log anew. The log that was there is closed first, so that all of
/// it is durable.
pub type Remake<N> =
    Box<dyn FnMut() -> Result<(N, Arc<GroupCommit>), HostError> + std::marker::Send>;

struct Entry {
    link: LinkId,
    handle: LinkHandle,
}

/// Messages of a link that has too much to send.
struct Aside {
    peer: Peer,
    link: LinkId,
    messages: VecDeque<(RequestId, Message)>,
    permits: u32,
    gate: Arc<Semaphore>,
}

/// Both clocks of a node.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: Instant,
}

impl Clock {
    fn now(self, chaos: &Chaos) -> Now {
        let mono = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let wall = u64::try_from(wall.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        Now { mono: Mono(mono), wall: Wall(chaos.wall(wall)) }
    }

    fn instant(self, mono: Mono) -> Instant {
        // A core may ask for a time that is as good as never.
        let far = Duration::from_secs(3600);
        self.origin + Duration::from_micros(mono.0).min(self.origin.elapsed() + far)
    }
}

impl<N: Node + std::marker::Send + 'static> Host<N> {
    /// A host for a node that has recovered. `log` must have been made with
    /// `handle.waker()`, and end with the last record that the node recovered.
    pub fn new(node: N, log: Arc<GroupCommit>, handle: HostHandle) -> Host<N> {
        let last = log.durable_lsn();
        Host {
            node,
            handle,
            links: BTreeMap::new(),
            held: VecDeque::new(),
            aside: VecDeque::new(),
            out: Output::new(last),
            told: last,
            steps_told: log.steps_done(),
            log,
            clock: Clock { origin: Instant::now() },
            observe: None,
            remake: None,
        }
    }

    /// Shows the node to `observe` after every batch.
    pub fn observed(mut self, observe: Observe<N>) -> Host<N> {
        self.observe = Some(observe);
        self
    }

    /// Lets the node ask to be made anew.
    pub fn remade(mut self, remake: Remake<N>) -> Host<N> {
        self.remake = Some(remake);
        self
    }

    /// The handle it was made with.
    pub fn handle(&self) -> &HostHandle {
        &self.handle
    }

    /// Runs until it is asked to stop or the log fails. Spawn it rather than
    /// block on it: tokio wakes tasks without a system call.
    ///
    /// # Errors
    /// If the log fails.
    pub async fn run(mut self) -> Result<(), HostError> {
        self.start()?;
        let mut timer = Timer::new(self.clock.instant(Mono(u64::MAX)));
        let mut batch = Vec::new();
        while !self.handle.is_stopping() {
            let behind = self.log.pending_bytes() > self.handle.0.limits.log_bytes;
            self.arm(&mut timer);
            poll_fn(|cx| {
                let inbox = self.handle.0.inbox.poll(cx, !behind, &mut batch);
                let timer = timer.sleep.as_mut().poll(cx);
                if inbox.is_ready() || timer.is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            self.turn(&mut batch)?;
            if self.out.restart {
                self.restart()?;
            }
            // Whoever reads from links comes first, and adds to the batch. If there is none yet,
            // waiting for it lets them run, without asking the system once more.
            if !self.handle.0.inbox.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        self.stop().await
    }

    fn start(&mut self) -> Result<(), HostError> {
        let seed = RandomState::new().hash_one(SystemTime::now());
        let now = self.clock.now(self.handle.chaos());
        self.node.handle(now, Event::Start { seed }, &mut self.out);
        self.carry_out()
    }

    /// Makes the node anew. Nothing else can be done meanwhile.
    fn restart(&mut self) -> Result<(), HostError> {
        for entry in std::mem::take(&mut self.links).into_values() {
            entry.handle.abort(CloseCode::Restarting);
        }
        for batch in self.aside.drain(..) {
            batch.gate.add_permits(1);
            self.handle.0.inbox.release(batch.permits as usize);
        }
        self.held.clear();
        let remake = self.remake.as_mut();
        let remake = remake.ok_or(HostError::Panicked("it can not start anew".into()))?;
        let (node, log) = remake()?;
        tracing::info!("started anew from the log");
        self.told = log.durable_lsn();
        self.steps_told = log.steps_done();
        self.out.begin_anew(self.told);
        (self.node, self.log) = (node, log);
        self.start()
    }

    /// Sets the timer to what the node, or what was put aside, waits for.
    fn arm(&self, timer: &mut Timer) {
        let wake = self.out.wake.map(|mono| self.clock.instant(mono));
        let aside = (!self.aside.is_empty()).then(|| Instant::now() + ASIDE);
        let idle = Instant::now() + Duration::from_secs(3600);
        timer.set(wake.into_iter().chain(aside).min().unwrap_or(idle));
    }

    /// One round of the loop.
    fn turn(&mut self, batch: &mut Vec<Inbound>) -> Result<(), HostError> {
        let start = Instant::now();
        let now = self.clock.now(self.handle.chaos());
        self.durable(now)?;
        if self.out.wake.is_some_and(|wake| wake <= now.mono) {
            self.out.wake = None;
            self.node.handle(now, Event::Wake, &mut self.out);
        }
        let mut permits = self.resume(now);
        for item in batch.drain(..) {
            permits += self.inbound(now, item);
        }
        self.carry_out()?;
        self.handle.0.inbox.release(permits);
        if let Some(observe) = &mut self.observe {
            observe(&self.node);
        }
        let stats = self.handle.stats();
        Stats::add(&stats.batches, 1);
        Stats::add(&stats.core_us, start.elapsed().as_micros() as usize);
        Ok(())
    }

    /// Tells the node what has become durable, and lets go what waited for it.
    fn durable(&mut self, now: Now) -> Result<(), HostError> {
        let durable = self.log.durable_lsn();
        if durable > self.told {
            self.told = durable;
            self.release(durable);
            self.node.handle(now, Event::Durable(durable), &mut self.out);
        }
        if let Some(why) = self.log.failure() {
            return Err(HostError::Log(why));
        }
        let done = self.log.steps_done();
        while self.steps_told < done {
            self.steps_told += 1;
            self.node.handle(now, Event::CheckpointWritten, &mut self.out);
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Lets go what waited for the log up to here.
    fn release(&mut self, durable: Lsn) {
        while self.held.front().is_some_and(|(lsn, _)| *lsn <= durable) {
            if let Some((_, send)) = self.held.pop_front() {
                self.send(send);
            }
        }
    }

    /// Handles one item of the inbox; returns the room that it gives back.
    fn inbound(&mut self, now: Now, item: Inbound) -> usize {
        match item {
            Inbound::Connected { peer, handle, .. } if !self.node.expects(peer) => {
                tracing::warn!(%peer, "refused: the cluster has no server of this name");
                handle.abort(CloseCode::Stranger);
                0
            }
            Inbound::Connected { peer, link, handle } => {
                Stats::add(&self.handle.stats().links_up, 1);
                let old = self.links.insert(peer, Entry { link, handle });
                if let Some(old) = old {
                    tracing::warn!(%peer, "a second link of the same server takes the first one's place");
                    old.handle.abort(CloseCode::Replaced);
                    self.node.handle(now, Event::Disconnected(peer), &mut self.out);
                }
                self.node.handle(now, Event::Connected(peer), &mut self.out);
                0
            }
            Inbound::Disconnected { peer, link, slot } => {
                Stats::add(&self.handle.stats().links_down, 1);
                if self.is_current(peer, link) {
                    self.links.remove(&peer);
                    self.node.handle(now, Event::Disconnected(peer), &mut self.out);
                }
                drop(slot);
                0
            }
            Inbound::Messages { peer, link, messages, permits, gate } => {
                let messages = messages.into();
                self.messages(now, Aside { peer, link, messages, permits, gate })
            }
            Inbound::Message { peer, link, request, message, permits } => {
                if !self.is_current(peer, link) {
                } else if message.may_come_from(peer) {
                    Stats::add(&self.handle.stats().messages_in, 1);
                    let event = Event::Message { from: peer, request, message };
                    self.node.handle(now, event, &mut self.out);
                } else {
                    tracing::error!(%peer, "a message that this peer may not send was dropped");
                }
                permits as usize
            }
        }
    }

    fn is_current(&self, peer: Peer, link: LinkId) -> bool {
        self.links.get(&peer).is_some_and(|entry| entry.link == link)
    }

    /// Handles messages of one link until they are done or too much of what they
    /// caused waits to be sent.
    fn messages(&mut self, now: Now, mut batch: Aside) -> usize {
        loop {
            match self.links.get(&batch.peer) {
                Some(entry) if entry.link == batch.link => {
                    if entry.handle.queued() > self.handle.0.limits.reply_bytes {
                        self.aside.push_back(batch);
                        return 0;
                    }
                }
                // They came over a link that is down.
                _ => batch.messages.clear(),
            }
            let slice = batch.messages.len().min(SLICE);
            for (request, message) in batch.messages.drain(..slice) {
                let event = Event::Message { from: batch.peer, request, message };
                self.node.handle(now, event, &mut self.out);
            }
            self.send_all();
            if batch.messages.is_empty() {
                batch.gate.add_permits(1);
                return batch.permits as usize;
            }
        }
    }

    /// Goes on with what was put aside.
    fn resume(&mut self, now: Now) -> usize {
        let aside = std::mem::take(&mut self.aside);
        aside.into_iter().map(|batch| self.messages(now, batch)).sum()
    }

    /// Carries the output out, in the order that the contract gives.
    fn carry_out(&mut self) -> Result<(), HostError> {
        let (records, forced) = self.out.take_records();
        if !records.is_empty() {
            Stats::add(&self.handle.stats().forced, forced);
            let submitted = self.log.submit(records, forced > 0).map_err(|_| self.log_error())?;
            assert_eq!(submitted, self.out.last_lsn(), "node and log count the same records");
        }
        self.held.extend(self.out.held.drain(..));
        // Some may wait for what is durable already.
        self.release(self.told);
        self.send_all();
        self.checkpoint()?;
        if let Some(neighbours) = self.out.neighbours.take() {
            self.handle.0.neighbours.send_replace(neighbours);
        }
        self.refused();
        Ok(())
    }

    /// Counts what was not obeyed. What is of old epochs comes in numbers after an election.
    fn refused(&mut self) {
        for Refused { from, why } in self.out.refused.drain(..) {
            Stats::add(self.handle.stats().messages_refused(why), 1);
            match why {
                Refusal::OldEpoch | Refusal::Deposed => {
                    tracing::debug!(peer = %from, %why, "a message was refused");
                }
                Refusal::EpochOutOfBounds | Refusal::Stranger => {
                    tracing::warn!(peer = %from, %why, "a message was refused");
                }
            }
        }
    }

    fn checkpoint(&mut self) -> Result<(), HostError> {
        match self.out.checkpoint.take() {
            Some(step) => self.log.submit_step(step).map_err(|_| self.log_error()),
            None => Ok(()),
        }
    }

    fn log_error(&self) -> HostError {
        HostError::Log(self.log.failure().unwrap_or_else(|| "it is closed".into()))
    }

    fn send_all(&mut self) {
        let mut sends = std::mem::take(&mut self.out.sends);
        for send in sends.drain(..) {
            self.send(send);
        }
        self.out.sends = sends;
    }

    fn send(&self, send: Send) {
        let stats = self.handle.stats();
        let Some(entry) = self.links.get(&send.to) else {
            Stats::add(&stats.messages_dropped, 1);
            return;
        };
        let of_commit = send.message.is_of_commit();
        match entry.handle.send(send.request, send.message) {
            Ok(()) => return Stats::add(&stats.commit_messages_out, usize::from(of_commit)),
            Err(SendError::Closed) => {}
            Err(SendError::Full) => match &entry.handle {
                LinkHandle::Quic(_) => {
                    tracing::warn!(peer = %send.to, "closed: it does not read what is sent to it");
                    entry.handle.abort(CloseCode::SlowReader);
                }
                // It is behind; protocols resend.
                LinkHandle::Memory(_) => {}
            },
            Err(SendError::TooLarge) => {
                tracing::error!(peer = %send.to, "a message was larger than a frame may be");
            }
        }
        Stats::add(&stats.messages_dropped, 1);
    }

    /// Makes everything durable, sends what waited for it, closes the links.
    async fn stop(mut self) -> Result<(), HostError> {
        self.log.close();
        let last = self.out.last_lsn();
        let (log, inbox) = (self.log.clone(), self.handle.clone());
        poll_fn(|cx| {
            // Registers before it looks, so that no wake-up is lost.
            let notified = inbox.0.inbox.poll(cx, false, &mut Vec::new());
            if log.durable_lsn() >= last || log.is_poisoned() {
                return Poll::Ready(());
            }
            if notified.is_ready() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        let durable = self.log.durable_lsn();
        self.release(durable);
        if durable < last {
            return Err(self.log_error());
        }
        for entry in self.links.values() {
            entry.handle.close(CloseCode::Stopping);
        }
        Ok(())
    }
}

/// A timer that is moved only when it would be late.
struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(at: Instant) -> Timer {
        Timer { sleep: Box::pin(sleep_until(at)) }
    }

    /// Fires at `at` or earlier.
    fn set(&mut self, at: Instant) {
        if self.sleep.is_elapsed() || at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
    }
}
