//! Locks as clients ask for them: modes, ranges, no waiting, giving back.

use synod_common::deadlock::{Claim, Scheme, Target};
use synod_common::key::{Key, KeyRange};
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::{Found, List, Rows};
use synod_common::message::deadlock::{Holder, Link, Probe};

use super::*;

pub(super) fn with(
    txn: TxnId,
    wait: LockWait,
    returns: u32,
    incarnation: Option<Incarnation>,
) -> Access {
    let (snapshot, standing) = (None, OLDEST);
    let (holds_elsewhere, map_epoch) = (false, 1);
    Access { txn, standing, holds_elsewhere, incarnation, map_epoch, wait, snapshot, returns }
}

pub(super) fn patient(txn: TxnId) -> Access {
    with(txn, LockWait::Millis(1000), 0, None)
}

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange { start: Key::from(start), end: Some(Key::from(end)) }
}

impl World {
    pub(super) fn lock(&mut self, access: Access, mode: ReadMode, key: &str) -> Option<DataReply> {
        let keys = Keys::one(key.as_bytes());
        self.ask(DataRequest::Lock { access, mode, range: None, keys })
    }

    fn lock_range(&mut self, access: Access, range: KeyRange) -> Option<DataReply> {
        let (mode, range) = (ReadMode::Exclusive, Some(range));
        self.ask(DataRequest::Lock { access, mode, range, keys: Bytes::new() })
    }

    pub(super) fn give_back(&mut self, access: Access, to: Option<ReadMode>, key: &str) {
        let keys = Keys::one(key.as_bytes());
        assert_eq!(self.ask(DataRequest::Return { access, to, range: None, keys }), None);
    }

    fn scan(&mut self, access: Access, range: KeyRange, limit: u32) -> Vec<String> {
        let mode = ReadMode::Update;
        let request = DataRequest::Scan { access, range, limit, reverse: false, mode };
        let Some(DataReply::Rows { rows, .. }) = self.ask(request) else { panic!("no rows") };
        let keys = Rows::read(&rows).map(|row| row.unwrap().0.to_vec());
        keys.map(|key| String::from_utf8(key).unwrap()).collect()
    }
}

pub(super) fn granted(reply: Option<DataReply>) -> Option<Incarnation> {
    match reply {
        Some(DataReply::Granted { incarnation }) => incarnation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn readers_come_beside_an_update_until_it_is_written() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Update));
    assert_eq!(value_of(world.read(txn(2), "k", ReadMode::Shared)), None);
    assert_eq!(world.read(txn(3), "k", ReadMode::Update), None);
    world.prepare(txn(1), 1100, given, writes(&[("k", Some("new"))]));
    // It waits for the reader, and later readers for it.
    assert_eq!(world.votes(), []);
    assert_eq!(world.read(txn(4), "k", ReadMode::Shared), None);
    world.ask(DataRequest::Abort { txn: txn(2) });
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
    let before = world.sent.len();
    world.decide(txn(1), Decision::Commit(Timestamp(1100)));
    let values = world.replies(before).into_iter().map(|reply| value_of(Some(reply)));
    assert_eq!(values.flatten().collect::<Vec<_>>(), ["new", "new"]);
}

#[test]
fn who_does_not_wait_is_told_who_holds_it_and_goes_on() {
    let mut world = World::new();
    granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "k"));
    let now = with(txn(2), LockWait::No, 0, None);
    let Some(DataReply::Locked { incarnation, holder }) = world.lock(now, ReadMode::Exclusive, "k")
    else {
        panic!("it did not say so")
    };
    assert_eq!(holder, txn(1));
    let mut keys = Keys::default();
    keys.push(b"free");
    keys.push(b"k");
    let now = with(txn(2), LockWait::No, 0, incarnation);
    let both = DataRequest::Read { access: now, mode: ReadMode::Update, keys: keys.finish() };
    assert!(matches!(world.ask(both), Some(DataReply::Locked { .. })));
    // Nothing was locked by that, and the transaction is alive.
    assert_eq!(granted(world.lock(now, ReadMode::Exclusive, "other")), incarnation);
    granted(world.lock(with(txn(3), LockWait::No, 0, None), ReadMode::Exclusive, "free"));
}

