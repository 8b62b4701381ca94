//! A coordinator and some shards on one thread, message by message: every log is
//! durable at once, and a test decides what becomes of each message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use synod_common::commit::Protocol;
use synod_common::deadlock::{DEFAULT_PRIORITY, Deadlock, Handling, Happened, Standing};
use synod_common::error::Reason;
use synod_common::id::*;
use synod_common::message::bulk::{Keys, List, WriteSet};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::{Terms, Validation};
use synod_common::message::data::{Access, LockWait, ReadMode};
use synod_common::message::{ClientReply, ClientRequest, DataReply, DataRequest, Message};
use synod_common::node::{Event, Output};
use synod_common::route::{Partition, Placement, ShardAddress};
use synod_common::time::{Mono, Now, Timestamp, Wall};
use synod_coordinator::Member;
use synod_shard::Shard;
use synod_tests::invariants::Check;
use synod_tests::invariants::deadlocks::{self, Observed};
use synod_tests::sim::server::{COORDINATOR, Core, index, peer};

const CLUSTER: ClusterId = ClusterId(1);
const CLIENT: Peer = Peer::Client(ClientId(1));

/// What becomes of a message.
pub enum Fate {
    Arrives,
    IsLost,
    ComesTwice,
    /// Not before [`Cluster::let_go`].
    Waits,
}

pub struct Cluster {
    nodes: Vec<(Core, Output)>,
    pub now: Now,
    flying: VecDeque<(usize, Peer, Message)>,
    waiting: Vec<(usize, Peer, Message)>,
    fate: Box<dyn FnMut(&Message) -> Fate>,
    /// The session of the one client.
    session: SessionId,
    incarnations: BTreeMap<(TxnId, u16), Incarnation>,
    touched: BTreeMap<TxnId, BTreeSet<u16>>,
    /// Who waits for which answer, by request.
    asked: BTreeMap<RequestId, TxnId>,
    /// What became of the transactions' lock requests.
    pub granted: BTreeMap<TxnId, usize>,
    pub refused: BTreeMap<TxnId, Reason>,
    pub outcomes: BTreeMap<TxnId, Outcome>,
    last: Option<ClientReply>,
    pub age: BTreeMap<TxnId, u64>,
    pub priority: BTreeMap<TxnId, u8>,
    handling: Handling,
    /// It does not give up what was refused.
    pub client_is_slow: bool,
    observed: Observed,
}

impl Cluster {
    /// With keys `1/…` on s1, `2/…` on s2, and so on.
    pub fn new(shards: u16, handling: Handling) -> Cluster {
        let session = SessionId { epoch: Epoch(1), number: 1 };
        let mut cluster = Cluster {
            nodes: Vec::new(),
            now: Now { mono: Mono(1_000_000), wall: Wall(1_000_000) },
            flying: VecDeque::new(),
            waiting: Vec::new(),
            fate: Box::new(|_| Fate::Arrives),
            session,
            incarnations: BTreeMap::new(),
            touched: BTreeMap::new(),
            asked: BTreeMap::new(),
            granted: BTreeMap::new(),
            refused: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            last: None,
            age: BTreeMap::new(),
            priority: BTreeMap::new(),
            handling,
            client_is_slow: false,
            observed: Observed::default(),
        };
        for node in 0..=usize::from(shards) {
            let core = cluster.core(node, shards);
            cluster.nodes.push((core, Output::default()));
            cluster.handle(node, Event::Start { seed: node as u64 });
        }
        (1..=usize::from(shards)).for_each(|node| cluster.connect(node));
        cluster.pass(1);
        cluster.ask_coordinator(ClientRequest::OpenSession);
        cluster
    }

    fn core(&self, node: usize, shards: u16) -> Core {
        if node > 0 {
            let mut settings =
                synod_shard::Settings::new(ShardId(node as u16), CLUSTER, &[COORDINATOR]);
            settings.lock_timeout = std::time::Duration::from_secs(1_000);
            return Core::Shard(Box::new(Shard::new(settings)));
        }
        let cuts = (2..=shards).map(|n| synod_common::key::Key::from(format!("{n}/").as_str()));
        let address = |id| ShardAddress { id: ShardId(id), address: String::new() };
        let placement = Placement {
            epoch: 1,
            partition: Partition::Range(cuts.collect()),
            shards: (1..=shards).map(address).collect(),
        };
        let mut settings = synod_coordinator::Settings::new(COORDINATOR, CLUSTER, placement);
        settings.deadlocks = self.handling;
        settings.vote_timeout = std::time::Duration::from_secs(1_000);
        Core::Coordinator(Box::new(Member::new(settings)))
    }

