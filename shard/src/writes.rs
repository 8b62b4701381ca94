//! What a write set asks of a shard: locks before the vote, and that every
//! operation can be done, whatever else commits.
//!
//! Who puts or deletes must be alone with the key. Operations of one kind need
//! not: in which order they are done is settled by their timestamps. (Who has read
//! the key before holds both locks, and is alone.) Two things
//! could go wrong with them, and both are looked at when the locks are held,
//! because then nobody can change the answer before the outcome: an integer
//! operation needs an integer cell or an absent key, and appending must not make
//! the value longer than values may be.

use synod_common::error::Reason;
use synod_common::key::Key;
use synod_common::limits::{Limit, VALUE_BYTES};
use synod_common::message::bulk::{Malformed, Write, WriteSet};
use synod_common::operation::Operation;

use crate::lock::Mode;

/// The lock that a write needs.
fn mode(write: &Write<'_>) -> Mode {
    match write {
        Write::Put(_) | Write::Delete => Mode::Exclusive,
        Write::Operate(Operation::Integer(_)) => Mode::Increment,
        Write::Operate(Operation::Append(_)) => Mode::Append,
    }
}

/// The keys that are written, ascending, each with the lock that it needs.
///
/// # Errors
/// If the bytes are no write set.
pub fn locks(writes: &[u8]) -> Result<Vec<(Key, Mode)>, Malformed> {
    let mut locks: Vec<(Key, Mode)> = Vec::new();
    let mut operated = false;
    for write in WriteSet::read(writes) {
        let (key, write) = write?;
        let mode = mode(&write);
        let operates = matches!(write, Write::Operate(_));
        match locks.last_mut() {
            Some((last, held)) if last.as_bytes() == key && operated && operates => {
                *held = held.join(mode);
            }
            Some((last, _)) if last.as_bytes() >= key => return Err(Malformed),
            Some(_) | None => locks.push((Key::from(key), mode)),
        }
        operated = operates;
    }
    Ok(locks)
}

/// Whether all of it can be done. `length` tells how long the newest value of a
/// key is, `appended` how many bytes others will append to it if they commit.
///
/// # Errors
/// What stands against it.
pub fn check(
    writes: &[u8],
    length: impl Fn(&[u8]) -> Option<usize>,
    appended: impl Fn(&[u8]) -> usize,
) -> Result<(), Reason> {
    let mut before: Option<(&[u8], Option<usize>)> = None;
    for (key, write) in WriteSet::read(writes).map_while(Result::ok) {
        let Write::Operate(operation) = write else { continue };
        let length = match before {
            Some((last, length)) if last == key => length,
            Some(_) | None => length(key),
        };
        let length = match operation {
            Operation::Integer(_) if length.is_none_or(|length| length == size_of::<i64>()) => {
                size_of::<i64>()
            }
            Operation::Integer(_) => return Err(Reason::NotAnInteger(Key::from(key))),
            Operation::Append(bytes) => length.unwrap_or(0) + bytes.len(),
        };
        if length + appended(key) > VALUE_BYTES {
            return Err(Reason::TooLarge(Limit::ValueBytes));
        }
        before = Some((key, Some(length)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use synod_common::operation::IntegerOp;

    use super::*;

    const ADD: Write<'_> = Write::Operate(Operation::Integer(IntegerOp::Add(1)));
    const MIN: Write<'_> = Write::Operate(Operation::Integer(IntegerOp::Min(1)));

    fn set(writes: &[(&str, Write<'_>)]) -> Vec<u8> {
        let mut set = WriteSet::default();
        for (key, write) in writes {
            set.push(key.as_bytes(), *write);
        }
        set.finish().to_vec()
    }

    fn append(bytes: &[u8]) -> Write<'_> {
        Write::Operate(Operation::Append(bytes))
    }

    #[test]
    fn only_operations_may_follow_each_other_on_a_key() {
        let ok = |writes: &[(&str, Write<'_>)]| locks(&set(writes)).is_ok();
        assert!(ok(&[("a", Write::Delete), ("b", ADD), ("b", MIN), ("b", ADD), ("c", ADD)]));
        assert!(!ok(&[("a", Write::Put(b"x")), ("a", ADD)]));
        assert!(!ok(&[("a", ADD), ("a", Write::Put(b"x"))]));
        assert!(!ok(&[("a", Write::Delete), ("a", Write::Delete)]));
        assert!(!ok(&[("b", ADD), ("a", ADD)]));
    }

    #[test]
    fn operations_of_one_kind_share_a_key() {
        let of = |writes: &[(&str, Write<'_>)]| -> Vec<Mode> {
            locks(&set(writes)).unwrap().into_iter().map(|(_, mode)| mode).collect()
        };
        let writes = [("a", Write::Delete), ("b", ADD), ("b", MIN), ("c", append(b"x"))];
        assert_eq!(of(&writes), [Mode::Exclusive, Mode::Increment, Mode::Append]);
        assert_eq!(of(&[("a", ADD), ("a", append(b"x"))]), [Mode::Exclusive]);
    }

    #[test]
    fn integer_operations_need_a_cell_or_nothing() {
        let refused = Err(Reason::NotAnInteger(Key::from("a")));
        let with = |length, writes: &[(&str, Write<'_>)]| check(&set(writes), |_| length, |_| 0);
        assert_eq!(with(None, &[("a", ADD), ("a", MIN)]), Ok(()));
        assert_eq!(with(Some(8), &[("a", ADD)]), Ok(()));
        assert_eq!(with(Some(0), &[("a", ADD)]), refused);
        assert_eq!(with(Some(9), &[("a", ADD)]), refused);
        // What the transaction itself does before counts.
        assert_eq!(with(None, &[("a", append(b"12345678")), ("a", ADD)]), Ok(()));
        assert_eq!(with(Some(8), &[("a", append(b"1")), ("a", ADD)]), refused);
        assert_eq!(with(Some(3), &[("a", append(b"12345")), ("a", ADD)]), Ok(()));
    }

    #[test]
    fn appending_stops_at_the_limit_of_values_whoever_commits() {
        let too_large = Err(Reason::TooLarge(Limit::ValueBytes));
        let five = set(&[("a", append(b"123")), ("a", append(b"45"))]);
        let with = |length, others| check(&five, |_| length, |_| others);
        assert_eq!(with(Some(VALUE_BYTES - 5), 0), Ok(()));
        assert_eq!(with(Some(VALUE_BYTES - 4), 0), too_large);
        assert_eq!(with(None, VALUE_BYTES - 5), Ok(()));
        assert_eq!(with(Some(3), VALUE_BYTES - 7), too_large);
    }
}
