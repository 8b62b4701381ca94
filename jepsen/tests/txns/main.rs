//! Transactions against a plain search: of small histories all orders are tried, and the
//! checkers must agree, on valid ones as on those in which one result was changed, or in
//! which transactions have read what they liked.

mod axioms;
#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use common::Dice;
use synod_jepsen::{Budget, Level, Options, Verdict, check_text};

#[derive(Clone, Debug, PartialEq)]
enum Mop {
    Write(u64, i64),
    /// What was read: all that the key has had, or the last of it.
    Read(u64, Vec<i64>),
}

#[derive(Clone, Debug)]
struct Txn {
    process: u64,
    mops: Vec<Mop>,
    /// Whether its end is known; then its reads count.
    ok: bool,
    /// When it was invoked and completed.
    begin: u64,
    end: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Model {
    List,
    Register,
}

/// A history of transactions that happened one after the other, each within its time.
fn history(dice: &mut Dice, model: Model) -> Vec<Txn> {
    let mut state: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    let mut written = 0;
    let mut free = [0; 3];
    let mut txns = Vec::new();
    for at in 0..3 + dice.below(3) as u64 {
        let now = 10 * (at + 1);
        let process = dice.below(3) as u64;
        if free[process as usize] >= now {
            continue;
        }
        let begin = (free[process as usize] + 1).max(now.saturating_sub(dice.below(30) as u64));
        let end = now + dice.below(30) as u64;
        free[process as usize] = end;
        let ok = !dice.one_in(8);
        let mut mops = Vec::new();
        // What is not known to have happened may not have.
        let happens = ok || dice.one_in(2);
        for _ in 0..1 + dice.below(3) {
            let key = dice.below(2) as u64;
            let values = state.entry(key).or_default();
            if dice.one_in(2) {
                written += 1;
                mops.push(Mop::Write(key, written));
                if happens {
                    values.push(written);
                }
            } else {
                mops.push(Mop::Read(key, seen(model, values)));
            }
        }
        txns.push(Txn { process, mops, ok, begin, end });
        if !ok {
            break;
        }
    }
    txns
}

fn seen(model: Model, values: &[i64]) -> Vec<i64> {
    match model {
        Model::List => values.to_vec(),
        Model::Register => values.last().copied().into_iter().collect(),
    }
}

/// Changes what one read has seen.
fn change(dice: &mut Dice, model: Model, txns: &mut [Txn]) {
    let all: Vec<i64> = txns
        .iter()
        .flat_map(|txn| &txn.mops)
        .filter_map(|mop| match mop {
            Mop::Write(_, value) => Some(*value),
            Mop::Read(..) => None,
        })
        .collect();
    let txn = &mut txns[0..];
    let place = dice.below(txn.len());
    let mops = &mut txn[place].mops;
    let place = dice.below(mops.len());
    if let Mop::Read(_, values) = &mut mops[place] {
        match (model, dice.below(3)) {
            (_, 0) => values.clear(),
            (Model::List, 1) => drop(values.pop()),
            (Model::List, _) if values.len() > 1 => values.swap(0, 1),
            _ if !all.is_empty() => {
                *values = vec![all[dice.below(all.len())]];
            }
            _ => {}
        }
    }
}

/// Whether the transactions can have happened in this order.
fn explains(model: Model, txns: &[Txn], order: &[usize]) -> bool {
    let mut state: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for txn in order {
        for mop in &txns[*txn].mops {
            match mop {
                Mop::Write(key, value) => state.entry(*key).or_default().push(*value),
                Mop::Read(key, values) => {
                    let now = seen(model, state.get(key).map_or(&[], |values| values));
                    if txns[*txn].ok && now != *values {
                        return false;
                    }
                }
            }
        }
    }
    true
}

/// Whether the order of sessions has one before another.
fn session(one: &Txn, other: &Txn) -> bool {
    one.ok && one.process == other.process && one.begin < other.begin
}

/// Tries all orders of those that are known to have happened, with and without the rest.
fn brute(model: Model, txns: &[Txn], before: impl Fn(&Txn, &Txn) -> bool) -> bool {
    fn go(
        order: &mut Vec<usize>,
        txns: &[Txn],
        before: &impl Fn(&Txn, &Txn) -> bool,
        holds: &impl Fn(&[usize]) -> bool,
    ) -> bool {
        if (0..txns.len()).all(|txn| order.contains(&txn) || !txns[txn].ok) && holds(order) {
            return true;
        }
        for next in 0..txns.len() {
            let mut rest = (0..txns.len()).filter(|other| *other != next && !order.contains(other));
            if order.contains(&next) || rest.any(|other| before(&txns[other], &txns[next])) {
                continue;
            }
            order.push(next);
            if go(order, txns, before, holds) {
                return true;
            }
            order.pop();
        }
        false
    }
    go(&mut Vec::new(), txns, &before, &|order| explains(model, txns, order))
}

/// Tries all orders of begins and commits: a transaction reads what was committed when it
/// began, and nobody else commits what it writes while it is under way.
fn brute_snapshot(model: Model, txns: &[Txn], before: impl Fn(&Txn, &Txn) -> bool) -> bool {
    let (begun, done) = (vec![None; txns.len()], vec![false; txns.len()]);
    Run { model, txns, state: vec![State::new()], begun, done }.go(&before)
}

type State = BTreeMap<u64, Vec<i64>>;

struct Run<'a> {
    model: Model,
    txns: &'a [Txn],
    /// What there is after each commit.
    state: Vec<State>,
    /// After how many commits each began.
    begun: Vec<Option<usize>>,
    done: Vec<bool>,
}

