//! Situations of the lock table as scripts, in `tests/lock`.
//!
//! After a change that is meant: `UPDATE_GOLDENFILES=1 cargo test -p synod-shard`.
//!
//! * `lock t1 S a`, `lock t1 X a..c`, with `age=5` if the age is not the number,
//!   and `turn=5` to go in front of those who do not say it, whose turn is 10; the
//!   modes are S, U, X, I and A
//! * `try t1 S a` does not wait
//! * `downgrade t1 a S`, `unlock t1 a..c`
//! * `release t1`, `cancel 3`, `pin t1`
//! * `capacity 4 8` begins with an empty table that holds so many per transaction
//!   and in all
//!
//! Each command prints the table afterwards, but with `quiet=true`.

use std::error::Error;
use std::fmt::Write;

use goldenscript::{Command, Runner};
use synod_common::deadlock::VictimPolicy;
use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;
use synod_shard::lock::{
    Acquired, Asker, Capacity, LockTable, LockTarget, Mode, Ticket, Tried, Turn,
};

struct Locks(LockTable);

impl Runner for Locks {
    fn run(&mut self, command: &Command) -> Result<String, Box<dyn Error>> {
        let mut args = command.consume_args();
        let (age, turn) = (args.lookup_parse("age")?, args.lookup_parse("turn")?);
        let quiet = args.lookup_parse("quiet")?.unwrap_or(false);
        let words: Vec<&str> = args.rest_pos().iter().map(|arg| &arg.value[..]).collect();
        args.reject_rest()?;
        let mut text = String::new();
        let mut grants = Vec::new();
        match (&command.name[..], &words[..]) {
            ("lock", [name, mode, target]) => {
                let (txn, mode, target) = (txn(name)?, mode_of(mode)?, target_of(target));
                let asker = asker(txn, age, turn);
                match self.0.acquire(asker, target, mode, &mut grants) {
                    Ok(Acquired::Granted) => writeln!(text, "granted")?,
                    Ok(Acquired::Waiting(ticket)) => writeln!(text, "waits {ticket}")?,
                    Err(refused) => writeln!(text, "refused: {refused}")?,
                }
                self.tell_deadlock(txn, &mut text)?;
            }
            ("try", [name, mode, target]) => {
                let (txn, mode, target) = (txn(name)?, mode_of(mode)?, target_of(target));
                let asker = asker(txn, age, turn);
                match self.0.try_acquire(asker, target, mode, &mut grants) {
                    Ok(Tried::Granted) => writeln!(text, "granted")?,
                    Ok(Tried::Blocked(other)) => writeln!(text, "blocked by {other}")?,
                    Err(refused) => writeln!(text, "refused: {refused}")?,
                }
            }
            ("downgrade", [name, target, mode]) => {
                let (txn, target, mode) = (txn(name)?, target_of(target), mode_of(mode)?);
                if !self.0.downgrade(txn, &target, Some(mode), &mut grants) {
                    writeln!(text, "unchanged")?;
                }
                self.tell_deadlock(txn, &mut text)?;
            }
            ("unlock", [name, target]) => {
                let (txn, target) = (txn(name)?, target_of(target));
                if !self.0.downgrade(txn, &target, None, &mut grants) {
                    writeln!(text, "unchanged")?;
                }
                self.tell_deadlock(txn, &mut text)?;
            }
            ("release", [name]) => self.0.release_all(txn(name)?, &mut grants),
            ("cancel", [ticket]) => {
                if !self.0.cancel(Ticket(ticket.parse()?), &mut grants) {
                    writeln!(text, "waits no more")?;
                }
            }
            ("pin", [name]) => self.0.pin(txn(name)?),
            ("capacity", [per_txn, total]) => {
                let capacity = Capacity { per_txn: per_txn.parse()?, total: total.parse()? };
                self.0 = LockTable::new(capacity);
            }
            _ => return Err(format!("no such command: {}", command.name).into()),
        }
        for grant in grants {
            writeln!(text, "grants {} to {}", grant.ticket, grant.txn)?;
        }
        for line in self.0.dump().lines().filter(|_| !quiet) {
            writeln!(text, "  {line}")?;
        }
        Ok(text)
    }
}

