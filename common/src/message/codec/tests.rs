//! Golden bytes of every message, and what hostile bytes do.

use std::fmt::Write;

use super::*;
use crate::commit::{Ballot, Phase, Protocol, Say, SiteId, Stable, Verdict};
use crate::deadlock::{
    Claim, Deadlock, Handling, Happened, Scheme, Standing, Step, Target, VictimPolicy,
};
use crate::error::Reason;
use crate::id::*;
use crate::key::{Key, KeyRange};
use crate::limits::Limit;
use crate::message::bulk::{Keys, List, WriteSet};
use crate::message::client::{CoordinatorStatus, Outcome, Part};
use crate::message::commit::{Decision, Terms, Validation, Vote};
use crate::message::data::{Access, LockPlace, LockRow, LockWait, ReadMode, ShardStatus};
use crate::message::deadlock::{Edge, Holder, Link, Probe, Wait};
use crate::message::group::{Entries, Position};
use crate::message::paxos::Bundle;
use crate::message::txns::{Commit, CommitStage, Holds, Resolution, ShardStage, ShardTxn};
use crate::message::{
    ClientReply, ClientRequest, CommitMessage, DataReply, DataRequest, DeadlockMessage,
    GroupMessage, PaxosMessage, PeerMessage, SiteMessage,
};
use crate::route::{CoordinatorAddress, Partition, Placement, ShardAddress};
use crate::time::{Timestamp, Wall};

fn session() -> SessionId {
    SessionId { epoch: Epoch(3), number: 40 }
}

fn txn() -> TxnId {
    TxnId { session: session(), sequence: 300 }
}

fn placement() -> Placement {
    let shard = |id, port| ShardAddress { id: ShardId(id), address: format!("h:{port}") };
    Placement {
        epoch: 1,
        partition: Partition::Range(vec![Key::from("g")]),
        shards: vec![shard(1, 7500), shard(2, 7501)],
    }
}

fn standing() -> Standing {
    Standing { age: Timestamp(77), priority: 100 }
}

fn terms(validation: Validation) -> Terms {
    Terms { validation, standing: standing(), protocol: Protocol::ThreePhase }
}

fn access() -> Access {
    Access {
        txn: txn(),
        standing: standing(),
        holds_elsewhere: true,
        incarnation: Some(Incarnation(9)),
        map_epoch: 1,
        wait: LockWait::Millis(5000),
        snapshot: Some(Timestamp(70)),
        returns: 0,
    }
}

fn probe() -> Probe {
    let Wait { waiter, wait, target, mode, holders } = wait();
    let link = Link { shard: ShardId(1), wait, waiter, target, mode, holder: holders[0] };
    Probe { round: 3, path: vec![link.clone(), link] }
}

fn deadlock() -> Deadlock {
    let other = TxnId { sequence: 301, ..txn() };
    let range = KeyRange { start: Key::from("a"), end: None };
    let step = |waiter, target, shard, holder| Step {
        waiter,
        target,
        mode: "X".to_owned(),
        shard: ShardId(shard),
        holder,
    };
    let steps = vec![
        step(txn(), Target::key(&Key::from("k")), 1, other),
        step(other, Target::range(&range), 2, txn()),
    ];
    Deadlock::new(steps, txn(), VictimPolicy::LowestPriority)
}

fn edge() -> Edge {
    Edge { waiter: txn(), wait: 9, holder: TxnId { sequence: 301, ..txn() }, returns: 2 }
}

fn wait() -> Wait {
    let claim = Claim { txn: txn(), age: Timestamp(77), priority: 100, locks: 3 };
    let holders = vec![Holder { txn: edge().holder, locks: 1, returns: 2 }];
    let target = Target::key(&Key::from("k"));
    Wait { waiter: claim, wait: 9, target, mode: "X".to_owned(), holders }
}

fn writes() -> Bytes {
    let mut set = WriteSet::default();
    set.push(b"k", Some(&b"v"[..]));
    set.push(b"gone", None);
    set.finish()
}

