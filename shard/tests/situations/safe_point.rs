//! The safe point: what it refuses, and what holds it.

use super::*;

impl World {
    fn safe_point(&mut self, at: u64) {
        self.hear(CommitMessage::SafePoint { at: Timestamp(at) });
    }
}

fn too_old(oldest: u64) -> Option<DataReply> {
    Some(DataReply::Refused(Reason::SnapshotTooOld(Timestamp(oldest))))
}

#[test]
fn nothing_is_read_or_voted_at_or_below_it() {
    let mut world = World::new();
    world.put(1, 1050, "k", "old");
    world.put(2, 1060, "k", "new");
    assert_eq!(value_of(world.snapshot(1055, "k")).as_deref(), Some("old"));
    world.safe_point(1100);
    for at in [1055, 1100] {
        assert_eq!(world.snapshot(at, "k"), too_old(1101));
    }
    assert_eq!(value_of(world.snapshot(1101, "k")).as_deref(), Some("new"));
    // The floor is above it, too.
    world.safe_point(1200);
    world.prepare(txn(3), 1150, None, writes(&[("k", Some("newer"))]));
    world.sync();
    assert_eq!(world.votes().last(), Some(&Vote::Yes(Timestamp(1201))));
    // It does not move back.
    world.safe_point(1100);
    assert_eq!(world.snapshot(1150, "k"), too_old(1201));
}

#[test]
fn a_prepared_writer_holds_it_here_whatever_the_coordinator_says() {
    let mut world = World::new();
    world.put(1, 1050, "k", "old");
    world.prepare(txn(2), 1100, None, writes(&[("k", Some("new"))]));
    world.sync();
    world.safe_point(1200);
    assert_eq!(world.snapshot(1099, "k"), too_old(1100));
    // A reader between the two waits for the writer, and finds its version.
    assert_eq!(world.snapshot(1150, "k"), None);
    let before = world.sent.len();
    world.decide(txn(2), Decision::Commit(Timestamp(1120)));
    assert_eq!(value_of(world.replies(before).pop()).as_deref(), Some("new"));
    // Then it catches up by itself.
    world.now.mono = Mono(1_000_000);
    world.event(Event::Wake);
    assert_eq!(world.snapshot(1150, "k"), too_old(1201));
    assert_eq!(value_of(world.snapshot(1201, "k")).as_deref(), Some("new"));
}

#[test]
fn a_read_that_waited_is_looked_at_again() {
    let mut world = World::new();
    world.put(1, 1050, "k", "old");
    world.put(2, 1060, "k", "new");
    // Above every window that is known here: it waits for an answer.
    assert_eq!(world.snapshot(7000, "k"), None);
    world.safe_point(7500);
    let before = world.sent.len();
    world.hear(CommitMessage::Window { hi: Timestamp(8000) });
    assert_eq!(world.replies(before).pop(), too_old(7501));
}
