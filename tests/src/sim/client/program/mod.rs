//! Clients that are programs: plain async code over the client library.
//!
//! ```text
//!   workers (async) ──▶ synod_client ──▶ SimNet: a queue of what they ask for
//!      ▲                                   │ send, sleep, spawn, note
//!      │ polled when woken                 ▼
//!   Executor ◀── replies and timers ──── World ──▶ history
//! ```
//!
//! A program has one to three workers, which share a client. They report what they
//! did to the same history as the clients that speak the messages themselves, so
//! the same invariants judge them; besides, what the library says of a transaction
//! is compared at once with what it was told, see [`notes`].
//!
//! The library counts on connections that lose a message only when they go down,
//! as QUIC does; so the links of these clients do that ([`Link::lossless`]).
//! Copies, ghosts and any order are still possible.
//!
//! [`Link::lossless`]: super::super::network::Link::lossless

mod attempt;
mod data;
mod net;
mod notes;
mod reader;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_client::Client as Database;
use synod_common::id::RequestId;
use synod_common::message::{ClientRequest, Message};
use tokio::sync::oneshot;

#[cfg(feature = "mutants")]
use super::super::mutation::Mutation;
use super::super::network::Node;
use super::super::rng::Rng;
use super::super::server::{COORDINATOR, index};
use super::super::sizes::Sizes;
use super::super::world::{Phase, World};
use super::State;
use crate::executor::Executor;
use crate::invariants::Check;
use net::{Action, SimNet, View};
use notes::Note;
use work::Worker;

/// A client that is a program.
pub struct Program {
    rng: Rng,
    running: Option<Running>,
    requests: u64,
}

/// A life of the program.
struct Running {
    net: Arc<SimNet>,
    executor: Executor,
    replies: BTreeMap<RequestId, (usize, oneshot::Sender<Message>)>,
    timers: BTreeMap<u64, oneshot::Sender<()>>,
    workers: usize,
    vanished: bool,
}

impl Program {
    /// One that has not been started.
    pub fn new(rng: Rng) -> Program {
        Program { rng, running: None, requests: 0 }
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(running) = &self.running else { return f.write_str("a program, not running") };
        let (tasks, workers) = (running.executor.unfinished(), running.workers);
        let (replies, timers) = (running.replies.len(), running.timers.len());
        write!(f, "a program: {tasks} tasks, {workers} workers, {replies} replies, {timers} timers")
    }
}

/// The library, over one coordinator or several.
fn database(net: &Arc<SimNet>) -> Database {
    match net.view().coordinators {
        1 => Database::over(net.clone(), COORDINATOR),
        several => Database::over_group(net.clone(), (1..=several).map(|id| format!("c{id}"))),
    }
}

impl World {
    /// A timer of a program has come, or it is time to start it.
    pub(super) fn program_timer(&mut self, client: usize, number: u64) -> Check {
        let Some(program) = &mut self.clients[client].program else { return Ok(()) };
        if let Some(running) = &mut program.running {
            let Some(timer) = running.timers.remove(&number) else { return Ok(()) };
            let _ = timer.send(());
            return self.run_program(client);
        }
        if self.clients[client].timer != number {
            return Ok(());
        }
        if self.phase == Phase::Setup {
            self.wake_client(client, 5_000);
            return Ok(());
        }
        self.clients[client].gone = false;
        self.start_program(client);
        self.run_program(client)
    }

    fn start_program(&mut self, client: usize) {
        let view = self.view();
        let left = self.clients[client].left;
        let (accounts, router) = (self.accounts.clone(), self.router.clone());
        let Some(program) = &mut self.clients[client].program else { return };
        let rng = Rng::new(program.rng.bits());
        let net = SimNet::new(view, rng, program.requests);
        let mut executor = Executor::default();
        let workers = program.rng.within(1..=3) as usize;
        let database = database(&net);
        #[cfg(feature = "mutants")]
        let database = database.mutated(self.mutation.and_then(Mutation::of_client));
        for _ in 0..workers {
            let rng = Rng::new(program.rng.bits());
            let left = left / workers as u32 + 1;
            let (net, database) = (Arc::clone(&net), database.clone());
            let worker = Worker::new(client, net, database, &accounts, &router, rng, left);
            executor.spawn(Box::pin(worker.run()));
        }
        let (replies, timers) = (BTreeMap::new(), BTreeMap::new());
        program.running =
            Some(Running { net, executor, replies, timers, workers, vanished: false });
    }