#[test]
fn what_is_locked_is_left_out() {
    let mut world = World::new();
    for (n, key) in (1..).zip(["a", "b", "c", "d"]) {
        world.put(n, 1050 + n, key, "job");
    }
    let skip = |n| with(txn(n), LockWait::Skip, 0, None);
    assert_eq!(world.scan(skip(11), range("a", "z"), 1), ["a"]);
    assert_eq!(world.scan(skip(12), range("a", "z"), 2), ["b", "c"]);
    let mut keys = Keys::default();
    ["a", "d", "none"].iter().for_each(|key| keys.push(key.as_bytes()));
    let read = DataRequest::Read { access: skip(13), mode: ReadMode::Update, keys: keys.finish() };
    let Some(DataReply::Found { values, .. }) = world.ask(read) else { panic!("no values") };
    let found: Vec<_> = Found::read(&values).map(Result::unwrap).collect();
    assert_eq!(found, [None, Some(Some(&b"job"[..])), Some(None)]);
    assert_eq!(world.scan(skip(14), range("a", "z"), 0), Vec::<String>::new());
    // No lock is on the range: a row may appear.
    world.put(20, 1080, "bb", "job");
    assert_eq!(world.scan(skip(14), range("a", "z"), 0), ["bb"]);
}

#[test]
fn an_exclusive_range_keeps_writers_from_absent_keys() {
    let mut world = World::new();
    granted(world.lock_range(patient(txn(1)), range("a", "m")));
    world.one_phase(txn(2), 1100, writes(&[("c", Some("new"))]));
    world.sync();
    assert_eq!(world.votes(), []);
    assert_eq!(world.read(txn(3), "c", ReadMode::Shared), None);
    assert_eq!(value_of(world.read(txn(3), "m", ReadMode::Shared)), None);
    world.ask(DataRequest::Abort { txn: txn(1) });
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
}

#[test]
fn every_lock_of_a_prepared_transaction_survives_a_crash() {
    let mut world = World::new();
    let given = granted(world.lock_range(patient(txn(1)), range("a", "c")));
    world.read(txn(1), "u", ReadMode::Update);
    granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "x"));
    world.prepare(txn(1), 1100, given, writes(&[("w", Some("new"))]));
    world.sync();
    let mut world = world.crash();
    world.welcome(2, 2000);
    let other = |n| TxnId { session: SessionId { epoch: Epoch(2), number: 1 }, sequence: n };
    let now = |n| with(other(n), LockWait::No, 0, None);
    for key in ["b", "x", "w"] {
        assert!(matches!(
            world.lock(now(1), ReadMode::Shared, key),
            Some(DataReply::Locked { holder, .. }) if holder == txn(1)
        ));
    }
    let locked = world.lock(now(1), ReadMode::Update, "u");
    assert!(matches!(locked, Some(DataReply::Locked { .. })));
    granted(world.lock(now(1), ReadMode::Shared, "u"));
    granted(world.lock(now(1), ReadMode::Shared, "c"));
}

#[test]
fn what_is_given_back_is_free_and_what_was_read_stays() {
    let mut world = World::new();
    let given = granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "k"));
    world.read(txn(1), "read", ReadMode::Update);
    world.give_back(with(txn(1), LockWait::No, 0, given), None, "k");
    let shared = Some(ReadMode::Shared);
    world.give_back(with(txn(1), LockWait::No, 1, given), shared, "read");
    let now = with(txn(2), LockWait::No, 0, None);
    granted(world.lock(now, ReadMode::Exclusive, "k"));
    granted(world.lock(now, ReadMode::Update, "read"));
    let locked = world.lock(now, ReadMode::Exclusive, "read");
    assert!(matches!(locked, Some(DataReply::Locked { .. })));
}

