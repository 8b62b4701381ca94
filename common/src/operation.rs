//! Operations: writes that say what to do with a value, and not what it becomes.
//!
//! An operation returns nothing, so transactions that do the same kind of it to
//! one key need not wait for each other: what each wants is stored, and the value
//! is what comes out when all of it is done in the order of commit.
//!
//! An *integer cell* is a value of 8 bytes: big-endian, two's complement. An
//! absent key is one that nothing was done to yet: adding starts from zero, the
//! least and the greatest of nothing and `n` is `n`, and appending starts from no
//! bytes.

use crate::limits;

/// What is done to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Something to an integer cell.
    Integer(IntegerOp),
    /// Put these bytes behind those that are there.
    Append(&'a [u8]),
}

/// What is done to an integer cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerOp {
    /// Add, and wrap around at the ends.
    Add(i64),
    /// The smaller of the two.
    Min(i64),
    /// The larger of the two.
    Max(i64),
}

impl<'a> Operation<'a> {
    /// Hands out its number in stored and sent bytes, and its operand.
    pub fn encode<T>(self, put: impl FnOnce(u8, &[u8]) -> T) -> T {
        match self {
            Operation::Integer(IntegerOp::Add(n)) => put(1, &cell(n)),
            Operation::Integer(IntegerOp::Min(n)) => put(2, &cell(n)),
            Operation::Integer(IntegerOp::Max(n)) => put(3, &cell(n)),
            Operation::Append(bytes) => put(4, bytes),
        }
    }

    /// From its number and its operand; none if they do not fit.
    pub fn decode(tag: u8, operand: &'a [u8]) -> Option<Operation<'a>> {
        match tag {
            1 => Some(Operation::Integer(IntegerOp::Add(number(operand)?))),
            2 => Some(Operation::Integer(IntegerOp::Min(number(operand)?))),
            3 => Some(Operation::Integer(IntegerOp::Max(number(operand)?))),
            4 => limits::check_value(operand).is_ok().then_some(Operation::Append(operand)),
            _ => None,
        }
    }
}

impl IntegerOp {
    /// What becomes of a cell; of an absent one, if there is none.
    pub fn apply(self, cell: Option<i64>) -> i64 {
        match (self, cell) {
            (IntegerOp::Add(n) | IntegerOp::Min(n) | IntegerOp::Max(n), None) => n,
            (IntegerOp::Add(n), Some(cell)) => cell.wrapping_add(n),
            (IntegerOp::Min(n), Some(cell)) => cell.min(n),
            (IntegerOp::Max(n), Some(cell)) => cell.max(n),
        }
    }

    /// One operation that does the same as this one and `next` behind it, if there
    /// is one.
    pub fn then(self, next: IntegerOp) -> Option<IntegerOp> {
        match (self, next) {
            (IntegerOp::Add(a), IntegerOp::Add(b)) => Some(IntegerOp::Add(a.wrapping_add(b))),
            (IntegerOp::Min(a), IntegerOp::Min(b)) => Some(IntegerOp::Min(a.min(b))),
            (IntegerOp::Max(a), IntegerOp::Max(b)) => Some(IntegerOp::Max(a.max(b))),
            (IntegerOp::Add(_) | IntegerOp::Min(_) | IntegerOp::Max(_), _) => None,
        }
    }
}

/// The bytes of an integer cell.
pub fn cell(number: i64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a value, if it is an integer cell.
pub fn number(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_operations_in_one_do_what_both_do() {
        let numbers = [i64::MIN, i64::MIN + 1, -2, -1, 0, 1, 2, i64::MAX - 1, i64::MAX];
        let kinds = [IntegerOp::Add, IntegerOp::Min, IntegerOp::Max];
        let ops: Vec<IntegerOp> =
            kinds.iter().flat_map(|kind| numbers.iter().map(|n| kind(*n))).collect();
        let mut merged = 0;
        for (a, b) in ops.iter().flat_map(|a| ops.iter().map(move |b| (*a, *b))) {
            let Some(both) = a.then(b) else { continue };
            merged += 1;
            for cell in numbers.iter().copied().map(Some).chain([None]) {
                assert_eq!(both.apply(cell), b.apply(Some(a.apply(cell))), "{a:?} {b:?} {cell:?}");
            }
        }
        assert_eq!(merged, 3 * numbers.len().pow(2));
    }

    #[test]
    fn cells_are_golden() {
        assert_eq!(cell(1), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(cell(-2), [255, 255, 255, 255, 255, 255, 255, 254]);
        assert_eq!(number(&cell(i64::MIN)), Some(i64::MIN));
        assert_eq!(number(b"seven b"), None);
        assert_eq!(number(b"nine byte"), None);
    }

    #[test]
    fn adding_wraps_around() {
        assert_eq!(IntegerOp::Add(1).apply(Some(i64::MAX)), i64::MIN);
        assert_eq!(IntegerOp::Add(i64::MIN).apply(Some(-1)), i64::MAX);
    }
}