impl Run<'_> {
    fn go(&mut self, before: &impl Fn(&Txn, &Txn) -> bool) -> bool {
        let open = |txn: usize| self.begun[txn].is_some() && !self.done[txn];
        if (0..self.txns.len()).all(|txn| self.done[txn] || !self.txns[txn].ok && !open(txn)) {
            return true;
        }
        for txn in 0..self.txns.len() {
            if self.done[txn] {
                continue;
            }
            if let Some(begun) = self.begun[txn] {
                if let Some(next) = self.committed(txn, begun) {
                    self.state.push(next);
                    self.done[txn] = true;
                    if self.go(before) {
                        return true;
                    }
                    self.done[txn] = false;
                    self.state.pop();
                }
                continue;
            }
            let late =
                |other: usize| !self.done[other] && before(&self.txns[other], &self.txns[txn]);
            if (0..self.txns.len()).any(|other| other != txn && late(other)) {
                continue;
            }
            self.begun[txn] = Some(self.state.len() - 1);
            if self.go(before) {
                return true;
            }
            self.begun[txn] = None;
        }
        false
    }

    /// What there is if it commits now; none if it has read something else, or if what it
    /// writes has changed since it began.
    fn committed(&self, txn: usize, begun: usize) -> Option<State> {
        let (mut view, mut next) = (self.state[begun].clone(), self.state.last()?.clone());
        for mop in &self.txns[txn].mops {
            match mop {
                Mop::Write(key, value) => {
                    if self.state[begun].get(key) != self.state.last()?.get(key) {
                        return None;
                    }
                    view.entry(*key).or_default().push(*value);
                    next.entry(*key).or_default().push(*value);
                }
                Mop::Read(key, values) => {
                    let now = seen(self.model, view.get(key).map_or(&[], |values| values));
                    if self.txns[txn].ok && now != *values {
                        return None;
                    }
                }
            }
        }
        Some(next)
    }
}

fn edn(model: Model, txns: &[Txn]) -> String {
    let mut events: Vec<(u64, u64, String)> = Vec::new();
    for (place, txn) in txns.iter().enumerate() {
        let mops = |result: bool| {
            let mops = txn.mops.iter().map(|mop| match (mop, model) {
                (Mop::Write(key, value), Model::List) => format!("[:append {key} {value}]"),
                (Mop::Write(key, value), Model::Register) => format!("[:w {key} {value}]"),
                (Mop::Read(key, _), _) if !result => format!("[:r {key} nil]"),
                (Mop::Read(key, values), Model::List) => format!("[:r {key} {values:?}]"),
                (Mop::Read(key, values), Model::Register) => {
                    let value = values.first().map_or("nil".to_owned(), i64::to_string);
                    format!("[:r {key} {value}]")
                }
            });
            mops.collect::<Vec<_>>().join(" ")
        };
        let event = |kind: &str, result| {
            let (process, mops) = (txn.process, mops(result));
            format!("{{:type :{kind} :process {process} :f :txn :value [{mops}]}}\n")
        };
        // At the same time completions come after invocations: they are concurrent.
        events.push((2 * txn.begin, place as u64, event("invoke", false)));
        if txn.ok {
            events.push((2 * txn.end + 1, place as u64, event("ok", true)));
        }
    }
    events.sort();
    events.into_iter().map(|(_, _, event)| event).collect()
}

