//! Validation: what a transaction that did not lock its reads is owed at PREPARE.

use synod_common::message::bulk::ReadSet;

use super::*;

/// What was read at a snapshot, as PREPARE carries it in front of the writes.
fn reads(keys: &[&str], range: Option<(&str, &str)>) -> Bytes {
    let mut set = ReadSet::default();
    keys.iter().for_each(|key| set.push_key(key.as_bytes()));
    if let Some((start, end)) = range {
        set.push_range(start.as_bytes(), Some(end.as_bytes()));
    }
    set.finish()
}

impl World {
    /// PREPARE with a validation; says what was voted, if anything was.
    fn validate(
        &mut self,
        sequence: u64,
        h: u64,
        validation: Validation,
        reads: &Bytes,
        writes: &Bytes,
    ) -> Option<Vote> {
        let before = self.votes().len();
        self.hear(CommitMessage::Prepare {
            txn: txn(sequence),
            h: Timestamp(h),
            hi: Timestamp(99 << 16),
            incarnation: None,
            low_water: Timestamp::ZERO,
            participants: vec![ShardId(1), ShardId(2)],
            acceptors: vec![],
            implicit: false,
            terms: terms(validation),
            read_bytes: reads.len() as u32,
            writes: [reads.as_ref(), writes.as_ref()].concat().into(),
        });
        self.sync();
        self.votes().get(before).map(|vote| (*vote).clone())
    }
}

#[test]
fn of_two_that_write_a_key_after_the_same_snapshot_the_first_wins() {
    let mut world = World::new();
    world.put(1, 1100, "k", "old");
    let at = Validation::Writes(Timestamp(1150));
    let none = Bytes::new();
    world.put(2, 1200, "k", "first");
    let late = world.validate(3, 1300, at, &none, &writes(&[("k", Some("second"))]));
    assert_eq!(late, Some(Vote::No(Reason::Conflict)));
    let other = world.validate(4, 1300, at, &none, &writes(&[("other", Some("x"))]));
    assert!(matches!(other, Some(Vote::Yes(_))));
    let fresh = Validation::Writes(Timestamp(1250));
    let fresh = world.validate(5, 1300, fresh, &none, &writes(&[("k", None)]));
    assert!(matches!(fresh, Some(Vote::Yes(_))));
}

#[test]
fn what_an_optimistic_transaction_read_must_not_have_changed() {
    let mut world = World::new();
    world.put(1, 1100, "k", "old");
    let at = Validation::Reads(Timestamp(1150));
    let write = writes(&[("w", Some("x"))]);
    world.put(2, 1200, "k", "new");
    for (sequence, read) in [(3, reads(&["k"], None)), (4, reads(&[], Some(("j", "l"))))] {
        let vote = world.validate(sequence, 1300, at, &read, &write);
        assert_eq!(vote, Some(Vote::No(Reason::Conflict)));
    }
    // A deletion is a change, and so is what did not exist.
    world.one_phase(txn(5), 1400, writes(&[("gone", None)]));
    world.sync();
    let vote = world.validate(6, 1500, at, &reads(&["gone"], None), &write);
    assert_eq!(vote, Some(Vote::No(Reason::Conflict)));
    let vote = world.validate(7, 1500, at, &reads(&["a"], Some(("l", "n"))), &write);
    assert!(matches!(vote, Some(Vote::Yes(_))));
}

/// It votes at once, whoever is in the way, and what it has read stays as it is
/// until it is decided.
#[test]
fn an_optimistic_transaction_locks_what_it_read_and_does_not_wait_for_it() {
    let mut world = World::new();
    let at = Validation::Reads(Timestamp(1010));
    let (read, write) = (reads(&["k"], None), writes(&[("w", Some("x"))]));
    assert!(world.read(txn(1), "k", ReadMode::Exclusive).is_some());
    let vote = world.validate(2, 1100, at, &read, &write);
    assert_eq!(vote, Some(Vote::No(Reason::Conflict)));
    world.ask(DataRequest::Abort { txn: txn(1) });
    let vote = world.validate(3, 1100, at, &read, &Bytes::new());
    assert!(matches!(vote, Some(Vote::Read(_))));
    let (voted, none) = (world.votes().len(), Bytes::new());
    world.validate(4, 1200, Validation::Locked, &none, &writes(&[("k", Some("late"))]));
    assert_eq!(world.votes().len(), voted, "the writer waits");
    world.hear(CommitMessage::Release { txn: txn(3), at: Timestamp(1100) });
    world.sync();
    assert!(matches!(world.votes().last(), Some(Vote::Yes(_))));
}

#[test]
fn a_snapshot_that_is_not_of_the_past_is_refused_at_prepare() {
    let mut world = World::new();
    let (none, write) = (Bytes::new(), writes(&[("w", Some("x"))]));
    for at in [1100, 2000, u64::MAX] {
        let vote = world.validate(at, 1100, Validation::Writes(Timestamp(at)), &none, &write);
        assert_eq!(vote, Some(Vote::No(Reason::SnapshotInFuture)));
    }
    let mut malformed = reads(&["k"], None).to_vec();
    malformed.pop();
    let vote = world.validate(1, 1100, Validation::Reads(Timestamp(9)), &malformed.into(), &write);
    assert_eq!(vote, Some(Vote::No(Reason::Malformed)));
}

/// A tombstone above the snapshot may be gone already.
#[test]
fn a_snapshot_below_the_safe_point_is_not_validated_but_refused() {
    below_the_safe_point(settings());
}

/// Rare in the simulator, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "SnapshotTooOld")]
fn validation_below_the_safe_point_is_noticed() {
    let mutant = Some(synod_shard::Mutant::ValidateBelowSafePoint);
    below_the_safe_point(Settings { mutant, ..settings() });
}

fn below_the_safe_point(settings: Settings) {
    let mut world = World::recover(settings, vec![], None);
    world.welcome(1, 1000);
    world.put(1, 1100, "k", "old");
    world.one_phase(txn(2), 1200, writes(&[("k", None)]));
    world.sync();
    world.hear(CommitMessage::SafePoint { at: Timestamp(1300) });
    let at = Validation::Writes(Timestamp(1150));
    let vote = world.validate(4, 1400, at, &Bytes::new(), &writes(&[("k", Some("x"))]));
    assert!(
        matches!(vote, Some(Vote::No(Reason::SnapshotTooOld(_)))),
        "not SnapshotTooOld but {vote:?}"
    );
}