    fn connect(&mut self, shard: usize) {
        self.handle(0, Event::Connected(peer(shard)));
        self.handle(shard, Event::Connected(peer(0)));
    }

    /// A shard loses all that is not in its log, which is taken to be empty.
    pub fn restart(&mut self, shard: u16) {
        let node = usize::from(shard);
        let shards = self.nodes.len() as u16 - 1;
        self.nodes[node] = (self.core(node, shards), Output::default());
        self.handle(0, Event::Disconnected(peer(node)));
        self.handle(node, Event::Start { seed: 77 });
        self.connect(node);
        self.pass(1);
    }

    /// Says what becomes of messages from here on.
    pub fn fate(&mut self, fate: impl FnMut(&Message) -> Fate + 'static) {
        self.fate = Box::new(fate);
    }

    /// Everything arrives from here on, and what had to wait, too.
    pub fn let_go(&mut self) {
        self.fate(|_| Fate::Arrives);
        self.flying.extend(std::mem::take(&mut self.waiting));
        self.deliver();
    }

    fn handle(&mut self, node: usize, event: Event) {
        let (core, out) = &mut self.nodes[node];
        core.handle(self.now, event, out);
        let written = !out.take_records().0.is_empty();
        let last = out.last_lsn();
        let held = out.held.drain(..).map(|(_, send)| send);
        let sends: Vec<_> = out.sends.drain(..).chain(held).collect();
        for send in sends {
            if let (Message::Deadlock(message), Some(to)) = (&send.message, index(send.to)) {
                let shard = |at: usize| self.nodes.get(at)?.0.shard();
                let check = deadlocks::check(&mut self.observed, (node, to), message, shard);
                check.unwrap_or_else(|what| panic!("{what}"));
            }
            match send.to {
                CLIENT => self.client_hears(node, send.request, send.message),
                to => self.flying.push_back((node, to, send.message)),
            }
        }
        if written {
            self.handle(node, Event::Durable(last));
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.flying.pop_front() {
            let Some(node) = index(to) else { continue };
            let event = || Event::Message {
                from: peer(from),
                request: RequestId(0),
                message: message.clone(),
            };
            match (self.fate)(&message) {
                Fate::Arrives => self.handle(node, event()),
                Fate::IsLost => {}
                Fate::ComesTwice => {
                    self.handle(node, event());
                    self.handle(node, event());
                }
                Fate::Waits => self.waiting.push((from, to, message)),
            }
        }
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.mono.0 += 1_000;
            self.now.wall.0 += 1;
            for node in 0..self.nodes.len() {
                if self.nodes[node].1.wake.is_some_and(|wake| wake <= self.now.mono) {
                    self.handle(node, Event::Wake);
                }
            }
            self.deliver();
        }
    }

    /// A transaction by number; the number is its age.
    pub fn txn(&self, number: u64) -> TxnId {
        TxnId { session: self.session, sequence: number }
    }

    fn client_hears(&mut self, node: usize, request: RequestId, message: Message) {
        let txn = self.asked.get(&request).copied();
        match (message, txn) {
            (Message::ClientReply(ClientReply::Outcome(outcome)), Some(txn)) => {
                self.outcomes.insert(txn, outcome);
            }
            (Message::ClientReply(reply), _) => {
                if let ClientReply::SessionOpened { session, .. } = &reply {
                    self.session = *session;
                }
                self.last = Some(reply);
            }
            (Message::DataReply(DataReply::Refused(reason)), Some(txn)) => {
                self.refused.entry(txn).or_insert(reason);
                if !self.client_is_slow {
                    self.end(txn);
                }
            }
            (Message::DataReply(DataReply::Values { incarnation, .. }), Some(txn)) => {
                let given = incarnation.expect("a lock has an incarnation");
                self.incarnations.insert((txn, node as u16), given);
                *self.granted.entry(txn).or_default() += 1;
            }
            (other, _) => panic!("{other:?}"),
        }
    }

    fn ask_coordinator(&mut self, request: ClientRequest) {
        let request = Message::ClientRequest(request);
        self.handle(0, Event::Message { from: CLIENT, request: RequestId(1), message: request });
        self.deliver();
    }

    fn request(&mut self, txn: TxnId) -> RequestId {
        let request = RequestId(10 + self.asked.len() as u64);
        self.asked.insert(request, txn);
        request
    }

    fn standing(&self, txn: TxnId) -> Standing {
        let age = Timestamp(self.age.get(&txn).copied().unwrap_or(txn.sequence));
        Standing { age, priority: self.priority.get(&txn).copied().unwrap_or(DEFAULT_PRIORITY) }
    }