impl Locks {
    fn tell_deadlock(&self, txn: TxnId, text: &mut String) -> std::fmt::Result {
        let Some(cycle) = self.0.find_cycle(txn) else { return Ok(()) };
        let names: Vec<_> = cycle.iter().map(TxnId::to_string).collect();
        let victim = self.0.victim(&cycle, VictimPolicy::Youngest, |_| 0);
        writeln!(text, "deadlock {}, victim {victim}", names.join(" -> "))
    }
}

/// Unless it is said, all have the same turn.
fn asker(txn: TxnId, age: Option<u64>, turn: Option<u64>) -> Asker {
    Asker { txn, age: Timestamp(age.unwrap_or(txn.sequence)), turn: Turn(turn.unwrap_or(10)) }
}

fn mode_of(name: &str) -> Result<Mode, Box<dyn Error>> {
    let modes = [Mode::Shared, Mode::Update, Mode::Exclusive, Mode::Increment, Mode::Append];
    let found = modes.into_iter().find(|mode| mode.to_string() == name);
    found.ok_or_else(|| format!("no such mode: {name}").into())
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
            let mut locks = Locks(LockTable::new(Capacity { per_txn: 16, total: 64 }));
            let path = concat!("tests/lock/", stringify!($name));
            goldenscript::run(&mut locks, path).expect("the script is there");
        }
        )*
    };
}

scripts! {
    a_prepared_transaction_keeps_its_locks
    a_queue_behind_a_deadlock_moves_on
    a_range_and_a_writer_wait_in_turn
    a_range_is_read_beside_update
    a_range_kept_exclusively_locks_absent_keys
    a_range_locks_absent_keys
    a_range_that_waits_blocks_later_readers
    a_range_that_was_read_is_upgraded_in_front
    a_reader_asks_for_update_in_front_of_a_writer
    a_reader_queues_for_update_behind_others
    a_writer_is_alone
    adding_to_what_one_read_is_exclusive
    an_exclusive_range_waits_for_every_lock_inside
    an_increment_waits_behind_a_reader_that_waits
    an_update_and_a_reader_who_both_write_deadlock
    an_update_joins_readers
    an_update_that_writes_keeps_new_readers_out
    an_upgrade_goes_in_front
    an_upgrade_with_readers_waiting
    an_upgrade_without_its_lock_is_still_waited_for
    appends_share_a_key
    cancel_in_the_middle_of_a_queue
    cancel_of_a_range_lets_others_pass
    capacity_is_refused_not_exceeded
    compatible_requests_pass_together
    converging_waits_are_no_cycle
    deadlock_of_ten
    deadlock_of_three_over_a_range
    deadlock_of_two
    downgrade_lets_readers_in
    downgrade_never_makes_stronger
    downgrade_of_an_update_lets_the_next_one_in
    exclusive_ranges_exclude_each_other
    increments_and_appends_exclude_each_other
    increments_pass_together
    increments_share_a_hot_key
    many_wait_for_one_and_none_in_a_circle
    nobody_waits_behind_who_waits_for_him
    nowait_does_not_pass_those_who_wait
    nowait_on_a_range_finds_a_key_inside
    nowait_says_who_is_in_the_way
    nowait_upgrades_at_once_or_not_at_all
    one_update_at_a_time
    own_ranges_cover_keys_inside
    ranges_of_each_mode_merge_apart
    ranges_that_touch_are_one_lock
    ranges_to_read_share
    readers_join_an_update
    readers_share_a_key
    reading_what_one_adds_to_is_exclusive
    requests_are_granted_in_their_order
    shared_then_update_then_exclusive
    the_youngest_gives_way
    turns_come_before_the_order_of_arrival
    two_upgrades_are_a_deadlock
    two_who_add_and_then_read_deadlock
    unlock_drops_one_lock
    unlock_leaves_keys_inside_a_range
    unlock_of_a_range_leaves_a_hole
    update_on_a_range_is_exclusive
    waiting_twice_for_one_holder_is_no_cycle
    writing_inside_a_range_that_others_read_deadlocks
}
