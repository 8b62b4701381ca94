//! Situations of deadlocks across shards, on real cores.

mod cluster;
mod graphs;

use cluster::{Cluster, Fate};
use synod_common::deadlock::{Cause, Handling, Scheme, VictimPolicy};
use synod_common::error::Reason;
use synod_common::id::TxnId;
use synod_common::message::client::Outcome;
use synod_common::message::{CommitMessage, DeadlockMessage, Message};

/// The schemes that look for cycles. What is promised is the same for both.
const DETECTING: [Scheme; 2] = [Scheme::Graph, Scheme::Probes];
/// The schemes that let none come into being.
const PREVENTING: [Scheme; 2] = [Scheme::WoundWait, Scheme::WaitDie];

fn youngest(scheme: Scheme) -> Handling {
    Handling { scheme, victim: VictimPolicy::Youngest }
}

/// What breaks a deadlock.
fn is_order(message: &DeadlockMessage) -> bool {
    matches!(message, DeadlockMessage::Break { .. } | DeadlockMessage::LetGo { .. })
}

/// What tells others of waits.
fn tells_of_waits(message: &Message) -> bool {
    use DeadlockMessage::{Probes, Waits};
    matches!(message, Message::Deadlock(Waits { .. } | Probes { .. }))
}

/// A deadlock must be broken within so many milliseconds when nothing is lost.
const SOON: u64 = 40;

/// And within so many after something was.
const LATER: u64 = 200;

/// Each of `n` transactions holds one key, and asks for the one of the next.
fn ring(cluster: &mut Cluster, n: u64, shards: u64) -> Vec<TxnId> {
    let key = |i: u64| format!("{}/{i}", i % n % shards + 1);
    let txns: Vec<TxnId> = (1..=n).map(|i| cluster.txn(i)).collect();
    (0..n).for_each(|i| cluster.lock(txns[i as usize], &key(i)));
    (0..n).for_each(|i| cluster.lock(txns[i as usize], &key((i + 1) % n)));
    txns
}

/// The oldest waits for the youngest, so that a probe that begins there does not end
/// where the victim waits. In the order in which all but the last get through.
fn ring_with_the_youngest_inside(cluster: &mut Cluster) -> [TxnId; 3] {
    let [t1, t2, t3] = [1, 2, 3].map(|n| cluster.txn(n));
    for (txn, key) in [(t1, "1/a"), (t3, "2/a"), (t2, "3/a")] {
        cluster.lock(txn, key);
    }
    for (txn, key) in [(t1, "2/a"), (t3, "3/a"), (t2, "1/a")] {
        cluster.lock(txn, key);
    }
    [t1, t2, t3]
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
    let mut left = others.to_vec();
    while !left.is_empty() {
        let done = left.iter().position(|txn| cluster.has(*txn, 2)).expect("one has both keys");
        cluster.end(left.remove(done));
    }
    assert_eq!((cluster.refused.len(), cluster.waiting()), (1, 0));
}

#[test]
fn rings_are_broken_soon_by_one_victim_the_youngest() {
    for scheme in DETECTING {
        for (n, shards) in [(2, 2), (3, 2), (10, 2), (2, 4), (3, 4), (10, 4)] {
            let mut cluster = Cluster::new(shards as u16, youngest(scheme));
            let txns = ring(&mut cluster, n, shards);
            assert_eq!(cluster.waiting(), n, "no shard sees a cycle");
            // Nothing happens from here on: the last wait is the deadlock itself.
            cluster.pass(SOON);
            all_but_one_get_through(&mut cluster, &txns);
            let history = cluster.history();
            assert!(history.len() == 1 && history[0].local.is_none(), "{history:?}");
        }
    }
}

#[test]
fn waits_that_meet_are_left_alone() {
    DETECTING.into_iter().for_each(waits_that_meet);
}

