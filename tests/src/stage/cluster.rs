//! The servers of a stage, the messages between them and the client, and time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use synod_common::deadlock::Scheme;
use synod_common::id::{ClientId, ClusterId, CoordinatorId, Peer, RequestId, ShardId};
use synod_common::key::Key;
use synod_common::message::Message;
use synod_common::node::{Event, Lsn, Node, Output, Send};
use synod_common::route::{CoordinatorAddress, Partition, Placement, ShardAddress};
use synod_common::time::{Mono, Now, Wall};
use synod_coordinator::Member;
use synod_shard::Shard;
use tokio::sync::oneshot;

use super::net::{Ask, SharedNet};
use crate::executor::Executor;

const CLUSTER: ClusterId = ClusterId(0x57a6e);
const CLIENT: Peer = Peer::Client(ClientId(1));
/// So long the members of a group listen, at most, before one leads.
const ELECTED: Duration = Duration::from_secs(2);
/// The wall clock when the curtain rises, in milliseconds.
const BEGIN: u64 = 1_000_000;

/// What was done since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Messages of all kinds, those from and to the client among them.
    pub sent: u32,
    /// Messages of commits between servers.
    pub messages: u32,
    /// Records that were forced.
    pub forced: u32,
    /// Behind what the last reply to the client came.
    pub answer: Behind,
}

/// What had to happen one after the other before a message left, where nothing else is
/// under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Messages, the request of the client among them.
    pub messages: u32,
    /// Writes that were durable first.
    pub forces: u32,
}

impl Behind {
    /// Both have happened.
    fn max(self, other: Behind) -> Behind {
        Behind {
            messages: self.messages.max(other.messages),
            forces: self.forces.max(other.forces),
        }
    }
}

struct Letter {
    from: Peer,
    to: Peer,
    request: RequestId,
    message: Message,
    behind: Behind,
}

/// A cluster and the one client process.
pub struct Cluster {
    /// The network of its clients.
    pub net: SharedNet,
    /// What the clients do.
    pub executor: Executor,
    now: Mono,
    coordinators: Vec<(Member, Output)>,
    shards: Vec<(Shard, Output)>,
    on_the_way: VecDeque<Letter>,
    counted: Counted,
    /// What came before whatever each server says now.
    behind: BTreeMap<Peer, Behind>,
    replies: BTreeMap<RequestId, oneshot::Sender<Message>>,
    sleepers: BTreeMap<(Mono, u64), oneshot::Sender<()>>,
    slept: u64,
    /// So many of the next replies do not arrive.
    lost: u64,
}

/// A coordinator and any other server, each pair once.
fn pairs(servers: &[Peer]) -> Vec<(Peer, Peer)> {
    let coordinators = servers.iter().filter(|server| matches!(server, Peer::Coordinator(_)));
    let others = |at: usize, coordinator: Peer| {
        servers[at + 1..].iter().map(move |server| (coordinator, *server))
    };
    coordinators.enumerate().flat_map(|(at, coordinator)| others(at, *coordinator)).collect()
}

impl Cluster {
    /// Starts servers whose shards begin at the first key and at `split`, with one
    /// coordinator.
    pub fn start(split: &[&str], scheme: Scheme) -> Cluster {
        Cluster::led_by_group(1, split, scheme)
    }

    /// As [`Cluster::start`], with so many coordinators, one of which leads.
    pub fn led_by_group(coordinators: u16, split: &[&str], scheme: Scheme) -> Cluster {
        let address = |id: usize| ShardAddress { id: ShardId(id as u16), address: String::new() };
        let shards = split.len() + 1;
        let placement = Placement {
            epoch: 1,
            partition: Partition::Range(split.iter().map(|key| Key::from(*key)).collect()),
            shards: (1..=shards).map(address).collect(),
        };
        let ids: Vec<CoordinatorId> = (1..=coordinators).map(CoordinatorId).collect();
        let member = |id: &CoordinatorId| CoordinatorAddress { id: *id, address: String::new() };
        let coordinator = |id: &CoordinatorId| {
            let mut settings = synod_coordinator::Settings::new(*id, CLUSTER, placement.clone());
            settings.deadlocks.scheme = scheme;
            settings.unsafe_classical_3pc = true;
            settings.group = ids.iter().map(member).collect();
            (Member::new(settings), Output::new(Lsn(0)))
        };
        let shard = |id: usize| {
            let settings = synod_shard::Settings::new(ShardId(id as u16), CLUSTER, &ids);
            (Shard::new(settings), Output::new(Lsn(0)))
        };
        let mut cluster = Cluster {
            net: Arc::default(),
            executor: Executor::default(),
            now: Mono(0),
            coordinators: ids.iter().map(coordinator).collect(),
            shards: (1..=shards).map(shard).collect(),
            on_the_way: VecDeque::new(),
            counted: Counted::default(),
            behind: BTreeMap::new(),
            replies: BTreeMap::new(),
            sleepers: BTreeMap::new(),
            slept: 0,
            lost: 0,
        };
        let shards = (1..=shards).map(|id| Peer::Shard(ShardId(id as u16)));
        let servers: Vec<Peer> = ids.iter().copied().map(Peer::Coordinator).chain(shards).collect();
        for (seed, server) in servers.iter().enumerate() {
            cluster.tell(*server, Event::Start { seed: seed as u64 });
        }
        for (coordinator, server) in pairs(&servers) {
            cluster.tell(coordinator, Event::Connected(server));
            cluster.tell(server, Event::Connected(coordinator));
        }
        for server in servers {
            cluster.tell(server, Event::Connected(CLIENT));
        }
        cluster.pass(ELECTED);
        assert!(cluster.coordinators.iter().all(|(member, _)| member.is_ready()), "all joined");
        cluster
    }

