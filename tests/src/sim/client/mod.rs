//! Clients that speak the messages themselves, and in `program` those that use the
//! client library.
//!
//! ```text
//!   Idle ──▶ Opening ──▶ Idle                           a session
//!    │
//!    ├─▶ Reading ──▶ Committing ──▶ (Asking ──▶)* Idle  a transaction
//!    ├─▶ Drawing ──▶ Viewing ──▶ Idle                   a snapshot
//!    └─▶ Recalling ──▶ Idle                             an old outcome, once more
//! ```
//!
//! A reply that does not come is asked after as the protocol says: a COMMIT by its
//! outcome, until it is decided; anything else is given up.

mod program;
mod snapshot;
mod txn;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod_common::error::Reason;
use synod_common::id::{RequestId, SessionId, TxnId};
use synod_common::message::{ClientReply, ClientRequest, DataRequest, Message};

use super::network::Node;
use super::rng::Rng;
use super::server::peer;
use super::world::{Happening, Phase, World};
use crate::invariants::Check;
pub use program::Program;
use snapshot::View;
use txn::Active;
use work::Access;

/// A client.
#[derive(Debug)]
pub struct Client {
    session: Option<SessionId>,
    sequence: u64,
    requests: u64,
    state: State,
    /// Tells the newest timer from those it replaced.
    timer: u64,
    /// How many transactions are still to be done.
    left: u32,
    past: Vec<TxnId>,
    /// Which transaction a COMMIT or an OUTCOME was about.
    pub asked: BTreeMap<RequestId, TxnId>,
    gone: bool,
    /// Outcomes that are to be asked for in the end.
    unresolved: VecDeque<TxnId>,
    audit: Audit,
    /// Waits for everything to drain.
    quiet: bool,
    /// Set if it uses the client library.
    program: Option<Program>,
    /// The coordinator that it asks.
    coordinator: usize,
}

/// What is left to do in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Audit {
    No,
    Outcomes,
    Scan,
    View,
    Quiet,
}

#[derive(Debug)]
enum State {
    Idle,
    Opening(RequestId),
    Reading(Active),
    Committing(RequestId, Active),
    Asking(Option<RequestId>, Active),
    Drawing(RequestId, u64),
    Viewing(View),
    Recalling(RequestId),
    Done,
}

impl Client {
    /// A client with so many transactions to do.
    pub fn new(left: u32) -> Client {
        Client {
            session: None,
            sequence: 0,
            requests: 0,
            state: State::Idle,
            timer: 0,
            left,
            past: Vec::new(),
            asked: BTreeMap::new(),
            gone: false,
            unresolved: VecDeque::new(),
            audit: Audit::No,
            quiet: false,
            program: None,
            coordinator: 0,
        }
    }

    /// A client that uses the client library.
    pub fn program(left: u32, rng: Rng) -> Client {
        Client { program: Some(Program::new(rng)), ..Client::new(left) }
    }

    /// Whether it vanished.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    /// Sequence of the oldest transaction that may still send requests.
    fn oldest(&self) -> u64 {
        match &self.state {
            State::Reading(active) | State::Committing(_, active) | State::Asking(_, active) => {
                active.id.sequence
            }
            _ => self.sequence + 1,
        }
    }
}

impl World {
    /// Sets the one timer of a client.
    fn wake_client(&mut self, client: usize, after: u64) {
        self.clients[client].timer += 1;
        let number = self.clients[client].timer;
        self.after(after, Happening::Client(client, number));
    }

    fn rest(&mut self, client: usize) {
        self.clients[client].state = State::Idle;
        let think = self.rng.skewed(20_000);
        self.wake_client(client, think);
    }

    fn ask(&mut self, client: usize, server: usize, message: impl Into<Message>) -> RequestId {
        let request = self.clients[client].request();
        self.transmit(Node::Client(client), Node::Server(server), request, &message.into());
        request
    }

    fn ask_leader(&mut self, client: usize, message: impl Into<Message>) -> RequestId {
        self.ask(client, self.clients[client].coordinator, message)
    }

    /// The coordinator that a client asked does not lead, or does not answer.
    fn try_another(&mut self, client: usize) {
        if self.sizes.coordinators > 1 {
            let all: Vec<usize> = self.coordinators().collect();
            self.clients[client].coordinator = self.rng.pick(&all);
        }
    }

