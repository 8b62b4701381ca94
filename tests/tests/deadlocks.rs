//! Situations of deadlocks across shards, on real cores.

mod cluster;

use cluster::{Cluster, Fate};
use synod_common::deadlock::VictimPolicy;
use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::message::client::Outcome;
use synod_common::message::{CommitMessage, DeadlockMessage, Message};

/// A deadlock must be broken within so many milliseconds when nothing is lost.
const SOON: u64 = 40;

/// Each of `n` transactions holds one key, and asks for the one of the next.
fn ring(cluster: &mut Cluster, n: u64, shards: u64) -> Vec<TxnId> {
    let key = |i: u64| format!("{}/{i}", i % n % shards + 1);
    let txns: Vec<TxnId> = (1..=n).map(|i| cluster.txn(i)).collect();
    (0..n).for_each(|i| cluster.lock(txns[i as usize], &key(i)));
    (0..n).for_each(|i| cluster.lock(txns[i as usize], &key((i + 1) % n)));
    txns
}

/// The victim is the youngest; everybody else gets through, one after the other.
fn all_but_one_get_through(cluster: &mut Cluster, txns: &[TxnId]) {
    let (victim, others) = txns.split_last().expect("some");
    let deadlock = cluster.deadlock_of(*victim).expect("the youngest is the victim").clone();
    assert_eq!((deadlock.victim, deadlock.length as usize), (*victim, txns.len()));
    for (at, step) in deadlock.steps.iter().enumerate() {
        let next = &deadlock.steps[(at + 1) % txns.len()];
        assert_eq!(step.holder, next.waiter, "each waits for the next");
    }
    for txn in others.iter().rev() {
        assert_eq!(cluster.granted.get(txn), Some(&2), "{txn} has both keys");
        cluster.end(*txn);
    }
    assert_eq!((cluster.refused.len(), cluster.waiting()), (1, 0));
}

#[test]
fn rings_are_broken_soon_by_one_victim_the_youngest() {
    for (n, shards) in [(2, 2), (3, 2), (10, 2), (2, 4), (3, 4), (10, 4)] {
        let mut cluster = Cluster::new(shards as u16, VictimPolicy::Youngest);
        let txns = ring(&mut cluster, n, shards);
        assert_eq!(cluster.waiting(), n, "no shard sees a cycle");
        // Nothing happens from here on: the last wait is the deadlock itself.
        cluster.pass(SOON);
        all_but_one_get_through(&mut cluster, &txns);
        assert_eq!(cluster.counts(), (1, 0));
        let history = cluster.history();
        assert!(history.len() == 1 && history[0].local.is_none());
    }
}

#[test]
fn waits_that_meet_are_left_alone() {
    let mut cluster = Cluster::new(3, VictimPolicy::Youngest);
    let [t1, t2, t3, t4] = [1, 2, 3, 4].map(|n| cluster.txn(n));
    cluster.lock(t1, "1/a");
    cluster.lock(t2, "2/b");
    cluster.lock(t3, "3/c");
    // t4 waits for all others, t3 and t2 for t1: two paths from t4 meet in t1.
    cluster.lock(t2, "1/a");
    cluster.lock(t3, "1/a");
    cluster.lock(t4, "2/b");
    cluster.lock(t4, "3/c");
    cluster.lock(t4, "1/a");
    cluster.pass(1_000);
    assert_eq!((cluster.refused.len(), cluster.waiting()), (0, 5));
    assert_eq!(cluster.counts(), (0, 0));
    for txn in [t1, t2, t3, t4] {
        cluster.end(txn);
    }
}

#[test]
fn reports_that_get_lost_are_made_good() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Waits { .. }) => Fate::IsLost,
        _ => Fate::Arrives,
    });
    let txns = ring(&mut cluster, 2, 2);
    cluster.pass(500);
    assert_eq!(cluster.waiting(), 2);
    cluster.let_go();
    cluster.pass(SOON);
    all_but_one_get_through(&mut cluster, &txns);
}

