//! What transactions do to keys, and what comes of it: said once more, as plainly
//! as possible, and without the code that is under test.

use bytes::Bytes;
use synod_common::key::Key;
use synod_common::message::bulk::{Write, WriteSet};
use synod_common::operation::{IntegerOp, Operation};

use super::rng::Rng;

/// Something done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It gets a value, or goes.
    Put(Option<Bytes>),
    /// Its number grows.
    Add(i64),
    /// Its number is at most this.
    Min(i64),
    /// Its number is at least this.
    Max(i64),
    /// These bytes come behind it.
    Append(Bytes),
}

impl Deed {
    /// What becomes of a value.
    ///
    /// # Errors
    /// If it had to be a number and is none.
    pub fn on(&self, value: Option<Bytes>) -> Result<Option<Bytes>, String> {
        let number = |value: Option<Bytes>| match value {
            None => Ok(None),
            Some(bytes) => match <[u8; 8]>::try_from(&bytes[..]) {
                Ok(bytes) => Ok(Some(i64::from_be_bytes(bytes))),
                Err(_) => Err(format!("{self:?} on {bytes:?}")),
            },
        };
        let cell = |number: i64| Ok(Some(Bytes::copy_from_slice(&number.to_be_bytes())));
        match self {
            Deed::Put(value) => Ok(value.clone()),
            Deed::Append(bytes) => {
                Ok(Some([value.unwrap_or_default(), bytes.clone()].concat().into()))
            }
            Deed::Add(n) => cell(number(value)?.unwrap_or(0).wrapping_add(*n)),
            Deed::Min(n) => cell(number(value)?.map_or(*n, |number| number.min(*n))),
            Deed::Max(n) => cell(number(value)?.map_or(*n, |number| number.max(*n))),
        }
    }

    /// Whether transactions may do both at one timestamp.
    pub fn commutes(&self, other: &Deed) -> bool {
        let kind = |deed: &Deed| match deed {
            Deed::Put(_) => 0,
            Deed::Add(_) | Deed::Min(_) | Deed::Max(_) => 1,
            Deed::Append(_) => 2,
        };
        kind(self) == kind(other) && kind(self) != 0
    }

    /// As it is sent.
    pub fn as_write(&self) -> Write<'_> {
        match self {
            Deed::Put(value) => value.as_deref().into(),
            Deed::Add(n) => Write::Operate(Operation::Integer(IntegerOp::Add(*n))),
            Deed::Min(n) => Write::Operate(Operation::Integer(IntegerOp::Min(*n))),
            Deed::Max(n) => Write::Operate(Operation::Integer(IntegerOp::Max(*n))),
            Deed::Append(bytes) => Write::Operate(Operation::Append(bytes)),
        }
    }

    fn of_write(write: &Write<'_>) -> Deed {
        match write {
            Write::Put(value) => Deed::Put(Some(Bytes::copy_from_slice(value))),
            Write::Delete => Deed::Put(None),
            Write::Operate(Operation::Integer(IntegerOp::Add(n))) => Deed::Add(*n),
            Write::Operate(Operation::Integer(IntegerOp::Min(n))) => Deed::Min(*n),
            Write::Operate(Operation::Integer(IntegerOp::Max(n))) => Deed::Max(*n),
            Write::Operate(Operation::Append(bytes)) => Deed::Append(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// What all of it makes of a value.
///
/// # Errors
/// As [`Deed::on`].
pub fn fold(deeds: &[Deed], value: Option<Bytes>) -> Result<Option<Bytes>, String> {
    deeds.iter().try_fold(value, |value, deed| deed.on(value))
}

/// Adds a deed to those of the same transaction on the same key, in the shortest
/// way to say it.
pub fn push(deeds: &mut Vec<Deed>, deed: Deed) {
    let both = match (deeds.last(), &deed) {
        (_, Deed::Put(_)) => {
            deeds.clear();
            None
        }
        (Some(Deed::Put(value)), deed) => {
            let value = deed.on(value.clone()).expect("only what can be done is done");
            Some(Deed::Put(value))
        }
        (Some(Deed::Add(a)), Deed::Add(b)) => Some(Deed::Add(a.wrapping_add(*b))),
        (Some(Deed::Min(a)), Deed::Min(b)) => Some(Deed::Min(*a.min(b))),
        (Some(Deed::Max(a)), Deed::Max(b)) => Some(Deed::Max(*a.max(b))),
        (Some(Deed::Append(a)), Deed::Append(b)) => Some(Deed::Append([&a[..], b].concat().into())),
        (
            None | Some(Deed::Add(_) | Deed::Min(_) | Deed::Max(_) | Deed::Append(_)),
            Deed::Add(_) | Deed::Min(_) | Deed::Max(_) | Deed::Append(_),
        ) => None,
    };
    if both.is_some() {
        deeds.pop();
    }
    deeds.push(both.unwrap_or(deed));
}

/// The deeds in a COMMIT, key by key.
///
/// # Errors
/// If it is malformed.
pub fn sent(writes: &[u8]) -> Result<super::history::Writes, String> {
    let mut sent = super::history::Writes::new();
    for write in WriteSet::read(writes) {
        let (key, write) = write.map_err(|bad| bad.to_string())?;
        sent.entry(Key::from(key)).or_default().push(Deed::of_write(&write));
    }
    Ok(sent)
}

/// A key that is counted in, or written behind.
pub fn key(rng: &mut Rng) -> Key {
    let name = if rng.chance(6_000) { "c" } else { "l" };
    Key::from(format!("{name}/{:02}", rng.below(4)).as_str())
}

/// All such keys.
pub fn keys() -> impl Iterator<Item = Key> {
    let names = ["c", "l"].into_iter();
    names.flat_map(|name| (0..4).map(move |i| Key::from(format!("{name}/{i:02}").as_str())))
}

/// Something to do to such a key. `who` is told by what is appended.
pub fn draw(rng: &mut Rng, key: &Key, who: &str) -> Deed {
    let number = rng.within(1..=40) as i64 - 20;
    match (key.starts_with(b"c/"), rng.below(20)) {
        (_, 0) => Deed::Put(None),
        (true, 1) => Deed::Put(Some(Bytes::copy_from_slice(&number.to_be_bytes()))),
        (true, 2..5) => Deed::Min(number),
        (true, 5..8) => Deed::Max(number),
        (true, _) => Deed::Add(number),
        (false, 1) => Deed::Put(Some(Bytes::from(format!("new {who}")))),
        (false, _) => Deed::Append(Bytes::from(format!("[{} {who}]", rng.below(1_000)))),
    }
}
