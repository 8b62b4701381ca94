//! Transactions, paired from events, and how they lie in time.
//!
//! Real time is kept without a pair for each two transactions, of which there would be
//! millions: at the first invocation after some completions a *barrier* begins. What was
//! completed before lies before the barrier, what is invoked from then on behind it, and
//! barriers follow one another.
//!
//! ```text
//!   a ├────┤                      a ─▶ ①      ① ─▶ c        a before c and d,
//!   b    ├────────┤               b ─▶ ②      ① ─▶ ②        b before d only
//!   c          ├──────┤           c ─▶ …      ② ─▶ d
//!   d                ├────┤
//!             ①      ②
//! ```

use rustc_hash::FxHashMap;

use super::atom::Atom;
use crate::history::{Form, Kind};

/// The number of a transaction, in the order in which they begin.
pub type TxnNo = u32;
/// No transaction, no barrier, no key.
pub const NONE: u32 = u32::MAX;
/// Not one transaction but several.
pub const SEVERAL: TxnNo = NONE - 1;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not known whether it happened.
    Info,
    /// It happened.
    Ok,
    /// It did not.
    Fail,
}

/// One thing that a transaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mop {
    /// The key's number.
    pub key: u32,
    /// What it did.
    pub act: Act,
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Wrote or appended this.
    Write(Atom),
    /// Read this list: its length, which tells it where it is a prefix of the longest one.
    ReadList(u32),
    /// Read a list that is not; its place among such.
    ReadOther(u32),
    /// Read this value; none is the initial state.
    Read(Option<Atom>),
}

/// The parts of an operation as a file has it. What a read has seen is not always there
/// before its transaction is done.
pub fn mop_of(mop: Form<'_>, kind: Kind) -> Option<[Form<'_>; 3]> {
    match mop.array() {
        Some([f, key]) if f.as_text() == Some("r") && kind != Kind::Ok => {
            Some([f, key, Form::nil()])
        }
        _ => mop.array(),
    }
}

/// A transaction.
#[derive(Clone, Debug)]
pub struct Txn {
    /// Where it stands in the file: its completion, if there is one.
    pub line: u64,
    /// Whose it is.
    pub process: i64,
    /// How it ended.
    pub status: Status,
    /// Where its operations are.
    mops: (u32, u32),
    /// The barrier that it was invoked behind.
    pub behind: u32,
    /// The barrier before which it was completed.
    pub before: u32,
    /// The next transaction of its process that did not fail (see [`Table::later`]).
    pub next: TxnNo,
}

struct Open {
    txn: TxnNo,
    mops: Vec<Mop>,
}

/// All transactions of a history.
#[derive(Default)]
pub struct Table {
    txns: Vec<Txn>,
    mops: Vec<Mop>,
    open: FxHashMap<i64, Open>,
    /// The last transaction of each process that did not fail.
    last: FxHashMap<i64, TxnNo>,
    /// Completed, and no barrier since.
    completed: Vec<TxnNo>,
    /// The first transaction that could be behind each barrier.
    barriers: Vec<TxnNo>,
    /// Buffers of invocations that are done.
    spare: Vec<Vec<Mop>>,
}

impl Table {
    /// An event; `mops` are what it says was done.
    pub fn event(&mut self, kind: Kind, process: i64, line: u64, mops: &[Mop]) -> TxnNo {
        match kind {
            Kind::Invoke => self.invoke(process, line, mops),
            Kind::Ok => self.end(process, line, Status::Ok, mops),
            Kind::Fail => self.end(process, line, Status::Fail, mops),
            Kind::Info => self.end(process, line, Status::Info, mops),
        }
    }

    fn begin(&mut self, process: i64, line: u64, behind: u32) -> TxnNo {
        let txn = self.txns.len() as TxnNo;
        let status = Status::Info;
        let txn_of = Txn { line, process, status, mops: (0, 0), behind, before: NONE, next: NONE };
        self.txns.push(txn_of);
        txn
    }

    fn invoke(&mut self, process: i64, line: u64, mops: &[Mop]) -> TxnNo {
        // Who reuses the name of one that never ended leaves it open.
        self.abandon(process);
        if !self.completed.is_empty() {
            let barrier = self.barriers.len() as u32;
            self.barriers.push(self.txns.len() as TxnNo);
            for txn in self.completed.drain(..) {
                self.txns[txn as usize].before = barrier;
            }
        }
        let behind = (self.barriers.len() as u32).checked_sub(1).unwrap_or(NONE);
        let txn = self.begin(process, line, behind);
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(mops);
        self.open.insert(process, Open { txn, mops: kept });
        txn
    }

