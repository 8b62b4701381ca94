//! What is wrong with a read by itself.

use rustc_hash::FxHashMap;

use super::super::anomaly;
use super::super::atom::Atom;
use super::super::table::{Act, Mop, NONE, SEVERAL, Status, TxnNo};
use super::Registers;
use crate::checker::Anomaly;

/// Looks at each read that is not of the transaction's own write.
pub(super) fn single_reads(registers: &Registers, found: &mut Vec<Anomaly>) {
    let mut report = |name: &str, words: String| {
        anomaly::report(found, name, || words);
    };
    let mut updates: FxHashMap<(u32, Option<Atom>), TxnNo> = FxHashMap::default();
    for (txn, row) in registers.table.iter() {
        if row.status != Status::Ok {
            continue;
        }
        let line = row.line;
        let mops = registers.table.mops(txn);
        for (place, mop) in mops.iter().enumerate() {
            let Act::Read(value) = mop.act else { continue };
            let key = registers.key_text(mop.key);
            let writer = registers.writer(mop.key, value);
            let text = || registers.value_text(value);
            match writer {
                NONE if registers.is_initial(mop.key, value) || registers.allow_unwritten => {}
                NONE => report(
                    "garbage-read",
                    format!("line {line} read {} of key {key}, which nobody wrote", text()),
                ),
                SEVERAL => {}
                writer if writer == txn => {}
                writer => {
                    let theirs = registers.table.txn(writer);
                    if theirs.status == Status::Fail {
                        let words = format!(
                            "line {line} read {} of key {key}, which the failed transaction of \
                             line {} wrote",
                            text(),
                            theirs.line
                        );
                        report("G1a", words);
                    }
                    if newest(registers.table.mops(writer), mop.key) != value {
                        let words = format!(
                            "line {line} read {} of key {key}, which line {} wrote and did not \
                             leave so",
                            text(),
                            theirs.line
                        );
                        report("G1b", words);
                    }
                }
            }
            let first = mops[..place].iter().all(|before| before.key != mop.key);
            let writes = |mop: &&Mop| matches!(mop.act, Act::Write(_));
            if first && mops[place..].iter().filter(writes).any(|write| write.key == mop.key) {
                let version = if registers.is_initial(mop.key, value) { None } else { value };
                let other = *updates.entry((mop.key, version)).or_insert(txn);
                if other != txn {
                    let words = format!(
                        "lines {} and {line} have both read {} of key {key} and replaced it",
                        registers.table.txn(other).line,
                        text()
                    );
                    report("lost-update", words);
                }
            }
        }
    }
}

/// What a transaction has left in a key.
pub(super) fn newest(mops: &[Mop], key: u32) -> Option<Atom> {
    mops.iter().rev().filter(|mop| mop.key == key).find_map(|mop| match mop.act {
        Act::Write(value) => Some(value),
        _ => None,
    })
}
