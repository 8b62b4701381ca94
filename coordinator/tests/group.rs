//! Situations of a group of three coordinators, message by message.
//!
//! What the members say to one another arrives when the test lets it; a member that is cut
//! off neither hears nor is heard. Logs are durable at once, unless a test holds that back.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use synod_common::commit::{Ballot, Protocol, Say, SiteId};
use synod_common::deadlock::Standing;
use synod_common::error::Reason;
use synod_common::id::*;
use synod_common::message::bulk::{List, OnePhaseOutcome};
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::{Decision, Knows, Terms, Validation, Vote, Voted};
use synod_common::message::group::Entries;
use synod_common::message::{
    ClientReply, ClientRequest, CommitMessage, GroupMessage, Message, SiteMessage,
};
use synod_common::node::{CheckpointStep, Event, Lsn, Node as _, Output, Recovered};
use synod_common::route::{CoordinatorAddress, Partition, Placement, ShardAddress};
use synod_common::time::{Mono, Now, Timestamp, Wall};
use synod_coordinator::group::Promise;
use synod_coordinator::{Member, Record, Settings};

#[path = "group/deposed.rs"]
mod deposed;
#[path = "group/paxos.rs"]
mod paxos;
#[path = "group/rejoining.rs"]
mod rejoining;
#[path = "group/undecided.rs"]
mod undecided;

const CLUSTER: ClusterId = ClusterId(1);
const CLIENT: Peer = Peer::Client(ClientId(1));

/// A member with its log.
struct Node {
    member: Member,
    out: Output,
    log: Vec<Vec<u8>>,
    held: Vec<(Lsn, Peer, Message)>,
    /// The parts of its newest checkpoint, and whether that is complete.
    checkpoint: (Vec<Vec<u8>>, bool),
}

/// The group, c1 to c3.
struct Group {
    nodes: Vec<Node>,
    /// Between members.
    underway: VecDeque<(usize, usize, Message)>,
    /// What each of them said to shards and clients.
    said: Vec<(usize, Peer, Message)>,
    cut_off: BTreeSet<usize>,
    /// Whose logs are not durable for now.
    slow: BTreeSet<usize>,
    now: Now,
}

fn settings(id: usize) -> Settings {
    let shards = (1..=2).map(|id| ShardAddress { id: ShardId(id), address: String::new() });
    let placement = Placement { epoch: 1, partition: Partition::Hash, shards: shards.collect() };
    let id = CoordinatorId(id as u16);
    let member = |id| CoordinatorAddress { id: CoordinatorId(id), address: format!("c{id}") };
    let group = (1..=3).map(member).collect();
    Settings { group, ..Settings::new(id, CLUSTER, placement) }
}

fn recovered(settings: Settings, log: Vec<Vec<u8>>) -> Node {
    recovered_by(Member::new(settings), log)
}

fn recovered_by(mut member: Member, log: Vec<Vec<u8>>) -> Node {
    for (record, lsn) in log.iter().zip(1..) {
        member.recover(Recovered::Record(Lsn(lsn), record)).unwrap();
    }
    let out = Output::new(Lsn(log.len() as u64));
    Node { member, out, log, held: Vec::new(), checkpoint: Default::default() }
}

impl Group {
    /// All three have started; c1 leads, and both shards have joined it.
    fn led_by_c1() -> Group {
        Group::led_by_c1_with(settings)
    }

    fn led_by_c1_with(settings: impl Fn(usize) -> Settings) -> Group {
        let mut group = Group {
            nodes: (1..=3).map(|id| recovered(settings(id), Vec::new())).collect(),
            underway: VecDeque::new(),
            said: Vec::new(),
            cut_off: BTreeSet::new(),
            slow: BTreeSet::new(),
            now: Now { mono: Mono(0), wall: Wall(1_000_000) },
        };
        for id in 1..=3 {
            group.event(id, Event::Start { seed: id as u64 });
        }
        group.elect(1);
        group.join(1, Epoch(1));
        group
    }

