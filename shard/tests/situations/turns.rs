//! Whose turn it is when a lock becomes free: who holds locks goes first.

use std::time::Duration;

use synod_common::deadlock::Scheme;
use synod_common::key::Key;
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::data::LockRow;
use synod_common::message::deadlock::{Edge, Wait};

use super::locks::{granted, patient, with};
use super::*;

impl World {
    fn waits(&mut self, access: Access, key: &str) {
        assert_eq!(self.lock(access, ReadMode::Exclusive, key), None);
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
    }

    /// Who waits for a key, in the order of their turns.
    fn queue(&mut self, key: &str) -> Vec<TxnId> {
        let request = DataRequest::Locks { after: None, contended: true, limit: 0 };
        let Some(DataReply::Locks { locks, .. }) = self.ask(request) else { panic!("no list") };
        let mut rows = List::<LockRow>::read(&locks).map(Result::unwrap);
        let row = rows.find(|row| row.target.to_string() == format!("key {key}"));
        row.into_iter().flat_map(|row| row.waiters).map(|waiter| waiter.txn).collect()
    }
}

fn busy_elsewhere(txn: TxnId) -> Access {
    Access { holds_elsewhere: true, ..patient(txn) }
}

/// `k` is taken, and `t2`, who has nothing, waits for it.
fn a_newcomer_waits() -> World {
    let mut world = World::new();
    granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "k"));
    world.waits(patient(txn(2)), "k");
    world.pass(Duration::from_millis(1));
    world
}

#[test]
fn who_holds_locks_here_or_elsewhere_goes_in_front_of_who_holds_none() {
    let mut world = a_newcomer_waits();
    world.waits(busy_elsewhere(txn(3)), "k");
    granted(world.lock(patient(txn(4)), ReadMode::Exclusive, "own"));
    world.waits(patient(txn(4)), "k");
    world.waits(patient(txn(5)), "k");
    assert_eq!(world.queue("k"), [txn(3), txn(4), txn(2), txn(5)]);
}

#[test]
fn who_commits_on_several_shards_goes_in_front() {
    let mut world = a_newcomer_waits();
    world.one_phase(txn(3), 1100, writes(&[("k", Some("new"))]));
    world.prepare(txn(4), 1100, None, writes(&[("k", Some("new"))]));
    assert_eq!(world.queue("k"), [txn(4), txn(2), txn(3)]);
}

#[test]
fn nobody_goes_in_front_of_who_has_let_others_pass_for_long_enough() {
    let mut world = a_newcomer_waits();
    world.pass(settings().lock_timeout / 10);
    world.waits(busy_elsewhere(txn(3)), "k");
    assert_eq!(world.queue("k"), [txn(2), txn(3)]);
}

#[test]
fn who_does_not_wait_passes_those_who_hold_nothing_too() {
    let mut world = a_newcomer_waits();
    granted(world.lock(patient(txn(3)), ReadMode::Shared, "s"));
    world.waits(patient(txn(4)), "s");
    let now = |txn, holds_elsewhere| Access { holds_elsewhere, ..with(txn, LockWait::No, 0, None) };
    let reply = world.lock(now(txn(5), false), ReadMode::Shared, "s");
    assert!(matches!(reply, Some(DataReply::Locked { .. })), "{reply:?}");
    granted(world.lock(now(txn(6), true), ReadMode::Shared, "s"));
}

/// In front of an older one, a younger one would be aborted.
#[test]
fn where_older_ones_wound_the_oldest_is_the_first() {
    let mut world = prevented(Scheme::WoundWait);
    granted(world.lock(aged(1, patient), ReadMode::Exclusive, "k"));
    world.waits(aged(4, busy_elsewhere), "k");
    world.waits(aged(3, patient), "k");
    world.waits(aged(2, patient), "k");
    assert_eq!(world.queue("k"), [txn(2), txn(3), txn(4)]);
}

