//! Formats that have sessions of transactions and no times: each transaction becomes a
//! completion without an invocation, session by session.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use super::form::{Form, Shape, Tape, Text};
use super::formats::for_each_line;
use super::{Event, Kind, Malformed, Sink};

#[derive(Clone, Copy)]
struct Mop {
    write: bool,
    key: i64,
    /// None is the initial state.
    value: Option<i64>,
}

struct Txns<'a> {
    tape: Tape,
    sink: &'a mut dyn Sink,
    count: u64,
}

impl<'a> Txns<'a> {
    fn new(sink: &'a mut dyn Sink) -> Txns<'a> {
        Txns { tape: Tape::new(), sink, count: 0 }
    }

    fn give(&mut self, session: i64, committed: bool, mops: &[Mop]) -> Result<(), Malformed> {
        self.tape.clear();
        self.count += 1;
        let txn = self.tape.open(Shape::Vector);
        for mop in mops {
            let inner = self.tape.open(Shape::Vector);
            self.tape.text(Text::Keyword, if mop.write { "w" } else { "r" });
            self.tape.int(mop.key);
            match mop.value {
                Some(value) => self.tape.int(value),
                None => self.tape.nil(),
            }
            self.tape.close(inner);
        }
        self.tape.close(txn);
        let value: Form<'_> = self.tape.form(txn);
        let kind = if committed { Kind::Ok } else { Kind::Fail };
        let event = Event { kind, process: session, f: "txn", key: None, value, line: self.count };
        self.sink.event(&event)
    }
}

/// `w(KEY,VALUE,SESSION,TXN)`, `r(…)`; TXN -1 is aborted.
pub(super) fn plume(input: impl BufRead, sink: &mut dyn Sink) -> Result<(), Malformed> {
    // Sessions in the order of their numbers, transactions in that of their first line.
    let mut sessions: BTreeMap<i64, Vec<(bool, Vec<Mop>)>> = BTreeMap::new();
    let mut places: HashMap<(i64, i64), usize> = HashMap::new();
    for_each_line(input, |text, line| {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let Some((write, [key, value, session, txn])) = plume_event(text) else {
            return Err(Malformed::new(line, format!("{text:?}: w(…) or r(…) of four numbers")));
        };
        let txns = sessions.entry(session).or_default();
        let place = match places.get(&(session, txn)) {
            Some(place) if txn != -1 => *place,
            _ => {
                txns.push((txn != -1, Vec::new()));
                places.insert((session, txn), txns.len() - 1);
                txns.len() - 1
            }
        };
        txns[place].1.push(Mop { write, key, value: Some(value) });
        Ok(())
    })?;
    if places.contains_key(&(0, 0))
        && let Some([first]) = sessions.get(&0).map(Vec::as_slice)
        && is_initial(first)
    {
        sessions.remove(&0);
    }
    let mut given = Txns::new(sink);
    for (session, txns) in sessions {
        for (committed, mops) in txns {
            given.give(session, committed, &mops)?;
        }
    }
    Ok(())
}

/// Some spell out that each key begins as 0: by a transaction before all others, in a session
/// of its own. That is what a read of 0 means anyway.
fn is_initial((committed, mops): &(bool, Vec<Mop>)) -> bool {
    *committed && mops.iter().all(|mop| mop.write && mop.value == Some(0))
}

fn plume_event(text: &str) -> Option<(bool, [i64; 4])> {
    let (name, rest) = text.split_once('(')?;
    let mut numbers = rest.strip_suffix(')')?.split(',').map(|number| number.trim().parse().ok());
    let four = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    let write = match name.trim() {
        "w" => true,
        "r" => false,
        _ => return None,
    };
    numbers.next().is_none().then_some((write, four))
}

/// `w KEY VALUE`, `r KEY VALUE`, `-----` ends a transaction, `=====` a session.
pub(super) fn awdit(input: impl BufRead, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let mut given = Txns::new(sink);
    let (mut session, mut mops) = (0, Vec::new());
    for_each_line(input, |text, line| {
        let text = text.trim();
        if text.starts_with("--") || text.starts_with("==") {
            if !mops.is_empty() {
                given.give(session, true, &mops)?;
                mops.clear();
            }
            session += i64::from(text.starts_with("=="));
            return Ok(());
        }
        let mut words = text.split_whitespace();
        let Some(name) = words.next() else { return Ok(()) };
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        match (name, number(), number()) {
            ("w" | "r", Some(key), Some(value)) => {
                mops.push(Mop { write: name == "w", key, value: Some(value) });
                Ok(())
            }
            _ => Err(Malformed::new(line, format!("{text:?}: w KEY VALUE or r KEY VALUE"))),
        }
    })?;
    if mops.is_empty() { Ok(()) } else { given.give(session, true, &mops) }
}

/// Numbers of a binary file, and where it stands.
struct Numbers<R> {
    input: R,
    at: u64,
}

impl<R: Read> Numbers<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        self.input
            .read_exact(&mut bytes)
            .map_err(|error| Malformed::new(self.at, format!("{N} bytes: {error}")))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bool(&mut self) -> Result<bool, Malformed> {
        match self.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Malformed::new(self.at, format!("{other} is neither true nor false"))),
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Malformed> {
        let skipped = std::io::copy(&mut (&mut self.input).take(bytes), &mut std::io::sink());
        match skipped {
            Ok(skipped) if skipped == bytes => {}
            Ok(_) => return Err(Malformed::new(self.at, "it ends in a text")),
            Err(error) => return Err(Malformed::new(self.at, error.to_string())),
        }
        self.at += bytes;
        Ok(())
    }
}