#[test]
fn questions_answers_and_orders_that_get_lost_are_made_good() {
    let is: [fn(&DeadlockMessage) -> bool; 3] = [
        |message| matches!(message, DeadlockMessage::Confirm { .. }),
        |message| matches!(message, DeadlockMessage::Confirmed { .. }),
        |message| matches!(message, DeadlockMessage::Break { .. }),
    ];
    for is in is {
        let mut cluster = Cluster::new(4, VictimPolicy::Youngest);
        let mut lost = 0;
        cluster.fate(move |message| match message {
            Message::Deadlock(message) if is(message) && lost < 3 => {
                lost += 1;
                Fate::IsLost
            }
            _ => Fate::Arrives,
        });
        let txns = ring(&mut cluster, 3, 4);
        cluster.pass(SOON);
        assert_eq!(cluster.waiting(), 3, "something is missing");
        cluster.pass(3 * 600);
        all_but_one_get_through(&mut cluster, &txns);
    }
}

#[test]
fn what_comes_twice_has_one_victim() {
    let mut cluster = Cluster::new(4, VictimPolicy::Youngest);
    cluster.fate(|message| match message {
        Message::Deadlock(_) => Fate::ComesTwice,
        _ => Fate::Arrives,
    });
    let txns = ring(&mut cluster, 10, 4);
    cluster.pass(200);
    all_but_one_get_through(&mut cluster, &txns);
}

/// A report that is a second late tells of a cycle that is long over.
#[test]
fn a_late_report_breaks_nothing() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Waits { .. }) => Fate::Waits,
        _ => Fate::Arrives,
    });
    let txns = ring(&mut cluster, 2, 2);
    cluster.pass(15);
    // One gives up by itself; the other goes on and waits for a third.
    cluster.end(txns[1]);
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Waits { .. }) => Fate::IsLost,
        _ => Fate::Arrives,
    });
    let third = cluster.txn(3);
    cluster.lock(third, "2/c");
    cluster.lock(txns[0], "2/c");
    cluster.pass(1_000);
    cluster.let_go();
    cluster.pass(SOON);
    assert!(txns.iter().chain([&third]).all(|txn| cluster.deadlock_of(*txn).is_none()));
    assert_eq!(cluster.counts(), (0, 1), "it was asked about, and not so");
}

#[test]
fn a_shard_that_restarts_before_the_question_confirms_nothing() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Confirm { .. }) => Fate::Waits,
        _ => Fate::Arrives,
    });
    let [t1, t2] = ring(&mut cluster, 2, 2)[..] else { panic!("two") };
    cluster.pass(SOON);
    cluster.restart(2);
    // The same transactions meet again at the shard that forgot them: the first
    // one holds the key, the other one waits, with the numbers of a new life.
    cluster.forget_answers(t2);
    cluster.lock(t2, "2/1");
    cluster.let_go();
    cluster.pass(5);
    assert_eq!(cluster.refused.len(), 0);
    assert_eq!(cluster.counts().0, 0);
    assert_eq!(cluster.waiting(), 1, "{t1} holds nothing on s2 and waits for nothing there");
}

/// A lock whose answer was lost is held, and asked for again; nobody waits for himself.
#[test]
fn lost_answers_make_no_edges() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    let [t1, t2] = [1, 2].map(|n| cluster.txn(n));
    cluster.lock(t1, "1/a");
    cluster.lock(t1, "2/b");
    cluster.forget_answers(t1);
    cluster.lock(t1, "1/a");
    cluster.lock(t1, "2/b");
    cluster.lock(t2, "1/a");
    cluster.lock(t2, "2/b");
    cluster.pass(300);
    assert_eq!((cluster.refused.len(), cluster.waiting()), (0, 2));
    assert_eq!(cluster.counts(), (0, 0));
    cluster.end(t1);
    assert_eq!((cluster.granted[&t1], cluster.granted[&t2]), (4, 2));
}

/// Two commits that prepare in opposite orders: the victim is a NO vote that says why.
#[test]
fn a_victim_that_is_preparing_votes_no_with_the_cycle() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    let [t1, t2] = [1, 2].map(|n| cluster.txn(n));
    // PREPARE of the first one reaches only s1 at first.
    let mut seen = 0;
    cluster.fate(move |message| match message {
        Message::Commit(CommitMessage::Prepare { .. }) => {
            seen += 1;
            if seen == 2 { Fate::Waits } else { Fate::Arrives }
        }
        _ => Fate::Arrives,
    });
    cluster.commit(t1, &["1/a", "2/b"]);
    cluster.commit(t2, &["1/a", "2/b"]);
    cluster.let_go();
    assert_eq!(cluster.waiting(), 2, "each has prepared on one shard and waits on the other");
    cluster.pass(SOON);
    let deadlock = cluster.deadlock_of(t2).expect("the one that began later");
    assert_eq!((deadlock.victim, deadlock.length), (t2, 2));
    assert!(matches!(cluster.outcomes[&t1], Outcome::Committed(_)), "{:?}", cluster.outcomes);
}