#[test]
fn a_return_behind_a_later_read_is_ignored() {
    let mut world = World::new();
    let given = granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "k"));
    // The client gives it back and reads it again, and the read is faster.
    let keys = Keys::one(b"k");
    let access = with(txn(1), LockWait::No, 1, given);
    world.ask(DataRequest::Read { access, mode: ReadMode::Shared, keys });
    let back = with(txn(1), LockWait::No, 0, given);
    world.give_back(back, None, "k");
    let now = with(txn(2), LockWait::No, 0, None);
    let locked = world.lock(now, ReadMode::Exclusive, "k");
    assert!(matches!(locked, Some(DataReply::Locked { .. })));
    // Twice the same: the second time it does not count.
    world.give_back(with(txn(1), LockWait::No, 1, given), None, "k");
    granted(world.lock(with(txn(1), LockWait::No, 2, given), ReadMode::Exclusive, "k"));
    world.give_back(with(txn(1), LockWait::No, 1, given), None, "k");
    let locked = world.lock(now, ReadMode::Exclusive, "k");
    assert!(matches!(locked, Some(DataReply::Locked { .. })));
}

#[test]
fn a_commit_is_spared_for_the_age_of_its_work() {
    let mut world = World::new();
    let standing = Standing { age: Timestamp(50), priority: 100 };
    let younger = Access { standing, ..patient(txn(2)) };
    granted(world.lock(younger, ReadMode::Exclusive, "b"));
    // It has read nothing and is first heard of now, but its work is older.
    world.one_phase(txn(1), 1100, writes(&[("a", Some("new")), ("b", Some("new"))]));
    let reply = world.lock(younger, ReadMode::Exclusive, "a");
    let Some(DataReply::Refused(Reason::Deadlock(deadlock))) = reply else { panic!("{reply:?}") };
    assert_eq!(deadlock.victim, txn(2));
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
}

#[test]
fn a_prepared_transaction_is_as_old_as_before_a_crash() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    world.sync();
    let mut world = world.crash();
    world.handling.scheme = Scheme::WaitDie;
    world.welcome(2, 2000);
    // Younger than its work, although older than its commit.
    let standing = Standing { age: Timestamp(60), priority: 100 };
    let session = SessionId { epoch: Epoch(2), number: 1 };
    let access = Access { standing, ..patient(TxnId { session, sequence: 1 }) };
    let reply = world.lock(access, ReadMode::Exclusive, "k");
    assert!(matches!(reply, Some(DataReply::Refused(Reason::Deadlock(_)))), "{reply:?}");
}

/// Followed, it would close a circle in which nobody waits for the victim.
#[test]
fn a_probe_that_is_no_chain_is_ignored() {
    let mut world = World::new();
    granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "k"));
    assert_eq!(world.lock(patient(txn(2)), ReadMode::Exclusive, "k"), None);
    let link = |waiter, holder| Link {
        shard: ShardId(2),
        wait: 1,
        waiter: Claim { txn: txn(waiter), age: Timestamp(waiter), priority: 100, locks: 1 },
        target: Target::key(&Key::from("k")),
        mode: "X".to_owned(),
        holder: Holder { txn: txn(holder), locks: 1, returns: 0 },
    };
    let probe = Probe { round: 1, path: vec![link(1, 7), link(8, 2)] };
    let message = DeadlockMessage::Probes { probes: List::of(&[probe]) }.into();
    let (from, before) = (Peer::Shard(ShardId(2)), world.sent.len());
    world.event(Event::Message { from, request: RequestId(0), message });
    assert_eq!(world.sent.len(), before);
}

#[test]
fn odd_lock_requests_are_refused() {
    let mut world = World::new();
    let refused = Some(DataReply::Refused(Reason::Malformed));
    assert_eq!(world.lock_range(patient(txn(1)), range("b", "a")), refused);
    assert_eq!(world.lock_range(patient(txn(2)), range("b", "b")), refused);
    let skip = with(txn(3), LockWait::Skip, 0, None);
    assert_eq!(world.lock(skip, ReadMode::Shared, "k"), refused);
    // Giving back what one does not have, or as somebody else, changes nothing.
    let given = granted(world.lock(patient(txn(4)), ReadMode::Exclusive, "k"));
    world.give_back(with(txn(4), LockWait::No, 0, Some(Incarnation(7))), None, "k");
    world.give_back(with(txn(4), LockWait::No, 0, None), None, "k");
    world.give_back(with(txn(5), LockWait::No, 0, given), None, "k");
    world.give_back(with(txn(4), LockWait::No, 0, given), None, "other");
    let now = with(txn(6), LockWait::No, 0, None);
    assert!(matches!(world.lock(now, ReadMode::Shared, "k"), Some(DataReply::Locked { .. })));
}
