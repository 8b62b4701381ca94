//! What the shard tells people of its transactions.

use synod_common::message::bulk::List;
use synod_common::message::txns::{Holds, ShardStage, ShardTxn};

use super::*;

impl World {
    fn page(&mut self, after: Option<TxnId>, in_doubt: bool, limit: u32) -> (Vec<ShardTxn>, bool) {
        let request = DataRequest::Txns { after, in_doubt, limit };
        let Some(DataReply::Txns { resume, txns }) = self.ask(request) else { panic!("no list") };
        let rows: Vec<ShardTxn> = List::read(&txns).map(Result::unwrap).collect();
        assert!(resume.is_none_or(|resume| rows.last().map(|row| row.txn) == Some(resume)));
        (rows, resume.is_some())
    }

    fn in_doubt(&mut self) -> Vec<TxnId> {
        self.page(None, true, 0).0.iter().map(|row| row.txn).collect()
    }

    fn show(&mut self, txn: TxnId, locks: u32) -> Option<(ShardTxn, Holds)> {
        match self.ask(DataRequest::Txn { txn, locks }) {
            Some(DataReply::Txn(found)) => found.map(|found| *found),
            other => panic!("{other:?}"),
        }
    }

    fn oldest_in_doubt(&mut self) -> Timestamp {
        match self.ask(DataRequest::Status) {
            Some(DataReply::Status(status)) => status.oldest_in_doubt,
            other => panic!("{other:?}"),
        }
    }

    fn after_ms(&mut self, ms: u64) {
        self.now.mono.0 += ms * 1_000;
    }
}

fn prepared(h: u64) -> ShardStage {
    ShardStage::Prepared {
        h: Timestamp(h),
        m: Timestamp(h),
        participants: vec![ShardId(1), ShardId(2)],
        coordinator: CoordinatorId(1),
        asked: 0,
        protocol: Protocol::TwoPhase,
        site: None,
    }
}

#[test]
fn who_is_in_doubt_is_told_with_its_locks_and_who_waits_for_them() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, writes(&[("a", Some("1")), ("b", Some("1"))]));
    world.sync();
    world.after_ms(20);
    world.read(txn(2), "c", ReadMode::Shared);
    assert_eq!(world.read(txn(3), "a", ReadMode::Shared), None);
    world.after_ms(5);

    let (rows, more) = world.page(None, false, 0);
    let of = |row: &ShardTxn| (row.txn, row.for_ms, row.at_least, row.locks, row.waiting);
    let shown: Vec<_> = rows.iter().map(of).collect();
    let expected = [(1, 25, 2, 0), (2, 5, 1, 0), (3, 5, 0, 1)];
    let expected = expected.map(|(n, ms, locks, waits)| (txn(n), ms, false, locks, waits));
    assert_eq!((shown, more), (expected.to_vec(), false));
    assert_eq!(rows[0].stage, prepared(1100));
    assert_eq!(world.in_doubt(), [txn(1)]);
    assert_eq!(world.oldest_in_doubt(), Timestamp(1100));

    let (row, holds) = world.show(txn(1), 1).unwrap();
    assert_eq!(row, rows[0]);
    let locks: Vec<String> =
        holds.locks.iter().map(|(target, mode)| format!("{mode} {target}")).collect();
    assert_eq!((locks, holds.more_waiters), (vec!["X key a".to_owned()], 0));
    assert_eq!(holds.waiters, [(txn(3), 5)]);
    assert_eq!(world.show(txn(2), 9).map(|(_, holds)| holds.waiters), Some(vec![]));
    assert_eq!(world.show(txn(9), 9), None);

    world.decide(txn(1), Decision::Commit(Timestamp(1100)));
    assert_eq!((world.in_doubt(), world.oldest_in_doubt()), (vec![], Timestamp::ZERO));
    assert_eq!(world.show(txn(1), 9), None);
}

/// A reader that voted holds locks for the outcome, too; whoever decides alone or has
/// not voted is in no doubt.
#[test]
fn in_doubt_is_who_voted_and_does_not_know() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "a", ReadMode::Shared));
    world.prepare(txn(1), 1100, given, writes(&[]));
    world.one_phase(txn(2), 1101, writes(&[("b", Some("2"))]));
    assert_eq!(world.read(txn(3), "c", ReadMode::Shared).map(drop), Some(()));
    world.prepare(txn(4), 1102, None, writes(&[("c", Some("4"))]));
    let stages: Vec<ShardStage> =
        world.page(None, false, 0).0.into_iter().map(|row| row.stage).collect();
    let (coordinator, asked) = (CoordinatorId(1), 0);
    let (one, two) = (Timestamp(1100), Timestamp(1101));
    let participants = vec![ShardId(1), ShardId(2)];
    let expected = [
        ShardStage::ReadVoted { h: one, m: one, coordinator, asked, protocol: Protocol::TwoPhase },
        ShardStage::OnePhase { h: two, m: two, coordinator, asked },
        ShardStage::Active,
        ShardStage::Preparing { h: Timestamp(1102), participants, coordinator },
    ];
    assert_eq!(stages, expected);
    assert_eq!((world.in_doubt(), world.oldest_in_doubt()), (vec![txn(1)], one));
    let stats = world.shard.stats();
    assert_eq!((stats.in_doubt, stats.read_in_doubt), (0, 1));
}

/// What a restart found prepared is as old as the restart, or older; and it is told
/// before the coordinator has welcomed the shard.
#[test]
fn after_a_restart_it_is_so_since_then_at_least() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, writes(&[("a", Some("1"))]));
    world.sync();
    world.after_ms(500);
    let mut world = world.crash();
    world.after_ms(30);
    let (rows, _) = world.page(None, true, 0);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].for_ms, rows[0].at_least), (30, true));
    assert_eq!((&rows[0].stage, rows[0].age), (&prepared(1100), OLDEST.age));
    assert_eq!(world.oldest_in_doubt(), Timestamp(1100));
}

#[test]
fn the_list_comes_in_pages() {
    let mut world = World::new();
    for n in 1..=5 {
        world.prepare(txn(n), 1100 + n, None, writes(&[(&format!("k{n}"), Some("v"))]));
    }
    let (all, more) = world.page(None, false, 5);
    assert_eq!((all.len(), more), (5, false));
    let (mut paged, mut more) = world.page(None, true, 2);
    while more {
        let (next, then) = world.page(paged.last().map(|row| row.txn), true, 2);
        paged.extend(next);
        more = then;
    }
    assert_eq!(paged, all);
}