/// One of every message, with every reason, vote, decision and outcome in it.
fn samples() -> Vec<Message> {
    let range = KeyRange { start: Key::from("a"), end: Some(Key::from("b")) };
    let part =
        |shard, incarnation, write_bytes| Part { shard, incarnation, read_bytes: 0, write_bytes };
    let parts = vec![
        part(ShardId(1), Some(Incarnation(9)), 10),
        part(ShardId(2), None, writes().len() as u32 - 10),
    ];
    let status = CoordinatorStatus {
        id: CoordinatorId(1),
        placement: placement(),
        joined: vec![ShardId(2)],
        sessions: 4,
        committing: 5,
        leader: Some(CoordinatorId(2)),
        epoch: Epoch(3),
        group: vec![CoordinatorAddress { id: CoordinatorId(2), address: "b:7401".to_owned() }],
    };
    let reasons = vec![
        Reason::Deadlock(Box::new(deadlock())),
        Reason::LockTimeout,
        Reason::LocksLost,
        Reason::WindowPassed,
        Reason::SessionLost,
        Reason::StaleEpoch,
        Reason::StaleMap,
        Reason::VoteTimeout,
        Reason::NotReady,
        Reason::Overloaded,
        Reason::Fenced,
        Reason::ByClient,
        Reason::Presumed,
        Reason::Abandoned,
        Reason::UnsafeProtocol,
        Reason::NotInDoubt,
        Reason::SnapshotTooOld(Timestamp(5)),
        Reason::SnapshotInFuture,
        Reason::TooLarge(Limit::KeyBytes),
        Reason::TooLarge(Limit::ValueBytes),
        Reason::TooLarge(Limit::TxnBytes),
        Reason::TooLarge(Limit::TxnKeys),
        Reason::TooLarge(Limit::ReplyBytes),
        Reason::TooLarge(Limit::ReadBytes),
        Reason::Malformed,
        Reason::Denied,
        Reason::Conflict,
        Reason::NotAnInteger(Key::from("k")),
        Reason::CheckFailed(Key::from("k")),
        Reason::NotLeader(None),
        Reason::NotLeader(Some("b:7401".to_owned())),
        Reason::CoordinatorDecides,
        Reason::AuditFull,
    ];
    let mut all: Vec<Message> = vec![
        ClientRequest::OpenSession.into(),
        ClientRequest::Heartbeat { session: session(), oldest: 12 }.into(),
        ClientRequest::CloseSession { session: session() }.into(),
        ClientRequest::Timestamp.into(),
        ClientRequest::Commit {
            txn: txn(),
            terms: terms(Validation::Reads(Timestamp(8))),
            parts,
            writes: writes(),
        }
        .into(),
        ClientRequest::Outcome { txn: txn() }.into(),
        ClientRequest::Status.into(),
        ClientRequest::Pinned { session: session(), oldest: 12, pin: Timestamp(77) }.into(),
        ClientReply::SessionOpened {
            session: session(),
            ttl_ms: 10_000,
            now: Timestamp(1 << 40),
            placement: placement(),
        }
        .into(),
        ClientReply::Done.into(),
        ClientReply::Timestamp(Timestamp(1 << 40)).into(),
        ClientReply::Outcome(Outcome::Committed(Timestamp(7))).into(),
        ClientReply::Outcome(Outcome::Aborted(Reason::LockTimeout)).into(),
        ClientReply::Outcome(Outcome::Undecided).into(),
        ClientReply::Outcome(Outcome::Unknown).into(),
        ClientReply::Status(status).into(),
        DataRequest::Read { access: access(), mode: ReadMode::Shared, keys: Keys::one(b"k") }
            .into(),
        DataRequest::Read { access: access(), mode: ReadMode::Exclusive, keys: Keys::one(b"k") }
            .into(),
        DataRequest::Scan {
            access: access(),
            range: range.clone(),
            limit: 10,
            reverse: true,
            mode: ReadMode::Update,
        }
        .into(),
        DataRequest::SnapshotRead { at: Timestamp(7), map_epoch: 1, keys: Keys::one(b"k") }.into(),
        DataRequest::SnapshotScan {
            at: Timestamp(7),
            map_epoch: 1,
            range: KeyRange { end: None, ..range.clone() },
            limit: 10,
            reverse: false,
        }
        .into(),
        DataRequest::Abort { txn: txn() }.into(),
        DataRequest::Heartbeat { session: session(), oldest: 12 }.into(),
        DataRequest::Status.into(),
        DataRequest::Lock {
            access: Access { wait: LockWait::No, ..access() },
            mode: ReadMode::Exclusive,
            range: None,
            keys: Keys::one(b"k"),
        }
        .into(),
        DataRequest::Return {
            access: Access { wait: LockWait::Skip, returns: 3, ..access() },
            to: Some(ReadMode::Shared),
            range: Some(range),
            keys: Bytes::new(),
        }
        .into(),
        DataReply::Values { incarnation: Some(Incarnation(9)), values: Bytes::new() }.into(),
        DataReply::Rows {
            incarnation: None,
            resume: Some(Key::from("r")),
            rows: Bytes::from_static(b"rows"),
        }
        .into(),
        DataReply::Done.into(),
        DataReply::Status(ShardStatus {
            ready: true,
            keys: 1,
            in_doubt: 2,
            locks: 3,
            waiting: 4,
            oldest_in_doubt: Timestamp(70),
            mixed: 1,
        })
        .into(),
        DataReply::Granted { incarnation: Some(Incarnation(9)) }.into(),
        DataReply::Locked { incarnation: Some(Incarnation(9)), holder: txn() }.into(),
        DataReply::Found {
            incarnation: Some(Incarnation(9)),
            values: Bytes::from_static(&[0xfe, 0xff, 0xff, 0xff]),
        }
        .into(),
        CommitMessage::Join {
            cluster: ClusterId(0xfeed),
            epoch: Epoch(2),
            boot: true,
            nonce: 5,
            remembered: 1,
        }
        .into(),
        CommitMessage::OnePhaseOutcomes { nonce: 5, outcomes: Bytes::from_static(b"list") }.into(),
        CommitMessage::Voted { nonce: 5, txns: Bytes::from_static(b"list") }.into(),
        CommitMessage::Welcome {
            nonce: 5,
            epoch: Epoch(3),
            floor: Timestamp(8),
            placement: placement(),
            handling: Handling { scheme: Scheme::Probes, victim: VictimPolicy::FewestLocks },
        }
        .into(),
        CommitMessage::Prepare {
            txn: txn(),
            h: Timestamp(9),
            hi: Timestamp(99),
            incarnation: None,
            low_water: Timestamp(4),
            participants: vec![ShardId(1), ShardId(2)],
            acceptors: vec![],
            implicit: true,
            terms: terms(Validation::Writes(Timestamp(8))),
            read_bytes: 0,
            writes: writes(),
        }
        .into(),
        CommitMessage::Vote { txn: txn(), vote: Vote::Yes(Timestamp(9)) }.into(),
        CommitMessage::Vote { txn: txn(), vote: Vote::Read(Timestamp(9)) }.into(),
        CommitMessage::Vote { txn: txn(), vote: Vote::No(Reason::LocksLost) }.into(),
        CommitMessage::CommitOnePhase {
            txn: txn(),
            h: Timestamp(9),
            hi: Timestamp(99),
            after: Timestamp(12),
            incarnation: Some(Incarnation(1)),
            low_water: Timestamp(4),
            terms: terms(Validation::Locked),
            read_bytes: 0,
            writes: writes(),
        }
        .into(),
        CommitMessage::OnePhaseDone { txn: txn(), vote: Vote::Yes(Timestamp(9)) }.into(),
        CommitMessage::InquireOnePhase { txn: txn(), h: Timestamp(9) }.into(),
        CommitMessage::AbortOnePhase { txn: txn(), h: Timestamp(9), reason: Reason::VoteTimeout }
            .into(),
        CommitMessage::Decide { txn: txn(), decision: Decision::Commit(Timestamp(9)) }.into(),
        CommitMessage::Decide { txn: txn(), decision: Decision::Abort }.into(),
        CommitMessage::Release { txn: txn(), at: Timestamp(9) }.into(),
        CommitMessage::Ack { txns: vec![txn(), txn()] }.into(),
        CommitMessage::Inquire { txn: txn() }.into(),
        CommitMessage::Decide { txn: txn(), decision: Decision::Forgotten }.into(),
        CommitMessage::AskWindow.into(),
        CommitMessage::Window { hi: Timestamp(99) }.into(),
        CommitMessage::Call { epoch: Epoch(3) }.into(),
        CommitMessage::SafePoint { at: Timestamp(55) }.into(),
        CommitMessage::VotesOver { below: Timestamp(55) }.into(),
        CommitMessage::Settled {
            epoch: Epoch(3),
            number: 4,
            below: Timestamp(90),
            open: List::of(&[txn()]),
        }
        .into(),
        CommitMessage::Stale { epoch: Epoch(3) }.into(),
    ];
    let place = LockPlace::Key(Key::from("k"));
    let row =
        LockRow { target: Target::key(&Key::from("k")), holders: vec![], waiters: vec![], more: 0 };
    let happened = Happened { at: Wall(5), local: Some(ShardId(1)), deadlock: deadlock() };
    all.extend::<[Message; 14]>([
        ClientRequest::Deadlocks.into(),
        ClientReply::Deadlocks { list: List::of(&[happened]) }.into(),
        DataRequest::Locks { after: Some(place.clone()), contended: true, limit: 10 }.into(),
        DataReply::Locks { resume: Some(place), locks: List::of(&[row]) }.into(),
        DeadlockMessage::Waits { life: 1, number: 2, waits: List::of(&[wait()]) }.into(),
        DeadlockMessage::Confirm { candidate: 3, edges: List::of(&[edge()]) }.into(),
        DeadlockMessage::Confirmed { candidate: 3, stands: true }.into(),
        DeadlockMessage::Break {
            candidate: 3,
            txn: txn(),
            wait: 9,
            deadlock: Box::new(deadlock()),
        }
        .into(),
        DeadlockMessage::Broken { deadlock: Box::new(deadlock()) }.into(),
        DeadlockMessage::Wound { txn: txn(), deadlock: Box::new(deadlock()) }.into(),
        DeadlockMessage::LetGo { edge: edge(), deadlock: Box::new(deadlock()) }.into(),
        DeadlockMessage::Probes { probes: List::of(&[probe()]) }.into(),
        PeerMessage::Inquire { txn: txn(), h: Timestamp(80) }.into(),
        PeerMessage::Decided { txn: txn(), decision: Decision::Commit(Timestamp(90)) }.into(),
    ]);
    all.extend(of_sites());
    all.extend(of_txns());
    all.extend(of_groups());
    all.extend(of_paxos());
    all.extend(reasons.iter().cloned().map(|reason| ClientReply::Refused(reason).into()));
    all.extend(reasons.into_iter().map(|reason| DataReply::Refused(reason).into()));
    all
}