    fn end(&mut self, process: i64, line: u64, status: Status, mops: &[Mop]) -> TxnNo {
        let open = self.open.remove(&process);
        let txn = match &open {
            Some(open) => open.txn,
            None => self.begin(process, line, NONE),
        };
        let invoked = open.map(|open| open.mops).unwrap_or_default();
        // What was asked for counts where no result does.
        self.keep(txn, if status == Status::Ok || invoked.is_empty() { mops } else { &invoked });
        self.recycle(invoked);
        let kept = &mut self.txns[txn as usize];
        (kept.line, kept.status) = (line, status);
        if status == Status::Ok {
            self.completed.push(txn);
        }
        self.in_session(txn, process, status);
        txn
    }

    /// What did not happen has no place in its session.
    fn in_session(&mut self, txn: TxnNo, process: i64, status: Status) {
        if status == Status::Fail {
            return;
        }
        if let Some(last) = self.last.insert(process, txn) {
            self.txns[last as usize].next = txn;
        }
    }

    fn abandon(&mut self, process: i64) {
        if let Some(Open { txn, mops }) = self.open.remove(&process) {
            self.keep(txn, &mops);
            self.recycle(mops);
            self.in_session(txn, process, Status::Info);
        }
    }

    fn keep(&mut self, txn: TxnNo, mops: &[Mop]) {
        self.txns[txn as usize].mops = (self.mops.len() as u32, mops.len() as u32);
        self.mops.extend_from_slice(mops);
    }

    fn recycle(&mut self, mut mops: Vec<Mop>) {
        mops.clear();
        self.spare.push(mops);
    }

    /// No event comes any more: what is open stays so.
    pub fn close(&mut self) {
        let mut open: Vec<i64> = self.open.keys().copied().collect();
        open.sort_unstable();
        for process in open {
            self.abandon(process);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.txns.len()
    }

    /// How many say that they have happened.
    pub fn happened(&self) -> usize {
        self.txns.iter().filter(|txn| txn.status == Status::Ok).count()
    }

    /// One of them.
    pub fn txn(&self, txn: TxnNo) -> &Txn {
        &self.txns[txn as usize]
    }

    /// All, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (TxnNo, &Txn)> {
        self.txns.iter().enumerate().map(|(number, txn)| (number as TxnNo, txn))
    }

    /// What a transaction did: as its completion says, or its invocation where nothing
    /// else is known.
    pub fn mops(&self, txn: TxnNo) -> &[Mop] {
        let (from, count) = self.txns[txn as usize].mops;
        &self.mops[from as usize..(from + count) as usize]
    }

    /// Which transactions come behind one in its session: the next one that is known to
    /// have happened, and before that those of which it is not known. Behind such a one
    /// nothing comes: it may happen at any time.
    pub fn later(&self, txn: TxnNo) -> impl Iterator<Item = TxnNo> {
        let next = |txn: TxnNo| Some(self.txn(txn).next).filter(|next| *next != NONE);
        let first = (self.txn(txn).status == Status::Ok).then(|| next(txn)).flatten();
        std::iter::successors(first, move |txn| {
            if self.txn(*txn).status == Status::Ok { None } else { next(*txn) }
        })
    }

    /// How many barriers there are.
    pub fn barriers(&self) -> u32 {
        self.barriers.len() as u32
    }

    /// The transactions that were invoked behind a barrier and before the next one.
    pub fn behind(&self, barrier: u32) -> impl Iterator<Item = TxnNo> {
        let from = self.barriers[barrier as usize];
        let next = self.barriers.get(barrier as usize + 1);
        let to = next.copied().unwrap_or(self.txns.len() as TxnNo);
        (from..to).filter(move |txn| self.txns[*txn as usize].behind == barrier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn barriers_keep_real_time() {
        let mut table = Table::default();
        for (kind, process) in [
            (Kind::Invoke, 0),
            (Kind::Invoke, 1),
            (Kind::Ok, 0),
            (Kind::Invoke, 2),
            (Kind::Ok, 1),
            (Kind::Invoke, 3),
            (Kind::Ok, 2),
            (Kind::Info, 3),
        ] {
            table.event(kind, process, 1, &[]);
        }
        table.close();
        let lies = |txn: TxnNo| (table.txn(txn).behind, table.txn(txn).before);
        assert_eq!(table.barriers(), 2);
        assert_eq!(
            [lies(0), lies(1), lies(2), lies(3)],
            [(NONE, 0), (NONE, 1), (0, NONE), (1, NONE)]
        );
        assert_eq!(table.behind(1).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_never_ended_keeps_what_was_asked_for() {
        let mut table = Table::default();
        let mop = Mop { key: 0, act: Act::Read(None) };
        table.event(Kind::Invoke, 7, 1, &[mop]);
        let second = table.event(Kind::Invoke, 7, 2, &[]);
        table.event(Kind::Ok, 7, 3, &[mop, mop]);
        let third = table.event(Kind::Invoke, 7, 4, &[mop]);
        table.close();
        assert_eq!((table.mops(0).len(), table.txn(0).status), (1, Status::Info));
        assert_eq!((table.mops(second).len(), table.txn(second).next), (2, third));
        assert_eq!((table.mops(third).len(), table.txn(third).line), (1, 4));
    }
}