    /// The coordinator that leads.
    pub fn leader(&self) -> CoordinatorId {
        let leads = self.coordinators.iter().position(|(member, _)| member.replica().leads());
        CoordinatorId(leads.map_or(0, |at| at as u16 + 1))
    }

    /// Commits that the coordinators still remember for their participants.
    pub fn in_progress(&self) -> u64 {
        self.coordinators.iter().map(|(member, _)| member.stats().in_progress).sum()
    }

    /// The cores of the shards.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().map(|(shard, _)| shard)
    }

    /// The next replies to the client do not arrive.
    pub fn lose(&mut self, replies: u64) {
        self.lost = replies;
    }

    /// What was done since this was last asked.
    pub fn take_counted(&mut self) -> Counted {
        self.behind.clear();
        std::mem::take(&mut self.counted)
    }

    /// Lets everything happen that happens without time passing.
    pub fn settle(&mut self) {
        loop {
            let ran = self.executor.run();
            let mut asked = false;
            while let Some(ask) = self.net.next() {
                asked = true;
                self.ask(ask);
            }
            let Some(letter) = self.on_the_way.pop_front() else {
                if !ran && !asked {
                    return;
                }
                continue;
            };
            let Letter { from, to, request, message, behind } = letter;
            self.counted.sent += 1;
            if to == CLIENT {
                self.counted.answer = behind;
                let reply = self.replies.remove(&request);
                if reply.is_some() && self.lost > 0 {
                    // Who asked hears that there will be none.
                    self.lost -= 1;
                } else if let Some(reply) = reply {
                    // Who asked may have been dropped.
                    let _ = reply.send(message);
                }
            } else {
                self.counted.messages += u32::from(message.is_of_commit());
                self.feed(to, Event::Message { from, request, message }, behind);
            }
        }
    }

    /// Lets time pass, with everything that is due meanwhile.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while let Some(next) = self.next_due().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.net.set_time(self.now);
            while let Some(entry) = self.sleepers.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let _ = entry.remove().send(());
            }
            for server in self.servers_due() {
                self.tell(server, Event::Wake);
            }
            self.settle();
        }
        self.now = end;
        self.net.set_time(end);
    }

    fn next_due(&self) -> Option<Mono> {
        let shards = self.shards.iter().filter_map(|(_, out)| out.wake);
        let sleeper = self.sleepers.keys().next().map(|(time, _)| *time);
        let coordinators = self.coordinators.iter().filter_map(|(_, out)| out.wake);
        shards.chain(coordinators).chain(sleeper).min()
    }

    fn servers_due(&self) -> Vec<Peer> {
        let is_due = |out: &Output| out.wake.is_some_and(|wake| wake <= self.now);
        let shards = self.shards.iter().enumerate().filter(|(_, (_, out))| is_due(out));
        let shards = shards.map(|(i, _)| Peer::Shard(ShardId(i as u16 + 1)));
        let coordinators = self.coordinators.iter().enumerate().filter(|(_, (_, out))| is_due(out));
        let coordinators =
            coordinators.map(|(i, _)| Peer::Coordinator(CoordinatorId(i as u16 + 1)));
        coordinators.chain(shards).collect()
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Send(to, request, message, reply) => {
                if let Some(reply) = reply {
                    self.replies.insert(request, reply);
                }
                let (from, message, behind) = (CLIENT, *message, Behind::default());
                self.on_the_way.push_back(Letter { from, to, request, message, behind });
            }
            Ask::Sleep(until, sleeper) => {
                self.slept += 1;
                self.sleepers.insert((until, self.slept), sleeper);
            }
            Ask::Spawn(future) => self.executor.spawn(future),
        }
    }

    fn tell(&mut self, server: Peer, event: Event) {
        self.feed(server, event, Behind::default());
    }

    /// Hands an event to a core. Its records are durable at once, and what it says
    /// is on its way.
    fn feed(&mut self, server: Peer, event: Event, behind: Behind) {
        let now = Now { mono: self.now, wall: Wall(BEGIN + self.now.0 / 1_000) };
        let (core, out): (&mut dyn Node, &mut Output) = match server {
            Peer::Shard(id) => {
                let (shard, out) = &mut self.shards[usize::from(id.0) - 1];
                (shard, out)
            }
            Peer::Coordinator(id) => {
                let (member, out) = &mut self.coordinators[usize::from(id.0) - 1];
                (member, out)
            }
            Peer::Client(_) => panic!("a client is no server"),
        };
        let mut event = Some(event);
        let known = self.behind.entry(server).or_default();
        let mut behind = known.max(Behind { messages: behind.messages + 1, ..behind });
        let (mut sends, mut held) = (Vec::new(), Vec::new());
        while let Some(happened) = event.take() {
            core.handle(now, happened, out);
            let (records, forced) = out.take_records();
            let durable = Behind { forces: behind.forces + u32::from(forced > 0), ..behind };
            sends.extend(out.sends.drain(..).map(|send| (send, behind)));
            held.extend(out.held.drain(..).map(|(_, send)| (send, durable)));
            if !records.is_empty() {
                self.counted.forced += u32::try_from(forced).unwrap_or(u32::MAX);
                behind = durable;
                event = Some(Event::Durable(out.last_lsn()));
            } else if out.checkpoint.take().is_some() {
                event = Some(Event::CheckpointWritten);
            }
        }
        *known = behind;
        for (send, behind) in sends.into_iter().chain(held) {
            let Send { to, request, message } = send;
            self.on_the_way.push_back(Letter { from: server, to, request, message, behind });
        }
    }
}