fn resolution() -> Resolution {
    Resolution {
        txn: txn(),
        verdict: Verdict::Commit(Timestamp(10)),
        by: "ops".to_owned(),
        why: "stuck".to_owned(),
        when: Wall(1_000),
        outcome: Some(Verdict::Abort),
        read: true,
    }
}

fn ballot() -> Ballot {
    Ballot { round: 300, site: SiteId(2) }
}

fn stable() -> Stable {
    let phase = Phase::Pre(Verdict::Commit(Timestamp(90)));
    Stable { phase, attempt: Ballot::first(SiteId(2)), elected: ballot(), ..Stable::default() }
}

/// Everything that members of a group say, and what clients hear of them.
fn of_groups() -> Vec<Message> {
    let (epoch, last) = (Epoch(3), Position { epoch: Epoch(2), index: 300 });
    let mut entries = Entries::default();
    entries.push(epoch, b"record");
    let all = [
        GroupMessage::Canvass { epoch, last },
        GroupMessage::Would { epoch },
        GroupMessage::Elect { epoch, last },
        GroupMessage::Elected { epoch, accepted: List::of(&[bundle()]) },
        GroupMessage::Append { epoch, before: last, committed: 299, entries: entries.finish() },
        GroupMessage::Appended { epoch, index: 301 },
        GroupMessage::Missing { epoch, index: 200 },
        GroupMessage::Confirm { epoch, round: 7, committed: 299 },
        GroupMessage::Confirmed { epoch, round: 7 },
        GroupMessage::Stale { epoch },
        GroupMessage::State {
            epoch,
            base: last,
            number: 4,
            last: true,
            part: Bytes::from_static(b"part"),
        },
        GroupMessage::Taken { epoch, base: last, number: 4 },
        GroupMessage::Rejoin { life: 77 },
        GroupMessage::Told { life: 77, epoch },
        GroupMessage::Readmit { above: epoch },
        GroupMessage::Readmitted { epoch, index: 299 },
        GroupMessage::Copied { epoch, index: 299 },
    ];
    let mut all = all.map(Message::from).to_vec();
    all.push(ClientRequest::Follow { epoch }.into());
    all.push(ClientReply::Leader { epoch, address: Some("b:7401".to_owned()) }.into());
    all.push(ClientReply::Leader { epoch, address: None }.into());
    all
}

