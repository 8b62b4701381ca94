//! Situations of the lock table as scripts, in `tests/lock`.
//!
//! After a change that is meant: `UPDATE_GOLDENFILES=1 cargo test -p synod-shard`.
//!
//! * `lock t1 S a`, `lock t1 S a..c`, with `age=5` if the age is not the number
//! * `release t1`, `cancel 3`, `pin t1`

use std::error::Error;
use std::fmt::Write;

use goldenscript::{Command, Runner};
use synod_common::deadlock::VictimPolicy;
use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;
use synod_shard::lock::{Acquired, Capacity, LockTable, LockTarget, Mode, Ticket};

struct Locks(LockTable);

impl Runner for Locks {
    fn run(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let age = args.lookup_parse("age")?;
        let words: Vec<&str> = args.rest_pos().iter().map(|arg| &arg.value[..]).collect();
        args.reject_rest()?;
        let mut text = String::new();
        let mut grants = Vec::new();
        match (&command.name[..], &words[..]) {
            ("lock", [name, mode, target]) => {
                let (txn, target) = (txn(name)?, target_of(target));
                let mode = if *mode == "X" { Mode::Exclusive } else { Mode::Shared };
                let age = Timestamp(age.unwrap_or(txn.sequence));
                match self.0.acquire(txn, age, target, mode, &mut grants) {
                    Ok(Acquired::Granted) => writeln!(text, "granted")?,
                    Ok(Acquired::Waiting(ticket)) => writeln!(text, "waits {ticket}")?,
                    Err(refused) => writeln!(text, "refused: {refused}")?,
                }
                if let Some(cycle) = self.0.find_cycle(txn) {
                    let names: Vec<_> = cycle.iter().map(TxnId::to_string).collect();
                    let victim = self.0.victim(&cycle, VictimPolicy::Youngest, |_| 0);
                    writeln!(text, "deadlock {}, victim {victim}", names.join(" -> "))?;
                }
            }
            ("release", [name]) => self.0.release_all(txn(name)?, &mut grants),
            ("cancel", [ticket]) => _ = self.0.cancel(Ticket(ticket.parse()?), &mut grants),
            ("pin", [name]) => self.0.pin(txn(name)?),
            _ => return Err(format!("no such command: {}", command.name).into()),
        }
        for grant in grants {
            writeln!(text, "grants {} to {}", grant.ticket, grant.txn)?;
        }
        for line in self.0.dump().lines() {
            writeln!(text, "  {line}")?;
        }
        Ok(text)
    }
}

fn txn(name: &str) -> Result<TxnId, Box<dyn Error>> {
    let sequence = name.strip_prefix('t').ok_or("transactions look like t1")?.parse()?;
    Ok(TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence })
}

fn target_of(text: &str) -> LockTarget {
    match text.split_once("..") {
        None => LockTarget::Key(Key::from(text)),
        Some((start, end)) => LockTarget::Range(KeyRange {
            start: Key::from(start),
            end: (!end.is_empty()).then(|| Key::from(end)),
        }),
    }
}

macro_rules! scripts {
    ($($name:ident)*) => {
        /// A script that is not listed would never run.
        #[test]
        fn all_scripts_are_listed() {
            let dir = std::fs::read_dir("tests/lock").expect("the scripts are there");
            let names = dir.map(|entry| entry.expect("readable").file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().expect("ASCII")).collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }

        $(
        #[test]
        fn $name() {
            let mut locks = Locks(LockTable::new(Capacity { per_txn: 4, total: 8 }));
            let path = concat!("tests/lock/", stringify!($name));
            goldenscript::run(&mut locks, path).expect("the script is there");
        }
        )*
    };
}

scripts! {
    a_range_and_a_writer_wait_in_turn
    an_upgrade_goes_in_front
    capacity_is_refused_not_exceeded
    converging_waits_are_no_cycle
    nobody_waits_behind_who_waits_for_him
    ranges_that_touch_are_one_lock
    the_youngest_gives_way
    two_upgrades_are_a_deadlock
}