    fn event(&mut self, id: usize, event: Event) {
        let node = &mut self.nodes[id - 1];
        node.member.handle(self.now, event, &mut node.out);
        let (records, _) = node.out.take_records();
        node.log.extend(records.iter().map(<[u8]>::to_vec));
        let wrote = !records.is_empty();
        let held = node.out.held.drain(..).map(|(lsn, send)| (lsn, send.to, send.message));
        node.held.extend(held);
        let sends: Vec<_> = node.out.sends.drain(..).collect();
        for send in sends {
            self.send(id, send.to, send.message);
        }
        self.step(id);
        if wrote && !self.slow.contains(&id) {
            self.sync(id);
        }
    }

    /// The next step of a checkpoint is on the disk at once.
    fn step(&mut self, id: usize) {
        let node = &mut self.nodes[id - 1];
        match node.out.checkpoint.take() {
            Some(CheckpointStep::Begin(_)) => node.checkpoint = Default::default(),
            Some(CheckpointStep::Part(part)) => node.checkpoint.0.push(part),
            Some(CheckpointStep::Finish) => node.checkpoint.1 = true,
            None => return,
        }
        self.event(id, Event::CheckpointWritten);
    }

    fn send(&mut self, from: usize, to: Peer, message: Message) {
        match to {
            Peer::Coordinator(to) => self.underway.push_back((from, usize::from(to.0), message)),
            outside => self.said.push((from, outside, message)),
        }
    }

    /// The log of a member is durable.
    fn sync(&mut self, id: usize) {
        let node = &mut self.nodes[id - 1];
        let durable = Lsn(node.log.len() as u64);
        let ready: Vec<_> = node.held.extract_if(.., |(lsn, ..)| *lsn <= durable).collect();
        for (_, to, message) in ready {
            self.send(id, to, message);
        }
        self.event(id, Event::Durable(durable));
    }

