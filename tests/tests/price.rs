//! What a commit costs, counted on real cores, against what the books say.
//!
//! No time passes, so acknowledgements are left out: they are told for many commits at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use synod_client::{Client, Error, Options, Protocol, Txn};
use synod_common::commit::Price;
use synod_common::deadlock::Scheme;
use synod_tests::stage::{Behind, Cluster, Counted};

const SHARDS: u32 = 8;

struct Priced {
    cluster: Cluster,
    database: Client,
}

impl Priced {
    /// Keys `a`, `b`, … are on a shard each.
    fn new() -> Priced {
        Priced::by_group(1)
    }

    fn by_group(coordinators: u16) -> Priced {
        let split = ["b", "c", "d", "e", "f", "g", "h"];
        let cluster = Cluster::led_by_group(coordinators, &split, Scheme::default());
        let database = Client::over(cluster.net.clone(), cluster.leader());
        Priced { cluster, database }
    }

    /// Runs something to its end.
    fn run<T: 'static>(&mut self, work: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(Cell::new(None));
        let slot = result.clone();
        self.cluster.executor.spawn(Box::pin(async move { slot.set(Some(work.await)) }));
        self.cluster.settle();
        result.take().expect("it ends without time passing")
    }

    /// A transaction that has done its work on each of these shards, the first first.
    fn begin(&mut self, writes: u32, reads: u32) -> Txn {
        self.begin_by(Protocol::TwoPhase, writes, reads)
    }

    fn begin_by(&mut self, protocol: Protocol, writes: u32, reads: u32) -> Txn {
        let database = self.database.clone();
        let begun = self.run(async move {
            let txn = database.begin(Options::new().protocol(protocol)).await?;
            for shard in 0..writes {
                txn.put_bytes(key(shard), "new")?;
            }
            for shard in writes..writes + reads {
                txn.get(key(shard)).await?;
            }
            Ok::<Txn, Error>(txn)
        });
        begun.expect("nobody is in its way")
    }

    /// What its commit costs, and whether it committed.
    fn commit(&mut self, txn: Txn) -> (Counted, bool) {
        self.cluster.take_counted();
        let committed = self.run(async move { txn.commit().await.is_ok() });
        (self.cluster.take_counted(), committed)
    }

    fn price(&mut self, writes: u32, reads: u32) -> Counted {
        self.price_by(Protocol::TwoPhase, writes, reads)
    }

    fn price_by(&mut self, protocol: Protocol, writes: u32, reads: u32) -> Counted {
        let txn = self.begin_by(protocol, writes, reads);
        let (counted, committed) = self.commit(txn);
        assert!(committed);
        counted
    }
}

fn key(shard: u32) -> String {
    let letter = u8::try_from(shard).map(|n| b'a' + n).expect("few shards");
    char::from(letter).to_string()
}

/// What was counted, as the price list has it.
fn price_of(counted: &Counted) -> Price {
    let Counted { messages, forced, .. } = *counted;
    Price { messages, forced_writes: forced, message_delays: delays(counted.answer) }
}

/// The price list, which `synod bench commit` shows, is what all cores pay. What a group
/// forces for its own log is not of one commit, and only Paxos Commit does without.
#[test]
fn the_price_list_is_paid() {
    let all = Protocol::ALL.into_iter().flat_map(|protocol| [1, 3, 5].map(|c| (protocol, c)));
    for (protocol, coordinators) in all {
        let mut priced = Priced::by_group(coordinators);
        for n in 1..=SHARDS {
            let counted = price_of(&priced.price_by(protocol, n, 0));
            let participants = u16::try_from(n).expect("few");
            let listed = Price::here(protocol, participants, coordinators);
            let used = protocol.used_by(coordinators);
            let shares_log = coordinators > 1
                && (n == 1 || !matches!(used, Protocol::PaxosCommit | Protocol::FasterPaxosCommit));
            let forced_writes =
                if shares_log { counted.forced_writes } else { listed.forced_writes };
            let listed = Price { forced_writes, ..listed };
            assert_eq!(counted, listed, "{protocol}, {n} of {coordinators}");
        }
    }
}

/// Between the client's request and the reply to it.
fn delays(behind: Behind) -> u32 {
    behind.messages - 1
}