fn agree(model: Model, name: &str) {
    let mut dice = Dice(0x5eed_0001);
    let (mut valid, mut invalid) = (0, 0);
    // SYNOD_CASES makes a long run of it.
    let cases = std::env::var("SYNOD_CASES").map_or(1_000, |cases| cases.parse().unwrap());
    while valid < cases || invalid < cases {
        let mut txns = history(&mut dice, model);
        if txns.is_empty() {
            continue;
        }
        if !dice.one_in(3) {
            change(&mut dice, model, &mut txns);
        }
        let text = edn(model, &txns);
        let real_time = |a: &Txn, b: &Txn| a.ok && a.end < b.begin;
        for (level, holds) in [
            (Level::Serializable, brute(model, &txns, |_, _| false)),
            (Level::StrongSessionSerializable, brute(model, &txns, session)),
            (Level::StrictSerializable, brute(model, &txns, real_time)),
            (Level::SnapshotIsolation, brute_snapshot(model, &txns, |_, _| false)),
            (Level::StrongSessionSnapshotIsolation, brute_snapshot(model, &txns, session)),
            (Level::StrongSnapshotIsolation, brute_snapshot(model, &txns, real_time)),
        ] {
            let mut options = Options::new(name).unwrap();
            options.level = Some(level);
            let finding = check_text(&text, &options, &mut Budget::unlimited()).unwrap();
            let nothing_to_tell = finding.names() == ["empty-transaction-graph"];
            if finding.verdict == Verdict::Unknown && nothing_to_tell {
                assert!(holds, "{level}: there was something to tell\n{text}");
                continue;
            }
            let expected = if holds { Verdict::Valid } else { Verdict::Invalid };
            assert_eq!(finding.verdict, expected, "{level}: {:?}\n{text}", finding.anomalies);
            if level == Level::StrictSerializable {
                valid += usize::from(holds);
                invalid += usize::from(!holds);
            }
        }
    }
}

#[test]
fn lists_are_judged_as_by_trying_all_orders() {
    agree(Model::List, "list-append");
}

#[test]
fn registers_are_judged_as_by_trying_all_orders() {
    agree(Model::Register, "rw-register");
}

/// A history in which transactions have read what they liked, but seldom of one key two things.
fn liked(dice: &mut Dice, model: Model) -> Vec<Txn> {
    let mut txns: Vec<Txn> = Vec::new();
    let (mut free, mut process, mut written) = ([0; 3], [0, 1, 2], 0);
    let (count, keys) = (2 + dice.below(4), 2 + dice.below(2));
    // Long forks are of transactions that only write, and others that only read.
    let pure = dice.one_in(2);
    for at in 0..count {
        let slot = dice.below(3);
        let begin = 10 * at as u64 + 1 + free[slot];
        let end = begin + dice.below(30) as u64;
        let ok = !dice.one_in(12);
        let writes = dice.one_in(2);
        let mut mops = Vec::new();
        for _ in 0..1 + dice.below(4) {
            let key = dice.below(keys) as u64;
            let write = if pure { writes } else { dice.one_in(2) };
            if write {
                written += 1;
                mops.push(Mop::Write(key, written));
            } else {
                mops.push(Mop::Read(key, Vec::new()));
            }
        }
        txns.push(Txn { process: process[slot], mops, ok, begin, end });
        free[slot] = end;
        process[slot] += if ok { 0 } else { 3 };
    }
    txns.sort_by_key(|txn| txn.begin);
    let mut order: Vec<usize> = (0..txns.len()).collect();
    if dice.one_in(3) {
        let (one, other) = (dice.below(order.len()), dice.below(order.len()));
        order.swap(one, other);
    }
    for txn in 0..txns.len() {
        for key in 0..keys as u64 {
            read(dice, model, &mut txns, &order, txn, key);
        }
    }
    txns
}

