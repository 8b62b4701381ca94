//! Savepoints: going back to where a transaction was, without ending it.
//!
//! A savepoint remembers the workspace, so going back undoes every write since.
//! Locks are another matter: two-phase locking forbids to give back a lock under
//! which something was seen. So going back
//!
//! * drops locks that were only taken ([`Txn::lock`]) and under which nothing was
//!   read since, by whatever request;
//! * makes locks to write shared, if something was read under them: what was seen
//!   stays as it was seen;
//! * leaves shared locks, and everything that was held at the savepoint.
//!
//! To know which is which, the transaction keeps a list of what it has asked to
//! lock, in which mode, and whether with a read. The list errs on one side: what is
//! in it may not be held, as the request may have failed, and then giving it back
//! changes nothing; what is held and not in it stays to the end.
//!
//! ```text
//!   let before = tx.savepoint();        writes: a      locks: a S
//!   tx.lock("b", Exclusive).await?;                           a S, b X
//!   tx.get_for_update("c").await?;                            a S, b X, c U (read)
//!   tx.put("b", …)?;                    writes: a b
//!   tx.rollback_to(&before)?;           writes: a             a S, c S
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use synod_common::key::{Key, KeyRange};

use crate::workspace::Workspace;
use crate::{Error, LockMode, Txn};

/// So many ranges are remembered. Beyond that no lock is given back any more.
const RANGES: usize = 1_000;
/// So many keys are remembered, likewise.
const KEYS: usize = 1_000_000;

/// A place in a transaction. It ends with the transaction, when it is dropped, and
/// when the transaction goes back to an earlier one.
#[derive(Debug)]
pub struct Savepoint(Arc<()>);

/// A lock that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    mode: Option<LockMode>,
    /// Whether something was read under it.
    read: bool,
}

/// The locks that a transaction has asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locks {
    keys: BTreeMap<Key, Asked>,
    /// In the order in which they were asked for.
    ranges: Vec<(KeyRange, LockMode, bool)>,
    /// Too much to remember.
    lost_track: bool,
}

/// A lock to be given back, wholly or in part.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// On a key.
    Key(Key, Option<LockMode>),
    /// On a range.
    Range(KeyRange, Option<LockMode>),
}

fn strength(mode: Option<LockMode>) -> u8 {
    match mode {
        None => 0,
        Some(LockMode::Shared) => 1,
        Some(LockMode::Update) => 2,
        Some(LockMode::Exclusive) => 3,
    }
}

impl Locks {
    /// A key is about to be locked, and perhaps read.
    pub(crate) fn key(&mut self, key: &Key, mode: LockMode, read: bool) {
        if self.keys.len() >= KEYS && !self.keys.contains_key(key) {
            self.lost_track = true;
            return;
        }
        let asked = self.keys.entry(key.clone()).or_default();
        if strength(Some(mode)) > strength(asked.mode) {
            asked.mode = Some(mode);
        }
        asked.read |= read;
    }