/// Mohan, Lindsay, Obermarck 1986: 4N messages, of which N acknowledge, and two rounds of them
/// before the decision is told. Of 2N + 1 forced writes those of the outcome at the participants are
/// not forced: their acknowledgements wait for the next sync. Nor is that of the decision, as all
/// have voted for it durably.
#[test]
fn two_phase_commit_costs_what_the_book_says() {
    let mut priced = Priced::new();
    for n in 2..=SHARDS {
        let counted = priced.price(n, 0);
        let book = Price::by_the_book(Protocol::TwoPhase, u16::try_from(n).expect("few"), 1);
        let saved = Price {
            messages: book.messages - n,
            forced_writes: book.forced_writes - n - 1,
            ..book
        };
        assert_eq!(price_of(&counted), saved, "{n} participants");
        assert_eq!(counted.answer.forces, 1, "{n} participants");
    }
}

#[test]
fn one_participant_decides_by_itself() {
    let counted = Priced::new().price(1, 0);
    assert_eq!((counted.messages, counted.forced), (2, 1));
    assert_eq!((delays(counted.answer), counted.answer.forces), (2, 1));
}

/// By the book, a READ voter hears nothing more: 2 messages. Here it keeps its locks until
/// it is told the commit timestamp: 3.
#[test]
fn participants_that_only_read_log_nothing() {
    let mut priced = Priced::new();
    for (writes, reads) in [(2, 1), (2, 4), (3, 5)] {
        let counted = priced.price(writes, reads);
        assert_eq!((counted.messages, counted.forced), (3 * (writes + reads), writes + 1));
        assert_eq!((delays(counted.answer), counted.answer.forces), (2, 2));
    }
}

/// Skeen 1981, Keidar and Dolev 1998: 5N messages and three rounds. Of the coordinator's two
/// forced writes one is not needed: it speaks of a pre-commit only when it has forced its
/// own.
#[test]
fn three_phase_commit_costs_a_round_and_a_force_more() {
    let mut priced = Priced::new();
    for protocol in [Protocol::ThreePhase, Protocol::ClassicalThreePhase] {
        for n in 2..=SHARDS {
            let counted = priced.price_by(protocol, n, 0);
            assert_eq!((counted.messages, counted.forced), (5 * n, 2 * n + 1), "{protocol}, {n}");
            assert_eq!((delays(counted.answer), counted.answer.forces), (4, 3), "{protocol}, {n}");
        }
    }
    // Who only reads is no site.
    for (writes, reads) in [(2, 1), (2, 4), (3, 5)] {
        let counted = priced.price_by(Protocol::ThreePhase, writes, reads);
        assert_eq!((counted.messages, counted.forced), (5 * writes + 3 * reads, 2 * writes + 1));
    }
    let counted = priced.price_by(Protocol::ThreePhase, 0, 3);
    assert_eq!((counted.messages, counted.forced), (9, 1));
    let counted = priced.price_by(Protocol::ThreePhase, 1, 0);
    assert_eq!((counted.messages, counted.forced), (2, 1));
}