    fn view(&self) -> View {
        let hurry = self.phase >= Phase::Healing && self.time > self.sizes.heal_at + 2_000_000;
        let vanish = if self.phase == Phase::Faulty { self.faults.vanish } else { 0 };
        let Sizes { long_waits, protocols, coordinators, .. } = self.sizes;
        let (time, phase) = (self.time, self.phase);
        View { time, phase, hurry, vanish, long_waits, protocols, coordinators }
    }

    /// Lets a program go on until it waits, and does what it asks for.
    fn run_program(&mut self, client: usize) -> Check {
        let Some(program) = &mut self.clients[client].program else { return Ok(()) };
        let Some(mut running) = program.running.take() else { return Ok(()) };
        running.net.show(self.view());
        loop {
            let ran = running.executor.run();
            let mut asked = false;
            while let Some(action) = running.net.next_action() {
                asked = true;
                self.act(client, &mut running, action)?;
            }
            if running.vanished || !ran && !asked {
                break;
            }
        }
        if let Some(program) = &mut self.clients[client].program {
            program.requests = running.net.requests();
            if running.vanished {
                // What its futures still wanted to say when dropped is never sent.
                drop(running);
                self.vanish(client);
                return Ok(());
            }
            program.running = Some(running);
        }
        let Some(Program { running: Some(running), .. }) = &self.clients[client].program else {
            return Ok(());
        };
        if running.workers == 0 && !matches!(self.clients[client].state, State::Done) {
            self.clients[client].state = State::Done;
            self.maybe_audit();
        }
        Ok(())
    }

    fn act(&mut self, client: usize, running: &mut Running, action: Action) -> Check {
        match action {
            Action::Send(to, request, message, reply) => {
                let Some(server) = index(to) else { return Ok(()) };
                match &message {
                    Message::ClientRequest(ClientRequest::Commit {
                        txn, parts, writes, ..
                    }) => {
                        self.clients[client].asked.insert(request, *txn);
                        self.commit_sent(client, *txn, parts, writes)?;
                    }
                    Message::ClientRequest(ClientRequest::Outcome { txn }) => {
                        self.clients[client].asked.insert(request, *txn);
                    }
                    _ => {}
                }
                let (from, to) = (Node::Client(client), Node::Server(server));
                let connected = self.links.iter().any(|l| l.ends == [from, to] && l.knows[0]);
                // Without a connection the reply is dropped, and so unreachable.
                if connected {
                    if let Some(reply) = reply {
                        running.replies.insert(request, (server, reply));
                    }
                    self.transmit(from, to, request, &message);
                }
            }
            Action::Forget(peer) => {
                running.replies.retain(|_, (from, _)| Some(*from) != index(peer));
            }
            Action::Sleep(after, timer) => {
                self.wake_client(client, after);
                running.timers.insert(self.clients[client].timer, timer);
            }
            Action::Spawn(task) => running.executor.spawn(task),
            Action::Note(Note::Done) => running.workers -= 1,
            Action::Note(Note::Vanish) => running.vanished = true,
            Action::Note(note) => return self.noted(client, note),
        }
        Ok(())
    }

    /// A reply arrives.
    pub(super) fn program_message(
        &mut self,
        client: usize,
        request: RequestId,
        message: &Message,
    ) -> Check {
        let Some(Program { running: Some(running), .. }) = &mut self.clients[client].program else {
            return Ok(());
        };
        let Some((_, reply)) = running.replies.remove(&request) else { return Ok(()) };
        let _ = reply.send(message.clone());
        self.run_program(client)
    }

    /// Replies of a server will not come.
    pub(super) fn program_lost(&mut self, client: usize, server: usize) -> Check {
        let Some(Program { running: Some(running), .. }) = &mut self.clients[client].program else {
            return Ok(());
        };
        running.replies.retain(|_, (from, _)| *from != server);
        self.run_program(client)
    }
}