/// Little endian; what the events of a transaction say is theirs only if they happened.
pub(super) fn dbcop(input: impl Read, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let mut numbers = Numbers { input, at: 0 };
    numbers.skip(5 * 8)?;
    for _ in ["info", "start", "end"] {
        let length = numbers.u64()?;
        numbers.skip(length)?;
    }
    let mut given = Txns::new(sink);
    let mut mops = Vec::new();
    for session in 0..numbers.u64()? {
        for _ in 0..numbers.u64()? {
            mops.clear();
            for _ in 0..numbers.u64()? {
                let write = numbers.bool()?;
                let (key, value) = (numbers.u64()?, numbers.u64()?);
                if numbers.bool()? {
                    mops.push(Mop { write, key: key as i64, value: Some(value as i64) });
                }
            }
            let committed = numbers.bool()?;
            given.give(session as i64, committed, &mops)?;
        }
    }
    match numbers.bytes::<1>() {
        Ok(_) => Err(Malformed::new(numbers.at - 1, "bytes behind the last session")),
        Err(_) => Ok(()),
    }
}

/// What Cobra writes where nothing was read, or where its own marker was.
const COBRA_INITIAL: [u64; 4] = [0xbebe_ebee, 0xdead_beef, 0x2333_2333, 0x6666_6666];

/// A folder of files, one for each session; big endian.
pub(super) fn cobra(folder: &Path, sink: &mut dyn Sink) -> Result<(), Malformed> {
    let unreadable = |error: std::io::Error| Malformed::new(0, error.to_string());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Malformed::new(0, "no *.log in that folder"));
    }
    let mut given = Txns::new(sink);
    for (session, path) in files.iter().enumerate() {
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        cobra_session(file, session as i64, &mut given).map_err(|mut malformed| {
            malformed.reason = format!("{}: {}", path.display(), malformed.reason);
            malformed
        })?;
    }
    Ok(())
}

fn cobra_session(input: impl Read, session: i64, given: &mut Txns<'_>) -> Result<(), Malformed> {
    let mut numbers = Numbers { input, at: 0 };
    let (mut open, mut mops) = (None, Vec::new());
    loop {
        let mut tag = [0];
        match numbers.input.read_exact(&mut tag) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(Malformed::new(numbers.at, error.to_string())),
            Ok(()) => numbers.at += 1,
        }
        let mut number = || numbers.bytes().map(u64::from_be_bytes);
        let value = |id: u64| (!COBRA_INITIAL.contains(&id)).then_some(id as i64);
        match (tag[0], open) {
            (b'S', None) => open = Some(number()?),
            (b'W', Some(_)) => {
                let (id, key, _) = (number()?, number()?, number()?);
                mops.push(Mop { write: true, key: key as i64, value: value(id) });
            }
            (b'R', Some(_)) => {
                let (_, id, key, _) = (number()?, number()?, number()?, number()?);
                mops.push(Mop { write: false, key: key as i64, value: value(id) });
            }
            (b'C', Some(txn)) => {
                if number()? != txn {
                    return Err(Malformed::new(numbers.at, "another transaction commits"));
                }
                // What it marks for its garbage collection is no data.
                mops.retain(|mop| !(mop.write && mop.value.is_none()));
                given.give(session, true, &mops)?;
                mops.clear();
                open = None;
            }
            (tag, _) => {
                let reason = format!("{:?} is not expected here", tag as char);
                return Err(Malformed::new(numbers.at - 1, reason));
            }
        }
    }
    if open.is_some() {
        return Err(Malformed::new(numbers.at, "the file ends inside a transaction"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_by_which_each_key_begins_as_0_is_none() {
        let processes = |text: &str| {
            let mut processes = Vec::new();
            let mut sink = |event: &Event<'_>| {
                processes.push(event.process);
                Ok(())
            };
            plume(text.as_bytes(), &mut sink).unwrap();
            processes
        };
        assert_eq!(processes("w(1,0,0,0)\nw(2,0,0,0)\nr(1,0,1,1)\n"), [1]);
        for like_others in ["w(1,0,0,0)\nr(1,0,0,1)\n", "w(1,7,0,0)\n", "r(1,0,0,0)\n"] {
            assert!(!processes(like_others).is_empty(), "{like_others}");
        }
    }

    #[test]
    fn what_is_behind_the_end_is_not_ignored() {
        let empty = [0_u8; 9 * 8];
        let mut none = |_: &Event<'_>| Ok(());
        assert_eq!(dbcop(&empty[..], &mut none), Ok(()));
        assert!(dbcop(&[empty, empty].concat()[..], &mut none).is_err());
    }
}