/// Everything that sites say.
fn of_sites() -> Vec<Message> {
    let (ballot, attempt) = (ballot(), Ballot::NONE);
    let verdict = Verdict::Commit(Timestamp(90));
    let all = [
        Say::Elect { ballot },
        Say::State { ballot, accepted: None, attempt },
        Say::State { ballot, accepted: Some(Verdict::Abort), attempt: ballot },
        Say::Pre { ballot, verdict },
        Say::Accepted { ballot },
        Say::Refused { ballot: attempt, elected: ballot },
        Say::Decided { verdict },
        Say::Forgotten,
    ];
    all.map(|say| SiteMessage { txn: txn(), h: Timestamp(80), say }.into()).to_vec()
}

fn bundle() -> Bundle {
    let (yes, read) = (vec![ShardId(1)], vec![ShardId(2)]);
    Bundle { txn: txn(), h: Timestamp(9), at: Timestamp(10), yes, read }
}

/// Everything that is said in Paxos Commit.
fn of_paxos() -> Vec<Message> {
    let all = [
        PaxosMessage::Propose {
            txn: txn(),
            h: Timestamp(9),
            leader: CoordinatorId(1),
            participants: vec![ShardId(1), ShardId(2)],
            vote: Vote::Yes(Timestamp(10)),
            tell: true,
        },
        PaxosMessage::Accepted { txn: txn(), at: Timestamp(10) },
        PaxosMessage::Forward(bundle()),
    ];
    all.map(Message::from).to_vec()
}