    /// Whether a key was asked for by itself.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        self.lost_track || self.keys.contains_key(key)
    }

    /// A range is about to be locked, and perhaps read.
    pub(crate) fn range(&mut self, range: &KeyRange, mode: LockMode, read: bool) {
        // On a range there is nothing between the two.
        let mode = if mode == LockMode::Shared { mode } else { LockMode::Exclusive };
        let known = |(held, held_mode, held_read): &(KeyRange, LockMode, bool)| {
            contains(held, range)
                && strength(Some(*held_mode)) >= strength(Some(mode))
                && (*held_read || !read)
        };
        if self.ranges.iter().any(known) {
            return;
        }
        if self.ranges.len() >= RANGES {
            self.lost_track = true;
            return;
        }
        self.ranges.push((range.clone(), mode, read));
    }

    /// Goes back to how it was before, as far as that may be, and says what to
    /// give back for it.
    fn back_to(&mut self, before: &Locks) -> Vec<Return> {
        let mut returns = Vec::new();
        if self.lost_track {
            return returns;
        }
        for (key, asked) in &mut self.keys {
            let was = before.keys.get(key).copied().unwrap_or_default();
            let seen = asked.read.then_some(LockMode::Shared);
            let left = if strength(seen) > strength(was.mode) { seen } else { was.mode };
            if strength(left) < strength(asked.mode) {
                returns.push(Return::Key(key.clone(), left));
                asked.mode = left;
            }
        }
        let since = self.ranges.split_off(before.ranges.len());
        let mut left_over = Vec::new();
        for (range, mode, read) in &since {
            let overlaps = |(other, _, _): &&(KeyRange, LockMode, bool)| other.overlaps(range);
            let mut held = self.ranges.iter().filter(overlaps);
            let seen = *read
                || since.iter().filter(overlaps).any(|(_, _, read)| *read)
                || self.keys.iter().any(|(key, asked)| asked.read && range.contains(key));
            if held.clone().any(|(_, held, _)| *held == LockMode::Exclusive) {
                left_over.push((range.clone(), *mode, *read));
                continue;
            }
            let left = (seen || held.next().is_some()).then_some(LockMode::Shared);
            if strength(left) < strength(Some(*mode)) {
                returns.push(Return::Range(range.clone(), left));
            }
            left_over.extend(left.map(|left| (range.clone(), left, *read)));
        }
        self.ranges.extend(left_over);
        self.keys.retain(|_, asked| asked.mode.is_some());
        returns
    }
}

fn contains(outer: &KeyRange, inner: &KeyRange) -> bool {
    let ends_later = match (&outer.end, &inner.end) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer >= inner,
    };
    outer.start <= inner.start && ends_later
}

/// How a transaction was.
#[derive(Debug)]
struct Mark {
    savepoint: Weak<()>,
    workspace: Workspace,
    locks: Locks,
}

/// The savepoints of a transaction, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<Mark>);

impl Marks {
    fn add(&mut self, workspace: &Workspace, locks: &Locks) -> Savepoint {
        self.0.retain(|mark| mark.savepoint.strong_count() > 0);
        let savepoint = Savepoint(Arc::new(()));
        let (workspace, locks) = (workspace.clone(), locks.clone());
        self.0.push(Mark { savepoint: Arc::downgrade(&savepoint.0), workspace, locks });
        savepoint
    }

    /// Goes back to one, which ends all later ones.
    fn back_to(&mut self, savepoint: &Savepoint) -> Result<&Mark, Error> {
        let is_it = |mark: &Mark| Weak::as_ptr(&mark.savepoint) == Arc::as_ptr(&savepoint.0);
        let Some(place) = self.0.iter().position(is_it) else {
            let what = "this transaction has no such savepoint, or has gone back behind it";
            return Err(Error::Misuse(what.to_owned()));
        };
        self.0.truncate(place + 1);
        Ok(&self.0[place])
    }
}

impl Txn {
    /// Remembers this place, for [`Txn::rollback_to`]. Takes as long as it takes
    /// to copy the list of what was written and locked so far.
    pub fn savepoint(&self) -> Savepoint {
        let mut state = self.held.state.lock();
        let state = &mut *state;
        state.marks.add(&state.workspace, &state.locks)
    }