    /// Asks for a key to write it.
    pub fn lock(&mut self, txn: TxnId, key: &str) {
        self.lock_in(txn, key, ReadMode::Exclusive);
    }

    /// Asks for a key.
    pub fn lock_in(&mut self, txn: TxnId, key: &str, mode: ReadMode) {
        let shard: u16 = key.split('/').next().and_then(|n| n.parse().ok()).expect("1/key");
        let access = Access {
            txn,
            holds_elsewhere: self.incarnations.keys().any(|(t, s)| *t == txn && *s != shard),
            standing: self.standing(txn),
            incarnation: self.incarnations.get(&(txn, shard)).copied(),
            map_epoch: 1,
            wait: LockWait::Millis(1_000_000),
            returns: 0,
            snapshot: None,
        };
        self.touched.entry(txn).or_default().insert(shard);
        let keys = Keys::one(key.as_bytes());
        let message = DataRequest::Read { access, mode, keys }.into();
        let request = self.request(txn);
        self.handle(usize::from(shard), Event::Message { from: CLIENT, request, message });
        self.deliver();
    }

    /// As if the answers about its locks had been lost.
    pub fn forget_answers(&mut self, txn: TxnId) {
        self.incarnations.retain(|(of, _), _| *of != txn);
    }

    /// Gives a transaction up.
    pub fn end(&mut self, txn: TxnId) {
        for shard in self.touched.remove(&txn).unwrap_or_default() {
            let message = DataRequest::Abort { txn }.into();
            let request = RequestId(0);
            let node = usize::from(shard);
            self.handle(node, Event::Message { from: CLIENT, request, message });
        }
    }

    /// Commits a transaction that writes these keys, one per shard.
    pub fn commit(&mut self, txn: TxnId, keys: &[&str]) {
        let mut parts = Vec::new();
        let mut writes = Vec::new();
        for key in keys {
            let mut set = WriteSet::default();
            set.push(key.as_bytes(), Some(&b"v"[..]));
            let shard: u16 = key.split('/').next().and_then(|n| n.parse().ok()).expect("1/key");
            let (shard, write_bytes) = (ShardId(shard), set.len() as u32);
            let incarnation = self.incarnations.get(&(txn, shard.0)).copied();
            parts.push(Part { shard, incarnation, read_bytes: 0, write_bytes });
            writes.extend_from_slice(&set.finish());
        }
        let writes = Bytes::from(writes);
        let terms = Terms {
            validation: Validation::Locked,
            standing: self.standing(txn),
            protocol: Protocol::Auto,
        };
        let message = ClientRequest::Commit { txn, terms, parts, writes }.into();
        let request = self.request(txn);
        self.handle(0, Event::Message { from: CLIENT, request, message });
        self.deliver();
    }

    /// The deadlock that a transaction was the victim of.
    pub fn deadlock_of(&self, txn: TxnId) -> Option<&Deadlock> {
        let told = match self.outcomes.get(&txn) {
            Some(Outcome::Aborted(reason)) => Some(reason),
            _ => self.refused.get(&txn),
        };
        match told {
            Some(Reason::Deadlock(deadlock)) => Some(deadlock),
            _ => None,
        }
    }

    /// What the coordinator remembers.
    pub fn history(&mut self) -> Vec<Happened> {
        self.ask_coordinator(ClientRequest::Deadlocks);
        match self.last.take() {
            Some(ClientReply::Deadlocks { list }) => {
                List::read(&list).map(Result::unwrap).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Deadlocks broken by the coordinator, and cycles that were none when it asked.
    pub fn counts(&self) -> (u64, u64) {
        let stats = self.nodes[0].0.coordinator().expect("the coordinator").stats();
        (stats.deadlocks, stats.dissolved)
    }

    /// Whether a transaction was given so many locks.
    pub fn has(&self, txn: TxnId, locks: usize) -> bool {
        self.granted.get(&txn).is_some_and(|granted| *granted >= locks)
    }

    /// Whether anybody is in a deadlock, or waits where he may not.
    pub fn stands_still(&self) -> Check {
        let shards = || self.nodes.iter().filter_map(|(core, _)| core.shard());
        let (mut observed, scheme) = (Observed::default(), self.handling.scheme);
        deadlocks::check_progress(&mut observed, 0, scheme, shards())?;
        deadlocks::check_progress(&mut observed, deadlocks::BOUND + 1, scheme, shards())
    }

    /// Requests that wait on all shards.
    pub fn waiting(&self) -> u64 {
        let shards = self.nodes.iter().filter_map(|(core, _)| core.shard());
        shards.map(|shard| shard.stats().waiting).sum()
    }
}