/// The listings of transactions, with every stage in them.
fn of_txns() -> Vec<Message> {
    let (h, m, asked) = (Timestamp(9), Timestamp(10), 3);
    let (coordinator, shards) = (CoordinatorId(1), vec![ShardId(1), ShardId(2)]);
    let participants = shards.clone();
    let on_shard = |stage| ShardTxn {
        txn: txn(),
        stage,
        for_ms: 5,
        at_least: true,
        age: Timestamp(7),
        locks: 2,
        waiting: 1,
    };
    let txns = [
        ShardStage::Active,
        ShardStage::Preparing { h, participants: participants.clone(), coordinator },
        ShardStage::Prepared {
            h,
            m,
            participants: participants.clone(),
            coordinator,
            asked,
            protocol: Protocol::TwoPhase,
            site: None,
        },
        ShardStage::Prepared {
            h,
            m,
            participants: participants.clone(),
            coordinator,
            asked,
            protocol: Protocol::ThreePhase,
            site: Some(stable()),
        },
        ShardStage::ReadVoted { h, m, coordinator, asked, protocol: Protocol::ThreePhase },
        ShardStage::OnePhase { h, m, coordinator, asked },
        ShardStage::Resolved {
            verdict: Verdict::Abort,
            participants,
            coordinator,
            asked,
            protocol: Protocol::ThreePhase,
        },
    ]
    .map(on_shard);
    let protocol = Protocol::TwoPhase;
    let at_coordinator =
        |stage| Commit { txn: txn(), h, protocol, stage, for_ms: 5, at_least: false };
    let (yes, read) = (vec![ShardId(1)], vec![ShardId(2)]);
    let commits = [
        CommitStage::OnePhase { shard: ShardId(1), read: vec![ShardId(2)] },
        CommitStage::Preparing { yes: yes.clone(), read: read.clone(), missing: shards },
        CommitStage::Deciding { at: m, yes: yes.clone(), read },
        CommitStage::Committing { at: m, unacknowledged: yes.clone() },
        CommitStage::PreCommitting { yes: yes.clone(), site: stable() },
        CommitStage::Accepting {
            at: m,
            yes: yes.clone(),
            read: vec![],
            accepted: vec![CoordinatorId(2)],
        },
        CommitStage::GivingUp { on: yes },
    ]
    .map(at_coordinator);
    let holds = Holds {
        locks: vec![(Target::key(&Key::from("k")), "X".to_owned())],
        waiters: vec![(txn(), 6)],
        more_waiters: 1,
    };
    let detail = Box::new((txns[0].clone(), holds));
    let commit = Box::new(commits[0].clone());
    vec![
        DataRequest::Txns { after: Some(txn()), in_doubt: true, limit: 10 }.into(),
        DataRequest::Txn { txn: txn(), locks: 10 }.into(),
        DataReply::Txns { resume: Some(txn()), txns: List::of(&txns) }.into(),
        DataReply::Txn(None).into(),
        DataRequest::Resolve {
            txn: txn(),
            commit: true,
            by: Some("ops".into()),
            why: "stuck".into(),
            force: true,
        }
        .into(),
        DataRequest::Resolutions.into(),
        DataReply::Resolutions { list: List::of(&[resolution()]) }.into(),
        DataReply::Txn(Some(detail)).into(),
        ClientRequest::Commits { after: Some(txn()), limit: 10 }.into(),
        ClientRequest::CommitOf { txn: txn() }.into(),
        ClientReply::Commits { resume: Some(txn()), commits: List::of(&commits) }.into(),
        ClientReply::CommitOf(None).into(),
        ClientReply::CommitOf(Some(commit)).into(),
    ]
}