    /// Undoes all writes since a savepoint, and gives back locks taken since, as
    /// far as nothing was read under them; what was read stays locked as if it had
    /// been read only. The savepoint can be used again; later ones end.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the savepoint is another transaction's, or has ended:
    /// nothing is undone, and the transaction goes on. As [`Txn::put`] if the
    /// transaction is over.
    pub fn rollback_to(&self, savepoint: &Savepoint) -> Result<(), Error> {
        self.check_open()?;
        let returns = {
            let mut state = self.held.state.lock();
            let state = &mut *state;
            let mark = state.marks.back_to(savepoint)?;
            state.workspace = mark.workspace.clone();
            state.locks.back_to(&mark.locks)
        };
        self.give_back(returns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> KeyRange {
        KeyRange { start: Key::from(start), end: Some(Key::from(end)) }
    }

    fn key(key: &str, to: Option<LockMode>) -> Return {
        Return::Key(Key::from(key), to)
    }

    #[test]
    fn locks_go_back_as_far_as_nothing_was_read() {
        let mut locks = Locks::default();
        locks.key(&"held".into(), LockMode::Update, false);
        let before = locks.clone();
        locks.key(&"held".into(), LockMode::Exclusive, false);
        locks.key(&"locked".into(), LockMode::Exclusive, false);
        locks.key(&"read".into(), LockMode::Shared, true);
        locks.key(&"updated".into(), LockMode::Update, true);
        locks.key(&"written".into(), LockMode::Exclusive, false);
        locks.key(&"written".into(), LockMode::Shared, true);
        let shared = Some(LockMode::Shared);
        let back = [
            key("held", Some(LockMode::Update)),
            key("locked", None),
            key("updated", shared),
            key("written", shared),
        ];
        assert_eq!(locks.back_to(&before), back);
        assert_eq!(locks.back_to(&before), []);
        // What was seen stays, however often it goes back.
        assert_eq!(locks.back_to(&Locks::default()), [key("held", None)]);
    }

    #[test]
    fn a_range_goes_only_if_nothing_in_it_was_read() {
        let take = |then: &dyn Fn(&mut Locks)| {
            let mut locks = Locks::default();
            locks.range(&range("x", "y"), LockMode::Shared, true);
            let before = locks.clone();
            locks.range(&range("a", "c"), LockMode::Exclusive, false);
            then(&mut locks);
            locks.back_to(&before)
        };
        let back = |to| vec![Return::Range(range("a", "c"), to)];
        assert_eq!(take(&|_| {}), back(None));
        let shared = Some(LockMode::Shared);
        assert_eq!(take(&|locks| locks.key(&"b".into(), LockMode::Shared, true)), back(shared));
        assert_eq!(
            take(&|locks| locks.range(&range("b", "z"), LockMode::Shared, true)),
            back(shared)
        );
        assert_eq!(take(&|locks| locks.key(&"c".into(), LockMode::Shared, true)), back(None));
    }

    #[test]
    fn a_range_that_overlaps_one_from_before_takes_nothing_of_it_along() {
        let mut locks = Locks::default();
        locks.range(&range("a", "c"), LockMode::Exclusive, false);
        locks.range(&range("m", "p"), LockMode::Shared, false);
        let before = locks.clone();
        locks.range(&range("b", "d"), LockMode::Exclusive, false);
        locks.range(&range("n", "r"), LockMode::Exclusive, false);
        let left = Return::Range(range("n", "r"), Some(LockMode::Shared));
        assert_eq!(locks.back_to(&before), [left]);
    }

    #[test]
    fn savepoints_nest_and_end() {
        let mut marks = Marks::default();
        let (workspace, locks) = (Workspace::default(), Locks::default());
        let outer = marks.add(&workspace, &locks);
        let inner = marks.add(&workspace, &locks);
        assert!(marks.back_to(&inner).is_ok() && marks.back_to(&inner).is_ok());
        assert!(marks.back_to(&outer).is_ok());
        assert!(matches!(marks.back_to(&inner), Err(Error::Misuse(_))));
        drop(inner);
        let last = marks.add(&workspace, &locks);
        let others = Marks::default().add(&workspace, &locks);
        assert!(matches!(marks.back_to(&others), Err(Error::Misuse(_))));
        drop(outer);
        let _next = marks.add(&workspace, &locks);
        assert_eq!(marks.0.len(), 2);
        assert!(marks.back_to(&last).is_ok());
    }

    #[test]
    fn what_can_not_be_remembered_is_not_given_back() {
        let mut locks = Locks::default();
        let before = locks.clone();
        for n in 0..=RANGES {
            locks.range(
                &range(&format!("{n:05}a"), &format!("{n:05}b")),
                LockMode::Exclusive,
                false,
            );
        }
        assert!(locks.ranges.len() <= RANGES);
        assert_eq!(locks.back_to(&before), []);
    }
}
