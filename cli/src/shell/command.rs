//! What a line says.

use anyhow::{Result, anyhow, bail};
use synod_client::{Isolation, Key, KeyRange, LockMode, Protocol, Timestamp, TxnId};

use crate::text;

/// All first words, for completion.
pub const NAMES: [&str; 21] = [
    "abort",
    "add",
    "append",
    "at",
    "begin",
    "commit",
    "delete",
    "exit",
    "get",
    "get-for-update",
    "help",
    "lock",
    "max",
    "min",
    "outcome",
    "put",
    "quit",
    "rollback-to",
    "savepoint",
    "scan",
    "status",
];

/// A command of the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// At the level that is named, if one is.
    Begin(Option<Isolation>, Option<Protocol>),
    Get(Key),
    GetForUpdate(Key),
    Put(Key, Vec<u8>),
    Delete(Key),
    Add(Key, i64),
    Min(Key, i64),
    Max(Key, i64),
    Append(Key, Vec<u8>),
    Scan {
        range: KeyRange,
        limit: Option<usize>,
        reverse: bool,
    },
    Lock {
        what: Lockable,
        mode: LockMode,
        nowait: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    Commit,
    Abort,
    /// `None` is now.
    At(Option<Timestamp>),
    Outcome(TxnId),
    Status,
    Help,
    Exit,
}

/// What a lock can be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lockable {
    Key(Key),
    Range(KeyRange),
}

impl Command {
    /// What a line says; `None` if it is empty or a comment.
    ///
    /// # Errors
    /// If it is no command; says what one looks like.
    pub fn parse(line: &str) -> Result<Option<Command>> {
        let words = words(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((&name, rest)) = words.split_first() else { return Ok(None) };
        let command = match (name, rest) {
            ("begin", options) => begin(options)?,
            ("get", [key]) => Command::Get(text::key(key)?),
            ("get-for-update", [key]) => Command::GetForUpdate(text::key(key)?),
            ("put", [key, value]) => Command::Put(text::key(key)?, text::unescape(value)?),
            ("delete", [key]) => Command::Delete(text::key(key)?),
            ("add", [key, n]) => Command::Add(text::key(key)?, integer(n)?),
            ("min", [key, n]) => Command::Min(text::key(key)?, integer(n)?),
            ("max", [key, n]) => Command::Max(text::key(key)?, integer(n)?),
            ("append", [key, bytes]) => Command::Append(text::key(key)?, text::unescape(bytes)?),
            ("scan", [start, end, options @ ..]) => scan(start, end, options)?,
            ("commit", []) => Command::Commit,
            ("abort", []) => Command::Abort,
            ("at", ["now"]) => Command::At(None),
            ("at", [timestamp]) => Command::At(Some(parse_timestamp(timestamp)?)),
            ("outcome", [txn]) => Command::Outcome(txn.parse()?),
            ("status", []) => Command::Status,
            ("help", _) => Command::Help,
            ("exit" | "quit", []) => Command::Exit,
            ("lock", [words @ .., "nowait"]) => lock(words, true)?,
            ("lock", words) => lock(words, false)?,
            ("savepoint", [name]) => Command::Savepoint((*name).to_owned()),
            ("rollback-to", [name]) => Command::RollbackTo((*name).to_owned()),
            (name, _) => match usage(name) {
                Some(usage) => bail!("usage: {usage}"),
                None => bail!("'{name}' is no command; type help to see them all"),
            },
        };
        Ok(Some(command))
    }
}

fn usage(name: &str) -> Option<&'static str> {
    Some(match name {
        "get" => "get KEY",
        "get-for-update" => "get-for-update KEY",
        "put" => "put KEY VALUE",
        "delete" => "delete KEY",
        "add" => "add KEY N",
        "min" => "min KEY N",
        "max" => "max KEY N",
        "append" => "append KEY BYTES",
        "scan" => "scan A B [--limit N] [--reverse]",
        "lock" => LOCK,
        "savepoint" => "savepoint NAME",
        "rollback-to" => "rollback-to NAME",
        "commit" => "commit",
        "abort" => "abort",
        "at" => "at TIMESTAMP, or at now",
        "outcome" => "outcome TXN",
        "status" => "status",
        "exit" | "quit" => "exit",
        _ => return None,
    })
}

const LOCK: &str = "lock KEY [shared|update|exclusive] [nowait], or lock A B … for a range";

/// The last word may be a mode; what is left is a key, or a range.
fn lock(words: &[&str], nowait: bool) -> Result<Command> {
    let (mode, words) = match words {
        [words @ .., "shared"] => (LockMode::Shared, words),
        [words @ .., "update"] => (LockMode::Update, words),
        [words @ .., "exclusive"] => (LockMode::Exclusive, words),
        words => (LockMode::Exclusive, words),
    };
    let what = match words {
        [key] => Lockable::Key(text::key(key)?),
        [start, end] => Lockable::Range(text::range(start, end)?),
        _ => bail!("usage: {LOCK}"),
    };
    Ok(Command::Lock { what, mode, nowait })
}

fn begin(options: &[&str]) -> Result<Command> {
    let (mut isolation, mut protocol) = (None, None);
    for &option in options {
        match (option, option.parse(), option.parse()) {
            (_, Ok(_), _) if isolation.is_some() => bail!("a transaction has one isolation level"),
            (_, _, Ok(_)) if protocol.is_some() => bail!("a transaction has one commit protocol"),
            (_, Ok(level), _) => isolation = Some(level),
            (_, _, Ok(choice)) => protocol = Some(choice),
            (_, Err(_), Err(_)) => bail!(
                "usage: begin [serializable|snapshot|read-committed|optimistic] \
                 [auto|2pc|3pc|paxos|paxos-faster|3pc-classical]"
            ),
        }
    }
    Ok(Command::Begin(isolation, protocol))
}