fn encoded(message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    encode(RequestId(0x0102), message, &mut out).unwrap();
    out
}

/// The wire format may not change under a version. When a message is added,
/// run with `SYNOD_GOLDEN=write` and commit the new line.
#[test]
fn bytes_are_golden() {
    let mut text = String::new();
    for message in samples() {
        let name: String = format!("{message:?}").chars().take_while(|c| *c != ' ').collect();
        write!(text, "{name} ").unwrap();
        for byte in encoded(&message) {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/message/codec/golden.txt");
    if std::env::var_os("SYNOD_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (now, then) in text.lines().zip(golden.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn every_message_comes_back() {
    let mut stream = BytesMut::new();
    for message in samples() {
        encode(RequestId(7), &message, &mut stream).unwrap();
    }
    for message in samples() {
        assert_eq!(decode(&mut stream), Ok(Some((RequestId(7), message))));
    }
    assert_eq!(decode(&mut stream), Ok(None));
}

/// A frame whose length says less than the message has is refused, never
/// understood as something else; only bulk may be cut, its own layout tells.
#[test]
fn truncated_headers_are_refused() {
    for message in samples() {
        let whole = encoded(&message);
        let header = whole.len() - message.bulk().map_or(0, Bytes::len);
        for cut in 4..header {
            let mut frame = BytesMut::from(&whole[..cut]);
            let len = (cut - 4) as u32;
            frame[..4].copy_from_slice(&len.to_le_bytes());
            assert_eq!(decode(&mut frame), Err(FrameError::Malformed), "{message:?} at {cut}");
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for message in samples().into_iter().filter(|message| message.bulk().is_none()) {
        let mut frame = encoded(&message);
        frame.put_u8(0);
        let len = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&len.to_le_bytes());
        assert_eq!(decode(&mut frame), Err(FrameError::Malformed), "{message:?}");
    }
}

#[test]
fn oversized_frames_are_refused_before_they_arrive() {
    for len in [limits::FRAME_BYTES as u32 + 1, u32::MAX] {
        let mut frame = BytesMut::from(&len.to_le_bytes()[..]);
        assert_eq!(decode(&mut frame), Err(FrameError::TooLarge(u64::from(len))));
    }
    for len in 0..8u32 {
        let mut frame = BytesMut::from(&len.to_le_bytes()[..]);
        assert_eq!(decode(&mut frame), Err(FrameError::Malformed));
    }
}

#[test]
fn over_long_integers_are_refused() {
    // ClientRequest::OpenSession is 00 00; 80 00 is another spelling of 00.
    for header in [&[0x80, 0x00, 0x00][..], &[0x00, 0x80, 0x00][..]] {
        let mut frame = BytesMut::new();
        frame.put_u32_le(8 + header.len() as u32);
        frame.put_u64_le(1);
        frame.put_slice(header);
        assert_eq!(decode(&mut frame), Err(FrameError::Malformed));
    }
}

/// Any bytes give a message or an error, and never a panic.
#[test]
fn flipped_bits_never_panic() {
    for message in samples() {
        let whole = encoded(&message);
        for bit in 32..whole.len() * 8 {
            let mut frame = whole.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&mut frame);
        }
    }
}

#[test]
fn too_large_to_send_leaves_the_buffer_as_it_was() {
    let writes = Bytes::from(vec![0; limits::FRAME_BYTES]);
    let message = ClientRequest::Commit {
        txn: txn(),
        terms: terms(Validation::Locked),
        parts: vec![],
        writes,
    };
    let message = message.into();
    let mut out = BytesMut::from(&b"before"[..]);
    assert!(matches!(encode(RequestId(1), &message, &mut out), Err(FrameError::TooLarge(_))));
    assert_eq!(&out[..], b"before");
}
