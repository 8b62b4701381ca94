//! What the coordinator tells people of the commits in progress.

use synod_common::message::bulk::List;
use synod_common::message::txns::{Commit, CommitStage};

use super::*;

impl World {
    fn commits(&mut self, after: Option<TxnId>, limit: u32) -> (Vec<Commit>, Option<TxnId>) {
        match self.ask(ClientRequest::Commits { after, limit }) {
            Some(ClientReply::Commits { resume, commits }) => {
                (List::read(&commits).map(Result::unwrap).collect(), resume)
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn commit_of(&mut self, txn: TxnId) -> Option<Commit> {
        match self.ask(ClientRequest::CommitOf { txn }) {
            Some(ClientReply::CommitOf(found)) => found.map(|found| *found),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn after_ms(&mut self, ms: u64) {
        self.now.mono.0 += ms * 1_000;
    }
}

#[test]
fn each_stage_says_whom_it_waits_for_and_since_when() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit(txn, &[1, 2]);
    let h = world.h(txn);
    world.after_ms(10);
    world.hear(1, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    world.after_ms(10);
    let shown = |stage, for_ms| {
        Some(Commit { txn, h, protocol: Protocol::TwoPhase, stage, for_ms, at_least: false })
    };
    let (one, two) = (vec![ShardId(1)], vec![ShardId(2)]);
    let stage = CommitStage::Preparing { yes: one.clone(), read: vec![], missing: two.clone() };
    assert_eq!(world.commit_of(txn), shown(stage, 20));
    world.hear(2, CommitMessage::Vote { txn, vote: Vote::Read(h) });
    world.after_ms(3);
    let stage = CommitStage::Deciding { at: h, yes: one.clone(), read: two };
    assert_eq!(world.commit_of(txn), shown(stage, 3));
    world.sync();
    world.after_ms(4);
    let stage = CommitStage::Committing { at: h, unacknowledged: one };
    assert_eq!(world.commit_of(txn), shown(stage.clone(), 4));

    let mut world = world.crash();
    world.after_ms(6);
    let h = Timestamp::ZERO;
    let again = Commit { txn, h, protocol: Protocol::TwoPhase, stage, for_ms: 6, at_least: true };
    assert_eq!(world.commit_of(txn), Some(again));
    world.join_all(Epoch(2));
    world.hear(1, CommitMessage::Ack { txns: vec![txn] });
    assert_eq!(world.commit_of(txn), None);
}

/// Asking how far it is does not fence, as asking for the outcome does.
#[test]
fn the_list_comes_in_pages_and_changes_nothing() {
    let mut world = World::joined();
    let session = world.session();
    let txns = [1, 2, 3].map(|sequence| TxnId { session, sequence });
    assert_eq!(world.commit_of(txns[0]), None);
    world.commit(txns[0], &[1]);
    world.commit(txns[1], &[1, 2]);
    world.commit(txns[2], &[2]);
    let (all, resume) = world.commits(None, 0);
    assert_eq!((all.len(), resume), (3, None));
    assert_eq!(all[2].stage, CommitStage::OnePhase { shard: ShardId(2), read: vec![] });
    let (page, resume) = world.commits(None, 2);
    assert_eq!((&page[..], resume), (&all[..2], Some(txns[1])));
    let (page, resume) = world.commits(resume, 2);
    assert_eq!((&page[..], resume), (&all[2..], None));
}