fn waits_that_meet(scheme: Scheme) {
    let mut cluster = Cluster::new(3, youngest(scheme));
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
fn what_is_told_of_waits_and_gets_lost_is_made_good() {
    for scheme in DETECTING {
        let mut cluster = Cluster::new(2, youngest(scheme));
        cluster.fate(|message| match message {
            message if tells_of_waits(message) => Fate::IsLost,
            _ => Fate::Arrives,
        });
        let txns = ring(&mut cluster, 2, 2);
        cluster.pass(500);
        assert_eq!(cluster.waiting(), 2);
        cluster.let_go();
        cluster.pass(LATER);
        all_but_one_get_through(&mut cluster, &txns);
    }
}

#[test]
fn questions_answers_and_orders_that_get_lost_are_made_good() {
    let is: [fn(&DeadlockMessage) -> bool; 3] = [
        |message| matches!(message, DeadlockMessage::Confirm { .. }),
        |message| matches!(message, DeadlockMessage::Confirmed { .. }),
        is_order,
    ];
    for (scheme, is) in DETECTING.into_iter().flat_map(|scheme| is.map(|is| (scheme, is))) {
        let mut cluster = Cluster::new(4, youngest(scheme));
        cluster.fate(move |message| match message {
            Message::Deadlock(message) if is(message) => Fate::IsLost,
            _ => Fate::Arrives,
        });
        let txns = ring_with_the_youngest_inside(&mut cluster);
        cluster.pass(SOON);
        assert_eq!(cluster.waiting(), 3, "something is missing");
        cluster.let_go();
        cluster.pass(3 * 600);
        all_but_one_get_through(&mut cluster, &txns);
    }
}

#[test]
fn what_comes_twice_has_one_victim() {
    for scheme in DETECTING {
        let mut cluster = Cluster::new(4, youngest(scheme));
        cluster.fate(|message| match message {
            Message::Deadlock(_) => Fate::ComesTwice,
            _ => Fate::Arrives,
        });
        let txns = ring(&mut cluster, 10, 4);
        cluster.pass(200);
        all_but_one_get_through(&mut cluster, &txns);
    }
}

/// What is a second late tells of a cycle that is long over.
#[test]
fn late_news_of_waits_break_nothing() {
    DETECTING.into_iter().for_each(late_news);
}

fn late_news(scheme: Scheme) {
    let mut cluster = Cluster::new(2, youngest(scheme));
    cluster.fate(|message| match message {
        message if tells_of_waits(message) => Fate::Waits,
        _ => Fate::Arrives,
    });
    let txns = ring(&mut cluster, 2, 2);
    cluster.pass(15);
    // One gives up by itself; the other goes on and waits for a third.
    cluster.end(txns[1]);
    cluster.fate(|message| match message {
        message if tells_of_waits(message) => Fate::IsLost,
        _ => Fate::Arrives,
    });
    let third = cluster.txn(3);
    cluster.lock(third, "2/c");
    cluster.lock(txns[0], "2/c");
    cluster.pass(1_000);
    cluster.let_go();
    cluster.pass(SOON);
    assert!(txns.iter().chain([&third]).all(|txn| cluster.deadlock_of(*txn).is_none()));
    if scheme == Scheme::Graph {
        assert_eq!(cluster.counts(), (0, 1), "it was asked about, and not so");
    }
}

#[test]
fn a_shard_that_restarts_before_the_question_confirms_nothing() {
    DETECTING.into_iter().for_each(a_shard_restarts);
}

fn a_shard_restarts(scheme: Scheme) {
    let mut cluster = Cluster::new(2, youngest(scheme));
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
    // The older one has the keys, for which under wait-die nobody younger waits.
    let all = [Scheme::Graph, Scheme::Probes, Scheme::WoundWait];
    all.into_iter().for_each(lost_answers);
}

fn lost_answers(scheme: Scheme) {
    let mut cluster = Cluster::new(2, youngest(scheme));
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
fn a_victim_that_is_preparing_votes_no_and_says_why() {
    Scheme::ALL.into_iter().for_each(two_prepare);
}

fn two_prepare(scheme: Scheme) {
    let mut cluster = Cluster::new(2, youngest(scheme));
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
    let detects = DETECTING.contains(&scheme);
    if detects {
        assert_eq!(cluster.waiting(), 2, "each has prepared on one shard and waits on the other");
    }
    cluster.pass(SOON);
    let deadlock = cluster.deadlock_of(t2).expect("the one that began later");
    assert_eq!((deadlock.victim, deadlock.length), (t2, if detects { 2 } else { 1 }));
    assert!(matches!(cluster.outcomes[&t1], Outcome::Committed(_)), "{:?}", cluster.outcomes);
}

#[test]
fn an_order_that_comes_after_the_wait_is_ignored() {
    DETECTING.into_iter().for_each(a_late_order);
}

fn a_late_order(scheme: Scheme) {
    let mut cluster = Cluster::new(3, youngest(scheme));
    cluster.fate(|message| match message {
        Message::Deadlock(message) if is_order(message) => Fate::Waits,
        _ => Fate::Arrives,
    });
    let [t1, t2, t3] = ring_with_the_youngest_inside(&mut cluster);
    cluster.pass(SOON);
    cluster.end(t2);
    // The victim got what it waited for, and votes.
    cluster.fate(|message| match message {
        Message::Deadlock(message) if is_order(message) => Fate::Waits,
        Message::Commit(CommitMessage::Decide { .. }) => Fate::Waits,
        _ => Fate::Arrives,
    });
    cluster.commit(t3, &["2/a", "3/a"]);
    assert!(matches!(cluster.outcomes[&t3], Outcome::Committed(_)), "{:?}", cluster.outcomes);
    cluster.let_go();
    assert_eq!(cluster.refused.get(&t2), Some(&Reason::ByClient));
    assert_eq!(cluster.refused.get(&t3), None);
    assert!(cluster.has(t1, 2));
}

#[test]
fn a_victim_lets_go_of_its_locks_before_its_client_hears() {
    for scheme in DETECTING {
        let mut cluster = Cluster::new(3, youngest(scheme));
        cluster.client_is_slow = true;
        let [t1, t2, t3] = ring_with_the_youngest_inside(&mut cluster);
        cluster.pass(SOON);
        assert!(cluster.has(t1, 2), "it waited for the victim");
        let told = cluster.deadlock_of(t3).cloned().expect("where it waited");
        // Coming back to where it held the lock, it is told the same.
        cluster.refused.clear();
        cluster.lock(t3, "2/b");
        assert_eq!(cluster.deadlock_of(t3), Some(&told));
        [t1, t2, t3].into_iter().for_each(|txn| cluster.end(txn));
    }
}

#[test]
fn each_policy_has_its_victim() {
    let victim = |scheme, victim| {
        let mut cluster = Cluster::new(3, Handling { scheme, victim });
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
        assert_eq!(told.cause, Cause::Cycle(victim));
        victims[0].sequence
    };
    for scheme in DETECTING {
        assert_eq!(victim(scheme, VictimPolicy::LowestPriority), 1);
        assert_eq!(victim(scheme, VictimPolicy::FewestLocks), 2);
        assert_eq!(victim(scheme, VictimPolicy::Youngest), 3);
    }
}

#[test]
fn a_retried_transaction_keeps_its_age_and_gets_through() {
    Scheme::ALL.into_iter().for_each(against_newcomers);
}

fn against_newcomers(scheme: Scheme) {
    let mut cluster = Cluster::new(2, youngest(scheme));
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
        // Who was wounded while it waited elsewhere is told when it comes back.
        if scheme == Scheme::WoundWait {
            cluster.lock(old, "1/c");
        }
        losses += u32::from(cluster.deadlock_of(old).is_some());
        other = old;
        cluster.end(old);
        cluster.end(new);
    }
    assert_eq!((losses, cluster.deadlock_of(other)), (1, None), "{scheme}");
}

#[test]
fn deadlocks_within_a_shard_are_remembered_too() {
    DETECTING.into_iter().for_each(within_a_shard);
}

fn within_a_shard(scheme: Scheme) {
    let mut cluster = Cluster::new(2, youngest(scheme));
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

/// However they stand: nobody waits for ever, whoever goes is told why, and is younger
/// than whom it met.
#[test]
fn where_deadlocks_are_prevented_rings_do_not_close() {
    for scheme in PREVENTING {
        for (n, shards) in [(2, 1), (2, 2), (3, 2), (10, 2), (2, 4), (3, 4), (10, 4)] {
            let mut cluster = Cluster::new(shards as u16, youngest(scheme));
            let txns = ring(&mut cluster, n, shards);
            assert_eq!(cluster.deadlock_of(txns[0]), None, "nobody is younger than the oldest");
            cluster.pass(LATER);
            // Whoever has all that it asked for ends, until nobody is left.
            for _ in 0..n {
                let done: Vec<TxnId> =
                    txns.iter().copied().filter(|t| cluster.has(*t, 2)).collect();
                done.into_iter().for_each(|txn| cluster.end(txn));
            }
            assert_eq!(cluster.waiting(), 0);
            for txn in &txns {
                let gone = cluster.deadlock_of(*txn);
                assert!(gone.is_some() != cluster.has(*txn, 2), "{scheme} {n} {shards} {txn}");
                let Some(deadlock) = gone else { continue };
                let [step] = &deadlock.steps[..] else { panic!("{deadlock}") };
                let other = if step.waiter == *txn { step.holder } else { step.waiter };
                assert!(deadlock.victim == *txn && other < *txn, "{deadlock}");
            }
            cluster.pass(5);
            assert!(!cluster.history().is_empty());
        }
    }
}

#[test]
fn an_older_one_wounds_and_a_younger_one_waits() {
    let mut cluster = Cluster::new(1, youngest(Scheme::WoundWait));
    let [t1, t2, t3] = [1, 2, 3].map(|n| cluster.txn(n));
    cluster.lock(t2, "1/a");
    cluster.lock(t3, "1/a");
    assert_eq!(cluster.waiting(), 1, "the younger one waits");
    cluster.lock(t1, "1/a");
    // The one that held it is gone. The one that waited does so behind the older one now.
    assert!(cluster.has(t1, 1));
    assert_eq!((cluster.waiting(), cluster.deadlock_of(t3)), (1, None));
    // Who waited for nothing learns it when it comes back, be it to commit.
    assert_eq!(cluster.deadlock_of(t2), None);
    cluster.lock(t2, "1/b");
    let told = cluster.deadlock_of(t2).expect("told when it comes back");
    assert_eq!((told.victim, told.cause, told.steps[0].waiter), (t2, Cause::WoundWait, t1));
    cluster.end(t1);
    assert!(cluster.has(t3, 1));
}

#[test]
fn a_wounded_one_that_commits_is_told_why_it_can_not() {
    let mut cluster = Cluster::new(1, youngest(Scheme::WoundWait));
    let [t1, t2] = [1, 2].map(|n| cluster.txn(n));
    cluster.lock(t2, "1/a");
    cluster.lock(t1, "1/a");
    cluster.commit(t2, &["1/a"]);
    assert_eq!(cluster.deadlock_of(t2).map(|told| told.cause), Some(Cause::WoundWait));
}

#[test]
fn a_younger_one_dies_and_an_older_one_waits() {
    let mut cluster = Cluster::new(1, youngest(Scheme::WaitDie));
    let [t1, t2, t3] = [1, 2, 3].map(|n| cluster.txn(n));
    cluster.lock(t2, "1/a");
    cluster.lock(t1, "1/a");
    assert_eq!(cluster.waiting(), 1, "the older one waits");
    cluster.lock(t3, "1/a");
    let told = cluster.deadlock_of(t3).expect("told at once");
    assert_eq!((told.cause, told.steps[0].waiter), (Cause::WaitDie, t3));
    cluster.end(t2);
    assert!(cluster.has(t1, 1));
}

/// The younger one has voted on one shard and waits on the other for the older one,
/// which waits for it.
#[test]
fn a_voter_is_wounded_by_the_coordinator_while_votes_are_missing() {
    let mut cluster = Cluster::new(2, youngest(Scheme::WoundWait));
    let [t1, t2] = [1, 2].map(|n| cluster.txn(n));
    cluster.lock(t1, "2/b");
    cluster.fate(|message| match message {
        Message::Deadlock(DeadlockMessage::Wound { .. }) => Fate::IsLost,
        _ => Fate::Arrives,
    });
    cluster.commit(t2, &["1/a", "2/b"]);
    cluster.lock(t1, "1/a");
    cluster.pass(SOON);
    assert_eq!(cluster.waiting(), 2, "each waits for the other");
    // Asked again, as long as it lasts.
    cluster.let_go();
    cluster.pass(SOON);
    assert_eq!(cluster.deadlock_of(t2).map(|told| told.cause), Some(Cause::WoundWait));
    assert!(cluster.has(t1, 2));
}

#[test]
fn who_is_decided_is_not_wounded() {
    let mut cluster = Cluster::new(2, youngest(Scheme::WoundWait));
    let [t1, t2] = [1, 2].map(|n| cluster.txn(n));
    cluster.fate(|message| match message {
        Message::Commit(CommitMessage::Decide { .. }) => Fate::Waits,
        _ => Fate::Arrives,
    });
    cluster.commit(t2, &["1/a", "2/b"]);
    cluster.lock(t1, "1/a");
    cluster.pass(SOON);
    assert!(matches!(cluster.outcomes[&t2], Outcome::Committed(_)), "{:?}", cluster.outcomes);
    assert_eq!(cluster.waiting(), 1);
    cluster.let_go();
    assert!(cluster.has(t1, 1));
}