    /// A client's timer has come.
    pub fn client_timer(&mut self, client: usize, number: u64) -> Check {
        if self.clients[client].program.is_some() {
            return self.program_timer(client, number);
        }
        if self.clients[client].timer != number {
            return Ok(());
        }
        if self.clients[client].gone {
            self.clients[client].gone = false;
        }
        if !matches!(self.clients[client].state, State::Idle | State::Reading(_) | State::Done) {
            self.try_another(client);
        }
        match std::mem::replace(&mut self.clients[client].state, State::Idle) {
            State::Idle => self.begin_something(client),
            State::Opening(_) | State::Drawing(..) | State::Viewing(_) | State::Recalling(_) => {
                self.rest(client);
            }
            State::Reading(active) => self.give_up(client, &active),
            State::Committing(_, active) | State::Asking(_, active) => {
                self.ask_outcome(client, active);
            }
            State::Done => self.clients[client].state = State::Done,
        }
        Ok(())
    }

    fn begin_something(&mut self, client: usize) {
        if self.clients[client].session.is_none() && !self.clients[client].quiet {
            let request = self.ask_leader(client, ClientRequest::OpenSession);
            self.clients[client].state = State::Opening(request);
            let patience = self.rng.within(50_000..=300_000);
            return self.wake_client(client, patience);
        }
        if self.clients[client].audit > Audit::No {
            return self.audit(client);
        }
        if self.phase == Phase::Setup && client > 0 {
            return self.wake_client(client, 5_000);
        }
        if self.phase > Phase::Setup && self.clients[client].left == 0
            || self.phase == Phase::Healing && self.time > self.sizes.heal_at + 2_000_000
        {
            // As long as something may go wrong there is always some traffic.
            if self.phase < Phase::Healing {
                self.clients[client].left += 1;
                let pause = self.rng.within(20_000..=400_000);
                return self.wake_client(client, pause);
            }
            self.clients[client].state = State::Done;
            return self.maybe_audit();
        }
        if self.phase > Phase::Setup {
            self.clients[client].left -= 1;
        }
        if self.phase > Phase::Setup && self.rng.chance(1_400) {
            return self.draw_timestamp(client);
        }
        if self.phase > Phase::Setup && self.rng.chance(500) {
            return self.recall(client);
        }
        self.begin_txn(client);
    }

    /// Asks again for the outcome of a transaction that is over.
    fn recall(&mut self, client: usize) {
        let past = &self.clients[client].past;
        if past.is_empty() {
            return self.rest(client);
        }
        let txn = past[self.rng.below(past.len() as u64) as usize];
        let request = self.ask_leader(client, ClientRequest::Outcome { txn });
        self.clients[client].asked.insert(request, txn);
        self.clients[client].state = State::Recalling(request);
        self.wake_client(client, 100_000);
    }

    /// When all clients are done, the first one asks for everything.
    fn maybe_audit(&mut self) {
        let done = |client: &Client| matches!(client.state, State::Done);
        if self.phase != Phase::Healing || !self.clients.iter().all(done) {
            return;
        }
        self.phase = Phase::Audit;
        self.trace.line(self.time, format_args!("AUDIT"));
        let asked = self.history.txns.iter().filter(|(_, txn)| txn.asked);
        self.clients[0].unresolved = asked.map(|(id, _)| *id).collect();
        self.clients[0].audit = Audit::Outcomes;
        self.rest(0);
    }

    fn audit(&mut self, client: usize) {
        match self.clients[client].audit {
            Audit::Outcomes => {
                let Some(&txn) = self.clients[client].unresolved.front() else {
                    self.clients[client].audit = Audit::Scan;
                    return self.audit(client);
                };
                let request = self.ask_leader(client, ClientRequest::Outcome { txn });
                self.clients[client].asked.insert(request, txn);
                self.clients[client].state = State::Recalling(request);
                self.wake_client(client, 100_000);
            }
            Audit::Scan => self.begin_scan(client),
            Audit::View => self.draw_timestamp(client),
            // Leases lapse, the last acknowledgements come.
            Audit::Quiet => {
                if self.clients[client].quiet {
                    self.phase = Phase::Over;
                    return;
                }
                self.clients[client].quiet = true;
                self.clients[client].state = State::Idle;
                self.wake_client(client, 12_000_000);
            }
            Audit::No => {}
        }
    }

    fn audited(&mut self, client: usize, what: Audit) {
        let client = &mut self.clients[client];
        if client.audit == what {
            client.audit = match what {
                Audit::No => Audit::No,
                Audit::Outcomes => Audit::Scan,
                Audit::Scan => Audit::View,
                Audit::View | Audit::Quiet => Audit::Quiet,
            };
        }
    }