    /// All that the members say to one another arrives.
    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.underway.pop_front() {
            if self.cut_off.contains(&from) || self.cut_off.contains(&to) {
                continue;
            }
            let from = Peer::Coordinator(CoordinatorId(from as u16));
            self.event(to, Event::Message { from, request: RequestId(0), message });
        }
    }

    /// Time passes until a member that has heard nothing wants to lead, and does.
    fn elect(&mut self, id: usize) {
        self.now.mono = self.now.mono + settings(id).patience * 2;
        self.event(id, Event::Wake);
        self.deliver();
        assert!(self.nodes[id - 1].member.replica().leads(), "c{id} leads");
    }

    /// The leader says that it is there.
    fn beat(&mut self, id: usize) {
        self.now.mono = self.now.mono + settings(id).heartbeat;
        self.event(id, Event::Wake);
        self.deliver();
    }

    /// The member starts anew from its log.
    fn restart(&mut self, id: usize) {
        self.restart_with(id, settings(id));
    }

    fn restart_with(&mut self, id: usize, settings: Settings) {
        let log = std::mem::take(&mut self.nodes[id - 1].log);
        self.nodes[id - 1] = recovered(settings, log);
        self.event(id, Event::Start { seed: id as u64 });
    }

    fn ask_to_join(&mut self, id: usize, epoch: Epoch, shard: u16) {
        let (cluster, boot, nonce, remembered) = (CLUSTER, true, 7, 0);
        self.hear(id, shard, CommitMessage::Join { cluster, epoch, boot, nonce, remembered });
    }

    /// Both shards join.
    fn join(&mut self, id: usize, epoch: Epoch) {
        for shard in [1, 2] {
            self.ask_to_join(id, epoch, shard);
        }
        self.deliver();
    }

    fn hear(&mut self, id: usize, shard: u16, message: impl Into<Message>) {
        let from = Peer::Shard(ShardId(shard));
        self.event(id, Event::Message { from, request: RequestId(0), message: message.into() });
    }

    fn ask(&mut self, id: usize, request: ClientRequest) {
        let message = Message::ClientRequest(request);
        self.event(id, Event::Message { from: CLIENT, request: RequestId(5), message });
    }

    /// What a member has told the client since it was last asked.
    fn replies(&mut self, id: usize) -> Vec<ClientReply> {
        let reply = |(from, to, message): &(usize, Peer, Message)| match message {
            Message::ClientReply(reply) if *from == id && *to == CLIENT => Some(reply.clone()),
            _ => None,
        };
        let replies = self.said.iter().filter_map(reply).collect();
        self.said.retain(|said| reply(said).is_none());
        replies
    }

    /// A client's transaction on both shards, for which both have voted at its `h`. As the
    /// second has only read, it is the leader's record that decides it.
    fn voted(&mut self, id: usize) -> (TxnId, Timestamp) {
        let (txn, h) = self.begun(id, Protocol::TwoPhase);
        self.hear(id, 1, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
        self.hear(id, 2, CommitMessage::Vote { txn, vote: Vote::Read(h) });
        (txn, h)
    }

    fn voted_in(&mut self, protocol: Protocol, id: usize) -> (TxnId, Timestamp) {
        let (txn, h) = self.begun(id, protocol);
        for shard in [1, 2] {
            self.hear(id, shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
        }
        (txn, h)
    }

    /// A client's transaction on both shards, which are asked for their votes.
    fn begun(&mut self, id: usize, protocol: Protocol) -> (TxnId, Timestamp) {
        let txn = self.session(id);
        self.commit(id, txn, protocol, &[1, 1]);
        (txn, self.asked_at().expect("it is prepared"))
    }

    /// The first transaction of a new session.
    fn session(&mut self, id: usize) -> TxnId {
        self.ask(id, ClientRequest::OpenSession);
        self.deliver();
        let [ClientReply::SessionOpened { session, .. }] = self.replies(id)[..] else {
            panic!("no session")
        };
        TxnId { session, sequence: 1 }
    }

    /// A COMMIT with so many bytes of writes for shards 1, 2, …
    fn commit(&mut self, id: usize, txn: TxnId, protocol: Protocol, write_bytes: &[u32]) {
        let part = |(shard, write_bytes): (u16, &u32)| Part {
            shard: ShardId(shard),
            incarnation: None,
            read_bytes: 0,
            write_bytes: *write_bytes,
        };
        let standing = Standing { age: Timestamp(1), priority: 100 };
        let terms = Terms { validation: Validation::Locked, standing, protocol };
        let bytes = write_bytes.iter().sum::<u32>() as usize;
        let (parts, writes) = ((1..).zip(write_bytes).map(part).collect(), vec![0; bytes].into());
        self.ask(id, ClientRequest::Commit { txn, terms, parts, writes });
    }

    /// As [`Group::voted`], but the decision reaches nobody else.
    fn voted_alone(&mut self, id: usize) -> (TxnId, Timestamp) {
        let voted = self.voted(id);
        self.cut_off = BTreeSet::from([id]);
        self.deliver();
        assert_eq!(self.replies(id), []);
        voted
    }

    fn told_to_commit(&self) -> usize {
        let commit = |message: &Message| {
            matches!(
                message,
                Message::Commit(CommitMessage::Decide { decision: Decision::Commit(_), .. })
            )
        };
        self.said.iter().filter(|(_, _, message)| commit(message)).count()
    }

    /// The `h` under which shards were asked for votes.
    fn asked_at(&self) -> Option<Timestamp> {
        self.said.iter().find_map(|(_, _, message)| match message {
            Message::Commit(CommitMessage::Prepare { h, .. }) => Some(*h),
            _ => None,
        })
    }

    fn left_to_one(&self) -> usize {
        let left = |message: &Message| {
            matches!(message, Message::Commit(CommitMessage::CommitOnePhase { .. }))
        };
        self.said.iter().filter(|(_, _, message)| left(message)).count()
    }

    fn welcomed(&self) -> usize {
        let welcome =
            |message: &Message| matches!(message, Message::Commit(CommitMessage::Welcome { .. }));
        self.said.iter().filter(|(_, _, message)| welcome(message)).count()
    }

    fn outcome(&mut self, id: usize, txn: TxnId) -> Vec<ClientReply> {
        self.ask(id, ClientRequest::Outcome { txn });
        self.replies(id)
    }
}

fn committed(at: Timestamp) -> Vec<ClientReply> {
    vec![ClientReply::Outcome(Outcome::Committed(at))]
}

#[test]
fn a_decision_is_told_when_a_majority_has_it() {
    let mut group = Group::led_by_c1();
    group.slow = BTreeSet::from([2, 3]);
    let (_, h) = group.voted(1);
    group.deliver();
    assert_eq!((group.replies(1), group.told_to_commit()), (vec![], 0), "only c1 has it");
    group.sync(2);
    group.deliver();
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(h), 1));
}