/// What one of them has read of a key.
fn read(dice: &mut Dice, model: Model, txns: &mut [Txn], order: &[usize], txn: usize, key: u64) {
    let wrote = |mop: &Mop| match mop {
        Mop::Write(at, value) if *at == key => Some(*value),
        _ => None,
    };
    let others = order.iter().filter(|other| **other != txn);
    let theirs = others.map(|other| txns[*other].mops.iter().filter_map(wrote).collect::<Vec<_>>());
    let theirs: Vec<Vec<i64>> = theirs.collect();
    let latest = order.iter().position(|other| *other == txn).unwrap();
    let mut seen = None;
    let mut own = Vec::new();
    for mop in &mut txns[txn].mops {
        own.extend(wrote(mop));
        let Mop::Read(at, values) = mop else { continue };
        if *at != key {
            continue;
        }
        let again = seen.filter(|_| !dice.one_in(6));
        let upto = again.unwrap_or_else(|| match dice.below(3) {
            0 => latest,
            _ => dice.below(theirs.len() + 1),
        });
        seen = Some(upto);
        let mut all: Vec<i64> = theirs[..upto].concat();
        if !dice.one_in(12) {
            all.extend(&own);
        }
        *values = crate::seen(model, &all);
    }
}

/// Which levels have axioms, and whether the checker of registers decides them always.
const AXIOMS: [(Level, bool); 12] = [
    (Level::ReadCommitted, true),
    (Level::ReadAtomic, true),
    (Level::CursorStability, false),
    (Level::UpdateAtomic, false),
    (Level::ConsistentView, false),
    (Level::SnapshotIsolation, true),
    (Level::Serializable, true),
    (Level::StrongSessionReadCommitted, true),
    (Level::Causal, true),
    (Level::Prefix, true),
    (Level::StrongSessionSnapshotIsolation, true),
    (Level::StrongSessionSerializable, true),
];

/// `sessions` if all levels contain their order.
fn agree_by_axioms(model: Model, name: &str, sessions: bool) {
    let mut dice = Dice(0x5eed_0002);
    let cases = std::env::var("SYNOD_CASES").map_or(1_000, |cases| cases.parse().unwrap());
    // By level how many were valid, invalid, and unknown.
    let mut figures = [[0; 3]; AXIOMS.len()];
    for _ in 0..cases {
        let serial = dice.one_in(4);
        let mut txns = if serial { history(&mut dice, model) } else { liked(&mut dice, model) };
        if !txns.is_empty() && dice.one_in(4) {
            change(&mut dice, model, &mut txns);
        }
        let text = edn(model, &txns);
        let all = axioms::Case::all(model, &txns);
        for ((level, decided), figures) in AXIOMS.into_iter().zip(&mut figures) {
            if model == Model::List && !decided {
                continue;
            }
            let mut options = Options::new(name).unwrap();
            (options.level, options.sessions) = (Some(level), sessions);
            let finding = check_text(&text, &options, &mut Budget::unlimited()).unwrap();
            let holds = all.iter().any(|case| case.holds(level, sessions));
            if finding.verdict == Verdict::Unknown {
                let nothing_to_tell = finding.names().contains(&"empty-transaction-graph");
                assert!(!decided || nothing_to_tell && holds, "{level}: not decided\n{text}");
                figures[2] += 1;
                continue;
            }
            let expected = if holds { Verdict::Valid } else { Verdict::Invalid };
            assert_eq!(finding.verdict, expected, "{level}: {:?}\n{text}", finding.names());
            figures[usize::from(!holds)] += 1;
        }
    }
    for ((level, _), [valid, invalid, unknown]) in AXIOMS.into_iter().zip(figures) {
        println!("{level}: {valid} valid, {invalid} invalid, {unknown} unknown");
    }
}

#[test]
fn registers_are_judged_as_the_axioms_say() {
    agree_by_axioms(Model::Register, "rw-register", false);
}

#[test]
fn registers_in_sessions_are_judged_as_the_axioms_say() {
    agree_by_axioms(Model::Register, "rw-register", true);
}

#[test]
fn lists_are_judged_as_the_axioms_say() {
    agree_by_axioms(Model::List, "list-append", false);
}