/// Behind an older one, a younger one would be aborted.
#[test]
fn where_younger_ones_die_the_first_to_come_is_the_first() {
    let mut world = prevented(Scheme::WaitDie);
    granted(world.lock(aged(4, patient), ReadMode::Exclusive, "k"));
    world.waits(aged(3, patient), "k");
    world.waits(aged(2, patient), "k");
    world.waits(aged(1, busy_elsewhere), "k");
    assert_eq!(world.queue("k"), [txn(3), txn(2), txn(1)]);
}

fn prevented(scheme: Scheme) -> World {
    let mut world = World::recover(settings(), vec![], None);
    world.handling.scheme = scheme;
    world.welcome(1, 1000);
    world
}

/// The smaller its number, the older.
fn aged(number: u64, access: fn(TxnId) -> Access) -> Access {
    let standing = Standing { age: Timestamp(number), priority: 100 };
    Access { standing, ..access(txn(number)) }
}

/// A wait is confirmed only if its holder has been in the way all the time: not if he
/// gave back his lock and asked for it again, in front of the one who waits.
#[test]
fn a_lock_given_back_and_asked_for_again_is_another_wait() {
    let mut world = World::recover(settings(), vec![], None);
    world.placement = placement(Partition::Range(vec![Key::from("z")]), &[1, 2]);
    world.welcome(1, 1000);
    granted(world.lock(patient(txn(1)), ReadMode::Shared, "k"));
    let given = granted(world.lock(busy_elsewhere(txn(2)), ReadMode::Shared, "k"));
    world.waits(patient(txn(3)), "k");
    let edge = world.told_edge(txn(3), txn(2));
    assert!(world.confirms(edge));
    world.give_back(with(txn(2), LockWait::No, 0, given), None, "k");
    assert!(!world.confirms(edge));
    let again = Access { returns: 1, incarnation: given, ..busy_elsewhere(txn(2)) };
    granted(world.lock(again, ReadMode::Shared, "k"));
    // The same wait for the same holder, but not all the time.
    assert!(!world.confirms(edge));
    assert!(world.confirms(Edge { returns: 1, ..edge }));
}

/// The same, if the one who waits was in the way of the other's request, and gives that
/// back: he waits for him again.
#[test]
fn a_lock_that_the_waiter_gives_back_makes_another_wait_too() {
    let mut world = World::recover(settings(), vec![], None);
    world.placement = placement(Partition::Range(vec![Key::from("z")]), &[1, 2]);
    world.welcome(1, 1000);
    granted(world.lock(patient(txn(1)), ReadMode::Exclusive, "k"));
    world.waits(busy_elsewhere(txn(2)), "k");
    world.waits(busy_elsewhere(txn(3)), "k");
    let edge = world.told_edge(txn(3), txn(2));
    assert!(world.confirms(edge));
    let given = granted(world.lock(busy_elsewhere(txn(3)), ReadMode::Exclusive, "own"));
    world.give_back(with(txn(3), LockWait::No, 0, given), None, "own");
    assert!(!world.confirms(edge));
    assert!(world.confirms(Edge { returns: 1, ..edge }));
}

impl World {
    fn told_edge(&mut self, waiter: TxnId, holder: TxnId) -> Edge {
        self.pass(settings().report_after);
        self.event(Event::Wake);
        let told = self.sent.iter().rev().find_map(|(_, message)| match message {
            Message::Deadlock(DeadlockMessage::Waits { waits, .. }) => Some(waits.clone()),
            _ => None,
        });
        let told = told.expect("a report");
        let mut waits = List::<Wait>::read(&told).map(Result::unwrap);
        let wait = waits.find(|wait| wait.waiter.txn == waiter).expect("it waits");
        let found = wait.holders.iter().find(|known| known.txn == holder).expect("it is there");
        Edge { waiter, wait: wait.wait, holder, returns: found.returns }
    }

    fn confirms(&mut self, edge: Edge) -> bool {
        self.hear(DeadlockMessage::Confirm { candidate: 1, edges: List::of(&[edge]) });
        match self.sent.last() {
            Some((_, Message::Deadlock(DeadlockMessage::Confirmed { stands, .. }))) => *stands,
            other => panic!("{other:?}"),
        }
    }
}