#[test]
fn an_order_that_comes_after_the_wait_is_ignored() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Break { .. }) => Fate::Waits,
        _ => Fate::Arrives,
    });
    let [t1, t2] = ring(&mut cluster, 2, 2)[..] else { panic!("two") };
    cluster.pass(SOON);
    cluster.end(t1);
    // The victim got what it waited for, and votes.
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Break { .. }) => Fate::Waits,
        Message::Commit(CommitMessage::Decide { .. }) => Fate::Waits,
        _ => Fate::Arrives,
    });
    cluster.commit(t2, &["1/0", "2/1"]);
    assert!(matches!(cluster.outcomes[&t2], Outcome::Committed(_)), "{:?}", cluster.outcomes);
    cluster.let_go();
    assert_eq!(cluster.refused.get(&t1), Some(&Reason::ByClient));
    assert_eq!(cluster.refused.get(&t2), None);
}

#[test]
fn each_policy_has_its_victim() {
    let victim = |policy| {
        let mut cluster = Cluster::new(3, policy);
        let [t1, t2, t3] = [1, 2, 3].map(|n| cluster.txn(n));
        // t1 has the lowest priority, t2 the fewest locks, t3 is the youngest. Locks
        // count on all shards of the cycle together.
        cluster.priority.extend([(t1, 1), (t2, 9), (t3, 9)]);
        for (txn, keys) in [(t1, ["1/x", "1/y", "1/0"]), (t3, ["3/x", "3/y", "3/2"])] {
            keys.iter().for_each(|key| cluster.lock(txn, key));
        }
        cluster.lock(t2, "2/1");
        cluster.lock(t1, "2/1");
        cluster.lock(t2, "3/2");
        cluster.lock(t3, "1/0");
        cluster.pass(SOON);
        let victims: Vec<&TxnId> = cluster.refused.keys().collect();
        assert_eq!(victims.len(), 1);
        let told = cluster.deadlock_of(*victims[0]).expect("a deadlock");
        assert_eq!(told.policy, policy);
        victims[0].sequence
    };
    assert_eq!(victim(VictimPolicy::LowestPriority), 1);
    assert_eq!(victim(VictimPolicy::FewestLocks), 2);
    assert_eq!(victim(VictimPolicy::Youngest), 3);
}

#[test]
fn a_retried_transaction_keeps_its_age_and_gets_through() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    let mut other = cluster.txn(1);
    // Always against newcomers, which are younger from the second time on.
    let mut losses = 0;
    for round in 0..3 {
        let (old, new) = (cluster.txn(100 + round), cluster.txn(200 + round));
        cluster.age.insert(old, 50);
        if round == 0 {
            cluster.age.insert(new, 40);
        }
        cluster.lock(old, "1/a");
        cluster.lock(new, "2/b");
        cluster.lock(old, "2/b");
        cluster.lock(new, "1/a");
        cluster.pass(SOON);
        losses += u32::from(cluster.deadlock_of(old).is_some());
        other = old;
        cluster.end(old);
        cluster.end(new);
    }
    assert_eq!((losses, cluster.deadlock_of(other)), (1, None));
}

#[test]
fn deadlocks_within_a_shard_are_remembered_too() {
    let mut cluster = Cluster::new(2, VictimPolicy::Youngest);
    let [t1, t2] = [1, 2].map(|n| cluster.txn(n));
    cluster.lock(t1, "1/a");
    cluster.lock(t2, "1/b");
    cluster.lock(t1, "1/b");
    cluster.lock(t2, "1/a");
    assert!(matches!(cluster.refused[&t2], Reason::Deadlock(_)), "found at once");
    cluster.pass(SOON);
    let history = cluster.history();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].local.map(|shard| shard.0), Some(1));
    assert_eq!(Some(&history[0].deadlock), cluster.deadlock_of(t2));
}