fn scan(start: &str, end: &str, options: &[&str]) -> Result<Command> {
    let range = text::range(start, end)?;
    let (mut limit, mut reverse) = (None, false);
    let mut options = options.iter();
    while let Some(&option) = options.next() {
        match option {
            "--reverse" => reverse = true,
            "--limit" => {
                let rows = options.next().and_then(|rows| rows.parse().ok());
                limit = Some(rows.ok_or_else(|| anyhow!("--limit wants a number of rows"))?);
            }
            _ => bail!("usage: scan A B [--limit N] [--reverse]"),
        }
    }
    Ok(Command::Scan { range, limit, reverse })
}

fn integer(text: &str) -> Result<i64> {
    text.parse().map_err(|_| anyhow!("'{text}' is no integer of 64 bits"))
}

fn parse_timestamp(text: &str) -> Result<Timestamp> {
    let timestamp = text.parse().map(Timestamp);
    timestamp.map_err(|_| anyhow!("'{text}' is no timestamp; commit prints one"))
}

/// Splits a line at spaces that are not between double quotes. Within quotes
/// `\"` is a quote; other escapes are left for [`text::unescape`]. A word that
/// begins with `#` begins a comment.
fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                word.get_or_insert_default().push('"');
            }
            '\\' if chars.peek() == Some(&'\\') => {
                chars.next();
                word.get_or_insert_default().push_str("\\\\");
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            '#' if word.is_none() && !quoted => return Ok(words),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        bail!("a double quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_into_words() {
        let split = |line: &str| words(line).unwrap();
        assert_eq!(split("  put a  b # c"), ["put", "a", "b"]);
        assert_eq!(split(r#"put "a b" "" "c\"d" e#f"#), ["put", "a b", "", "c\"d", "e#f"]);
        assert_eq!(split(r#"put "a\\" b\x20c"#), ["put", r"a\\", r"b\x20c"]);
        assert!(words("put \"a").is_err());
    }

    #[test]
    fn commands_are_parsed() {
        let parse = |line: &str| Command::parse(line).unwrap().unwrap();
        assert_eq!(Command::parse(" # nothing").unwrap(), None);
        assert_eq!(
            parse("begin serializable 2pc"),
            Command::Begin(Some(Isolation::Serializable), Some(Protocol::TwoPhase))
        );
        assert_eq!(parse("begin"), Command::Begin(None, None));
        assert_eq!(parse("begin auto"), Command::Begin(None, Some(Protocol::Auto)));
        assert_eq!(parse("begin paxos"), Command::Begin(None, Some(Protocol::PaxosCommit)));
        let snapshot = Command::Begin(Some(Isolation::Snapshot), Some(Protocol::ThreePhase));
        assert_eq!(parse("begin 3pc snapshot"), snapshot);
        assert_eq!(parse(r"put a\x00 b"), Command::Put(Key::from(&b"a\0"[..]), b"b".to_vec()));
        assert_eq!(parse("add hits -3"), Command::Add(Key::from("hits"), -3));
        assert_eq!(parse(r"append log a\x00"), Command::Append(Key::from("log"), b"a\0".to_vec()));
        assert_eq!(parse("at now"), Command::At(None));
        let scan = Command::Scan {
            range: KeyRange { start: Key::from("a"), end: None },
            limit: Some(3),
            reverse: true,
        };
        assert_eq!(parse("scan a \"\" --limit 3 --reverse"), scan);
    }

    #[test]
    fn locks_are_on_keys_or_ranges() {
        let parse = |line: &str| Command::parse(line).unwrap().unwrap();
        let (a, b) = (Key::from("a"), Key::from("b"));
        let lock = |what, mode, nowait| Command::Lock { what, mode, nowait };
        let key = || Lockable::Key(a.clone());
        let range = || Lockable::Range(KeyRange { start: a.clone(), end: Some(b.clone()) });
        assert_eq!(parse("lock a"), lock(key(), LockMode::Exclusive, false));
        assert_eq!(parse("lock a update nowait"), lock(key(), LockMode::Update, true));
        assert_eq!(parse("lock a b"), lock(range(), LockMode::Exclusive, false));
        assert_eq!(parse("lock a b shared"), lock(range(), LockMode::Shared, false));
    }

    #[test]
    fn wrong_lines_say_what_is_right() {
        let says = |line: &str| Command::parse(line).unwrap_err().to_string();
        assert_eq!(says("put a"), "usage: put KEY VALUE");
        assert_eq!(says("frobnicate"), "'frobnicate' is no command; type help to see them all");
        assert!(says("begin 3pc 2pc").contains("one commit protocol"));
        assert!(says("begin snapshot optimistic").contains("one isolation level"));
        assert!(says("begin chaos").starts_with("usage: begin"));
        assert_eq!(says("max k"), "usage: max KEY N");
        assert!(says("add k 9223372036854775808").contains("64 bits"));
        assert!(says("lock a b c").starts_with("usage: lock"));
        assert!(says("lock update").starts_with("usage: lock"));
        assert_eq!(says("savepoint"), "usage: savepoint NAME");
        assert_eq!(says("rollback-to a b"), "usage: rollback-to NAME");
        assert!(says("at noon").contains("no timestamp"));
        assert!(says("scan a b --limit x").contains("number"));
    }
}