    /// A reply arrives.
    pub fn client_message(
        &mut self,
        client: usize,
        from: Node,
        request: RequestId,
        message: &Message,
    ) -> Check {
        if self.clients[client].program.is_some() {
            return self.program_message(client, request, message);
        }
        if let Message::ClientReply(ClientReply::Refused(Reason::NotLeader(leader))) = message {
            self.redirected(client, from, leader.as_deref());
        }
        match std::mem::replace(&mut self.clients[client].state, State::Idle) {
            State::Opening(expected) if expected == request => {
                if let Message::ClientReply(ClientReply::SessionOpened { session, .. }) = message {
                    self.clients[client].session = Some(*session);
                    self.clients[client].sequence = 0;
                }
                self.rest(client);
                Ok(())
            }
            State::Reading(active) if active.expects(request) => {
                self.access_answered(client, active, request, message)
            }
            State::Committing(expected, active) if expected == request => {
                self.outcome_heard(client, active, message)
            }
            State::Asking(Some(expected), active) if expected == request => {
                self.outcome_heard(client, active, message)
            }
            State::Recalling(expected) if expected == request => {
                if self.clients[client].audit == Audit::Outcomes {
                    self.outcome_audited(client, message);
                }
                self.rest(client);
                Ok(())
            }
            State::Drawing(expected, begun) if expected == request => {
                self.timestamp_drawn(client, begun, message)
            }
            State::Viewing(view) if view.expects(request) => {
                self.view_answered(client, view, request, message)
            }
            other => {
                self.clients[client].state = other;
                self.stray(client, from, message);
                Ok(())
            }
        }
    }

    /// A coordinator says that it does not lead, and perhaps who does.
    fn redirected(&mut self, client: usize, from: Node, leader: Option<&str>) {
        if from != Node::Server(self.clients[client].coordinator) {
            return;
        }
        match self.coordinators().find(|at| leader == Some(&peer(*at).to_string())) {
            Some(leader) => self.clients[client].coordinator = leader,
            None => self.try_another(client),
        }
    }

    /// A reply that nobody waits for; of interest if a heartbeat was refused.
    fn stray(&mut self, client: usize, from: Node, message: &Message) {
        if from == Node::Server(self.clients[client].coordinator)
            && let Message::ClientReply(ClientReply::Refused(
                Reason::SessionLost | Reason::StaleEpoch,
            )) = message
        {
            self.clients[client].session = None;
        }
    }

    /// Time for a sign of life.
    pub fn heartbeat(&mut self, client: usize) -> Check {
        if self.clients[client].program.is_some() {
            return Ok(());
        }
        self.after(250_000, Happening::Heartbeat(client));
        let state = &self.clients[client];
        let oldest = state.oldest();
        let Some(session) = state.session.filter(|_| !state.gone) else { return Ok(()) };
        if matches!(state.state, State::Done) || state.quiet {
            return Ok(());
        }
        self.ask_leader(client, ClientRequest::Heartbeat { session, oldest });
        for server in self.shards() {
            self.ask(client, server, DataRequest::Heartbeat { session, oldest });
        }
        Ok(())
    }

    /// A client notices that a link is gone: replies over it will not come.
    pub fn client_lost(&mut self, client: usize, server: Node) -> Check {
        let Node::Server(server) = server else { return Ok(()) };
        if self.clients[client].program.is_some() {
            return self.program_lost(client, server);
        }
        match std::mem::replace(&mut self.clients[client].state, State::Idle) {
            State::Committing(_, active) | State::Asking(Some(_), active)
                if server == self.clients[client].coordinator =>
            {
                self.try_another(client);
                self.clients[client].state = State::Asking(None, active);
                let pause = self.rng.within(1_000..=50_000);
                self.wake_client(client, pause);
            }
            State::Reading(active) if active.waits_for(server) => self.give_up(client, &active),
            other => self.clients[client].state = other,
        }
        Ok(())
    }

    /// A client vanishes, and another one takes its place after a while.
    fn vanish(&mut self, client: usize) {
        self.trace.line(self.time, format_args!("client{client} VANISHES"));
        self.clients[client].session = None;
        self.clients[client].gone = true;
        self.clients[client].state = State::Idle;
        for link in 0..self.links.len() {
            if self.links[link].ends[0] == Node::Client(client) {
                self.links[link].knows[0] = false;
                self.cut(link);
            }
        }
        let pause = self.rng.skewed(500_000);
        self.wake_client(client, pause);
    }

    /// Why a run does not end.
    pub fn stuck(&self) -> String {
        let waits: Vec<String> = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, client)| !matches!(client.state, State::Done))
            .map(|(i, client)| match &client.program {
                Some(program) => format!("client{i} {program:?}"),
                None => format!("client{i} {:?}", client.state),
            })
            .collect();
        waits.join("; ")
    }

    fn servers_of_all(&self) -> BTreeSet<usize> {
        self.shards().collect()
    }
}

/// What is on its way, by request: to which server, and what.
type Outstanding = BTreeMap<RequestId, (usize, Access)>;