/// Gray and Lamport 2006, §5: NF + F + 3N - 1 messages, N + F + 1 forced writes. Here no
/// participant begins the commit, so all N are asked.
#[test]
fn paxos_commit_costs_messages_and_one_delay_but_no_participant_a_force() {
    for (coordinators, f) in [(3, 1), (5, 2)] {
        let mut priced = Priced::by_group(coordinators);
        for n in 2..=SHARDS {
            let counted = priced.price_by(Protocol::PaxosCommit, n, 0);
            let book = (n * f + f + 3 * n - 1, n + f + 1);
            assert_eq!((counted.messages, counted.forced), (book.0 + 1, book.1), "{n}, {f}");
            assert_eq!((delays(counted.answer), counted.answer.forces), (3, 2), "{n}, {f}");
        }
        // Who only reads proposes, and forces nothing.
        for (writes, reads) in [(2, 1), (2, 4), (3, 5), (0, 3)] {
            let counted = priced.price_by(Protocol::PaxosCommit, writes, reads);
            let n = writes + reads;
            let messages = n * f + f + 3 * n;
            assert_eq!((counted.messages, counted.forced), (messages, writes + f + 1));
        }
        // In the faster form acceptors tell all participants, and the leader tells none. The
        // book has no message from the other acceptors to the leader, which here answers.
        for (writes, reads) in [(2, 0), (3, 0), (8, 0), (2, 1), (0, 3)] {
            let counted = priced.price_by(Protocol::FasterPaxosCommit, writes, reads);
            let n = writes + reads;
            let book = (2 * n * f + 3 * n - 1, writes + f + 1);
            assert_eq!((counted.messages, counted.forced), (book.0 + 1 + f, book.1));
            let forces = 1 + u32::from(writes > 0);
            assert_eq!((delays(counted.answer), counted.answer.forces), (3, forces));
        }
        // Two-phase commit asks nobody else, unless somebody has only read.
        let counted = priced.price_by(Protocol::TwoPhase, 2, 0);
        assert_eq!((delays(counted.answer), counted.answer.forces), (2, 1));
        let counted = priced.price_by(Protocol::TwoPhase, 2, 1);
        assert_eq!((delays(counted.answer), counted.answer.forces), (4, 2));
        // What suits a group.
        assert_eq!(priced.price_by(Protocol::Auto, 2, 0).forced, 2 + f + 1);
    }
    let counted = Priced::new().price_by(Protocol::PaxosCommit, 3, 0);
    assert_eq!((counted.messages, counted.forced), (9, 3), "alone, it is two-phase commit");
}

/// Each participant tells the coordinator that it may forget, for all that it has committed in
/// some milliseconds.
#[test]
fn many_commits_are_acknowledged_at_once() {
    let mut priced = Priced::new();
    for _ in 0..100 {
        priced.price(3, 0);
    }
    priced.cluster.pass(Duration::from_millis(200));
    assert_eq!(priced.cluster.take_counted().messages, 3);
    assert_eq!(priced.cluster.in_progress(), 0);
}

/// Gray, Reuter 1993, §10.5: the last agent decides, and needs no PREPARE. Where it writes
/// alone, its record is the only one that is forced, whatever protocol was chosen. In a group
/// the leader makes sure meanwhile that it leads.
#[test]
fn the_only_writer_decides_last() {
    for coordinators in [1, 3] {
        let mut priced = Priced::by_group(coordinators);
        for protocol in [Protocol::Auto, Protocol::TwoPhase, Protocol::ThreePhase] {
            for reads in 1..SHARDS {
                let counted = priced.price_by(protocol, 1, reads);
                assert_eq!((counted.messages, counted.forced), (3 * reads + 2, 1), "{protocol}");
                let answer = (delays(counted.answer), counted.answer.forces);
                assert_eq!(answer, (4, 1), "{protocol}");
            }
        }
    }
}

/// By the book, nothing is forced. Here the outcome can be asked for, so it is durable
/// before it is told.
#[test]
fn a_transaction_that_only_read_forces_its_outcome_alone() {
    let counted = Priced::new().price(0, 3);
    assert_eq!((counted.messages, counted.forced), (9, 1));
    assert_eq!((delays(counted.answer), counted.answer.forces), (2, 1));
}

/// Presumed abort: PREPARE, votes, ABORT; the coordinator writes nothing, and nobody
/// acknowledges.
#[test]
fn an_abort_costs_the_coordinator_nothing() {
    let mut priced = Priced::new();
    let (first, second) = (priced.begin(3, 0), priced.begin(3, 0));
    let database = priced.database.clone();
    // Its key is taken by one that does not wait to be asked twice.
    let optimist = priced.run(async move {
        let level = synod_client::Isolation::Optimistic;
        let txn = database.begin(Options::new().isolation(level)).await?;
        txn.get("a").await?;
        txn.put_bytes("b", "mine")?;
        txn.put_bytes("c", "mine")?;
        Ok::<Txn, Error>(txn)
    });
    assert!(priced.commit(first).1 && priced.commit(second).1);
    let (counted, committed) = priced.commit(optimist.expect("nobody is in its way"));
    assert!(!committed);
    // One says NO, and the other two hear it.
    assert_eq!(counted.messages, 3 + 3 + 2);
    assert_eq!(counted.forced, 2);
    assert_eq!(delays(counted.answer), 2);
}