#[test]
fn the_own_disk_of_the_leader_is_not_needed() {
    let mut group = Group::led_by_c1();
    group.slow = BTreeSet::from([1]);
    let (_, h) = group.voted(1);
    group.deliver();
    assert_eq!(group.replies(1), committed(h), "c2 and c3 have it");
}

#[test]
fn the_next_leader_goes_on_with_what_was_decided() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.voted(1);
    group.deliver();
    assert_eq!(group.replies(1), committed(h));
    group.cut_off = BTreeSet::from([1]);
    group.elect(2);
    group.said.clear();
    assert_eq!(group.outcome(2, txn), committed(h));
    // Nobody has acknowledged it: whoever joins is told.
    group.join(2, Epoch(2));
    assert_eq!(group.told_to_commit(), 1);
}

/// c1 tells of a commit that nobody else has a record of, and that it may not lead any more.
#[test]
fn what_votes_decide_the_next_leader_hears_from_those_who_voted() {
    let mut group = Group::led_by_c1();
    let (txn, h) = group.begun(1, Protocol::TwoPhase);
    group.deliver();
    group.cut_off = BTreeSet::from([1]);
    for shard in [1, 2] {
        group.hear(1, shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    }
    assert_eq!(group.replies(1), committed(h));
    group.elect(2);
    group.said.clear();
    let undecided = vec![ClientReply::Outcome(Outcome::Undecided)];
    for shard in [1, 2] {
        assert_eq!(group.outcome(2, txn), undecided);
        let participants = vec![ShardId(1), ShardId(2)];
        let txns = List::of(&[Voted { txn, h, participants, knows: Knows::InDoubt(h) }]);
        group.hear(2, shard, CommitMessage::Voted { nonce: 7, txns });
    }
    group.deliver();
    assert_eq!((group.outcome(2, txn), group.told_to_commit()), (committed(h), 2));
}

/// It may be deposed, and others may have been told of later timestamps.
#[test]
fn who_is_cut_off_commits_nothing_by_votes() {
    votes_of_one_cut_off(settings);
}

#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "left: ([Outcome(Committed(")]
fn who_is_cut_off_and_commits_is_noticed() {
    let mutant = Some(synod_coordinator::Mutant::LeadsUnconfirmed);
    votes_of_one_cut_off(|id| Settings { mutant, ..settings(id) });
}

fn votes_of_one_cut_off(with: impl Fn(usize) -> Settings) {
    let mut group = Group::led_by_c1_with(with);
    let txn = group.session(1);
    group.cut_off = BTreeSet::from([1]);
    group.commit(1, txn, Protocol::TwoPhase, &[1, 1]);
    let h = group.asked_at().expect("they are asked meanwhile");
    for shard in [1, 2] {
        group.hear(1, shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    }
    group.deliver();
    assert_eq!((group.replies(1), group.told_to_commit()), (vec![], 0));
    group.cut_off.clear();
    group.beat(1);
    group.deliver();
    assert_eq!((group.replies(1), group.told_to_commit()), (committed(h), 2));
}

#[test]
fn what_only_the_old_leader_had_never_happened() {
    let mut group = Group::led_by_c1();
    let (txn, _) = group.voted_alone(1);
    group.elect(2);
    group.join(2, Epoch(2));
    let aborted = vec![ClientReply::Outcome(Outcome::Aborted(Reason::Presumed))];
    assert_eq!(group.outcome(2, txn), aborted);
    // c1 comes back, and takes the others' log for its own.
    group.cut_off.clear();
    group.event(1, Event::Connected(Peer::Coordinator(CoordinatorId(2))));
    group.event(2, Event::Connected(Peer::Coordinator(CoordinatorId(1))));
    group.beat(2);
    assert!(group.nodes[0].out.restart, "c1 had in mind what never happened");
    let restarted = group.now.mono;
    group.restart(1);
    while group.now.mono < restarted + 2 * settings(2).patience {
        group.beat(2);
    }
    let [c1, c2] = [0, 1].map(|at| group.nodes[at].member.replica().log().clone());
    assert_eq!(c1.last(), c2.last());
    assert!((1..=c1.last().index).all(|index| c1.get(index) == c2.get(index)));
}

#[test]
fn who_is_cut_off_hands_out_no_timestamp_and_stops() {
    is_cut_off(settings);
}

/// Rare in the simulator, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "[Timestamp(")]
fn who_is_cut_off_and_hands_out_timestamps_is_noticed() {
    let mutant = Some(synod_coordinator::Mutant::LeadsUnconfirmed);
    is_cut_off(|id| Settings { mutant, ..settings(id) });
}

fn is_cut_off(with: impl Fn(usize) -> Settings) {
    let mut group = Group::led_by_c1_with(with);
    group.cut_off = BTreeSet::from([1]);
    group.ask(1, ClientRequest::Timestamp);
    group.ask(1, ClientRequest::OpenSession);
    group.deliver();
    assert_eq!(group.replies(1), []);
    group.now.mono = group.now.mono + settings(1).patience;
    group.event(1, Event::Wake);
    assert!(group.nodes[0].out.restart, "it has heard of no majority");
}

#[test]
fn one_round_serves_all_that_gathered_before_it() {
    let mut group = Group::led_by_c1();
    for _ in 0..3 {
        group.ask(1, ClientRequest::Timestamp);
    }
    group.deliver();
    let drawn: Vec<Timestamp> = group
        .replies(1)
        .iter()
        .filter_map(|reply| match reply {
            ClientReply::Timestamp(at) => Some(*at),
            _ => None,
        })
        .collect();
    assert_eq!(drawn.len(), 3);
    assert!(drawn.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_shard_that_restarted_gets_its_floor_from_one_who_surely_leads() {
    let mut group = Group::led_by_c1();
    group.said.clear();
    group.cut_off = BTreeSet::from([1]);
    group.ask_to_join(1, Epoch(1), 1);
    group.deliver();
    assert_eq!(group.welcomed(), 0);
    group.cut_off.clear();
    group.beat(1);
    assert_eq!(group.welcomed(), 1);
}

#[test]
fn a_member_that_follows_says_who_leads() {
    let mut group = Group::led_by_c1();
    group.ask(2, ClientRequest::OpenSession);
    let elsewhere = ClientReply::Refused(Reason::NotLeader(Some("c1".to_owned())));
    assert_eq!(group.replies(2), [elsewhere]);
    group.ask(2, ClientRequest::Status);
    let [ClientReply::Status(status)] = &group.replies(2)[..] else { panic!("no status") };
    assert_eq!((status.id, status.leader), (CoordinatorId(2), Some(CoordinatorId(1))));
}

/// Else who follows for long would keep all of them.
#[test]
fn a_member_that_follows_forgets_old_outcomes() {
    let mut group = Group::led_by_c1();
    group.voted(1);
    group.deliver();
    group.beat(1);
    let kept = |group: &Group| group.nodes[1].member.stats().outcome_blocks;
    assert_eq!(kept(&group), 1);
    let later = settings(2).outcome_retention + 2 * settings(2).window;
    group.now.wall.0 += later.as_millis() as u64;
    group.now.mono = group.now.mono + later;
    group.event(2, Event::Wake);
    assert_eq!(kept(&group), 0);
}

#[test]
fn who_wants_to_hear_of_a_later_leader_does() {
    let mut group = Group::led_by_c1();
    for id in [2, 3] {
        group.ask(id, ClientRequest::Follow { epoch: Epoch(1) });
    }
    group.cut_off = BTreeSet::from([1]);
    group.elect(2);
    let itself = ClientReply::Leader { epoch: Epoch(2), address: None };
    let other = ClientReply::Leader { epoch: Epoch(2), address: Some("c2".to_owned()) };
    assert_eq!(group.replies(2), [itself]);
    assert_eq!(group.replies(3), std::slice::from_ref(&other));
    // Who knows less is told at once.
    group.ask(3, ClientRequest::Follow { epoch: Epoch(0) });
    assert_eq!(group.replies(3), [other]);
}

#[test]
fn who_does_not_know_the_later_leader_yet_sends_away_what_that_one_granted() {
    let mut group = Group::led_by_c1();
    let session = SessionId { epoch: Epoch(2), number: 1 };
    let away = ClientReply::Refused(Reason::NotLeader(None));
    assert_eq!(group.outcome(1, TxnId { session, sequence: 1 }), std::slice::from_ref(&away));
    group.ask(1, ClientRequest::Heartbeat { session, oldest: 1 });
    assert_eq!(group.replies(1), [away]);
}

/// In the own log they would count for what the member itself wrote, or for another epoch.
#[test]
fn entries_that_are_none_are_not_taken() {
    let mut group = Group::led_by_c1();
    let last = group.nodes[1].member.replica().log().last();
    let logged = group.nodes[1].log.len();
    let epoch = Epoch(1);
    let record = |record| postcard::to_stdvec(&record).unwrap();
    let none = [
        (epoch, record(Record::Cut { index: 0 })),
        (epoch, record(Record::Promised(Promise { epoch: Epoch(9), to: None }))),
        (epoch, record(Record::Started { epoch: Epoch(9) })),
        (epoch, vec![0xff]),
    ];
    for (of, bytes) in none {
        let mut entries = Entries::default();
        entries.push(of, &bytes);
        let (committed, entries) = (0, entries.finish());
        let append = GroupMessage::Append { epoch, before: last, committed, entries };
        let from = Peer::Coordinator(CoordinatorId(1));
        let message = Message::Group(append);
        group.event(2, Event::Message { from, request: RequestId(0), message });
    }
    assert_eq!(group.nodes[1].log.len(), logged);
    assert_eq!(group.nodes[1].member.replica().log().last(), last);
}

#[test]
fn a_promise_survives_a_restart() {
    let mut group = Group::led_by_c1();
    let before = group.nodes[1].member.replica().promise();
    assert_eq!((before.epoch, before.to), (Epoch(1), Some(CoordinatorId(1))));
    group.restart(2);
    assert_eq!(group.nodes[1].member.replica().promise(), before);
}

/// Another one may have handed out timestamps above that window, and they are no future.
#[test]
fn who_is_cut_off_tells_no_shard_where_timestamps_end() {
    let mut group = Group::led_by_c1();
    let told = |group: &Group| {
        let window =
            |message: &Message| matches!(message, Message::Commit(CommitMessage::Window { .. }));
        group.said.iter().filter(|(.., message)| window(message)).count()
    };
    let before = told(&group);
    group.cut_off = BTreeSet::from([1]);
    group.hear(1, 1, CommitMessage::AskWindow);
    group.deliver();
    assert_eq!(told(&group), before);
    group.cut_off.clear();
    group.beat(1);
    assert_eq!(told(&group), before + 1);
}

/// One shard decides at a timestamp that was drawn here, and waits for no record of the group.
#[test]
fn who_is_cut_off_leaves_nothing_to_one_shard() {
    for write_bytes in [&[1][..], &[0, 1]] {
        let mut group = Group::led_by_c1();
        let txn = group.session(1);
        group.cut_off = BTreeSet::from([1]);
        group.commit(1, txn, Protocol::TwoPhase, write_bytes);
        group.deliver();
        let vote = Vote::Read(group.asked_at().unwrap_or_default());
        group.hear(1, 1, CommitMessage::Vote { txn, vote });
        group.deliver();
        assert_eq!(group.left_to_one(), 0, "{write_bytes:?}");
        group.cut_off.clear();
        group.beat(1);
        group.deliver();
        assert_eq!(group.left_to_one(), 1, "{write_bytes:?}");
    }
}

/// Others vote in the meantime, and it does not matter what comes first.
#[test]
fn the_only_writer_waits_for_the_votes_and_for_the_group() {
    let mut group = Group::led_by_c1();
    let txn = group.session(1);
    group.commit(1, txn, Protocol::TwoPhase, &[0, 1]);
    group.deliver();
    assert_eq!(group.left_to_one(), 0);
    let vote = Vote::Read(group.asked_at().expect("a reader is asked"));
    group.hear(1, 1, CommitMessage::Vote { txn, vote });
    assert_eq!(group.left_to_one(), 1);
}
