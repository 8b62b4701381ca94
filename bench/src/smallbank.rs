//! SmallBank: Alomari, Cahill, Fekete, Röhm, "The Cost of Serializability on Platforms That Use
//! Snapshot Isolation" (ICDE 2008), §III.
//!
//! Each account has two keys, checking and savings, wherever these lie.
//!
//! | of a hundred | | reads | changes |
//! | --- | --- | --- | --- |
//! | 15 | Balance | checking, savings | |
//! | 15 | DepositChecking | | checking + 1 |
//! | 15 | TransactSavings | | savings + 20 or - 20, unless there is less |
//! | 15 | Amalgamate | | all of one account into the checking of another |
//! | 15 | WriteCheck | savings | checking - 5, or - 6 if both together are less |
//! | 25 | SendPayment | | 5 from checking to checking, unless there is less |
//!
//! One transaction in four takes its accounts from the first hundred, the others from all.
//! One that is declined changes nothing and commits. Money comes and goes only as the table
//! says, so the sum at the end is known to the last coin. Under snapshot isolation it would
//! not be: WriteCheck would not see that TransactSavings takes what it counts on.

use crate::keyspace::Keyspace;
use crate::random::Random;

/// Of a hundred transactions, those between the first accounts.
const HOT_SHARE: u64 = 25;
const HOT_ACCOUNTS: u64 = 100;
const DEPOSIT: i64 = 1;
const SAVED: i64 = 20;
const CHECK: i64 = 5;
const PENALTY: i64 = 1;
const PAYMENT: i64 = 5;

/// One transaction, with the numbers of its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Banking {
    /// What an account has.
    Balance(u32),
    /// Money comes.
    DepositChecking(u32),
    /// So much comes or goes.
    TransactSavings(u32, i64),
    /// All of the first goes to the second.
    Amalgamate([u32; 2]),
    /// Money goes, and more of it if there is not enough.
    WriteCheck(u32),
    /// From the first to the second.
    SendPayment([u32; 2]),
}

/// The key of the balance that is paid from.
fn checking(account: u32) -> u32 {
    account * 2
}

/// The key of the other one.
fn savings(account: u32) -> u32 {
    account * 2 + 1
}

impl Banking {
    /// The next transaction.
    pub(crate) fn draw(keys: &Keyspace, random: &mut Random) -> Banking {
        let all = u64::from(keys.len() / 2);
        let accounts = if random.below(100) < HOT_SHARE { HOT_ACCOUNTS.min(all) } else { all };
        let first = random.below(accounts);
        let second = (first + 1 + random.below(accounts - 1)) % accounts;
        let [first, second] = [first, second].map(|account| account as u32);
        match random.below(100) {
            0..15 => Banking::Balance(first),
            15..30 => Banking::DepositChecking(first),
            30..45 => {
                let amount = if random.below(2) == 0 { SAVED } else { -SAVED };
                Banking::TransactSavings(first, amount)
            }
            45..60 => Banking::Amalgamate([first, second]),
            60..75 => Banking::WriteCheck(first),
            _ => Banking::SendPayment([first, second]),
        }
    }

    /// The keys that are only read.
    pub fn reads(self) -> Vec<u32> {
        match self {
            Banking::Balance(account) => vec![checking(account), savings(account)],
            Banking::WriteCheck(account) => vec![savings(account)],
            Banking::DepositChecking(_)
            | Banking::TransactSavings(..)
            | Banking::Amalgamate(_)
            | Banking::SendPayment(_) => vec![],
        }
    }

    /// The keys that are read and may be changed.
    pub fn changes(self) -> Vec<u32> {
        match self {
            Banking::Balance(_) => vec![],
            Banking::DepositChecking(account) | Banking::WriteCheck(account) => {
                vec![checking(account)]
            }
            Banking::TransactSavings(account, _) => vec![savings(account)],
            Banking::Amalgamate([from, to]) => {
                vec![checking(from), savings(from), checking(to)]
            }
            Banking::SendPayment(pair) => pair.map(checking).to_vec(),
        }
    }

    /// What becomes of the balances that may be changed, given those that are only read.
    pub fn apply(self, read: &[i64], held: &[i64]) -> Vec<i64> {
        match (self, held) {
            (Banking::DepositChecking(_), [checking]) => vec![checking + DEPOSIT],
            (Banking::TransactSavings(_, amount), [savings]) if savings + amount >= 0 => {
                vec![savings + amount]
            }
            (Banking::Amalgamate(_), [checking, savings, to]) => {
                vec![0, 0, checking + savings + to]
            }
            (Banking::WriteCheck(_), [checking]) => {
                let together = checking + read.iter().sum::<i64>();
                let penalty = if together < CHECK { PENALTY } else { 0 };
                vec![checking - CHECK - penalty]
            }
            (Banking::SendPayment(_), [from, to]) if *from >= PAYMENT => {
                vec![from - PAYMENT, to + PAYMENT]
            }
            // Declined, or nothing to change.
            _ => held.to_vec(),
        }
    }

    /// The least and the most that it may add to all balances together, if it is not known
    /// whether it was done.
    pub fn bounds(self) -> [i64; 2] {
        match self {
            Banking::Balance(_) | Banking::Amalgamate(_) | Banking::SendPayment(_) => [0, 0],
            Banking::DepositChecking(_) => [0, DEPOSIT],
            Banking::TransactSavings(_, amount) => [amount.min(0), amount.max(0)],
            Banking::WriteCheck(_) => [-CHECK - PENALTY, 0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::INITIAL;

    fn drawn(keys: u32) -> Vec<Banking> {
        let keys = Keyspace::new(keys, 2, |n| n as u16 % 2);
        let mut random = Random::new(3);
        (0..20_000).map(|_| Banking::draw(&keys, &mut random)).collect()
    }

    #[test]
    fn the_mix_is_the_usual_one() {
        let mut counts = [0u32; 6];
        for deed in drawn(100_000) {
            let kind = match deed {
                Banking::Balance(_) => 0,
                Banking::DepositChecking(_) => 1,
                Banking::TransactSavings(..) => 2,
                Banking::Amalgamate(_) => 3,
                Banking::WriteCheck(_) => 4,
                Banking::SendPayment(_) => 5,
            };
            counts[kind] += 1;
        }
        let of_a_hundred = counts.map(|count| f64::from(count) / 200.0);
        let is_near = |(share, expected): (&f64, f64)| (share - expected).abs() < 1.5;
        let expected = [15.0, 15.0, 15.0, 15.0, 15.0, 25.0];
        assert!(of_a_hundred.iter().zip(expected).all(is_near), "{of_a_hundred:?}");
    }

    #[test]
    fn one_in_four_is_between_the_first_accounts() {
        let deeds = drawn(100_000);
        let keys = |deed: &Banking| [deed.reads(), deed.changes()].concat();
        let is_hot = |deed: &&Banking| keys(deed).iter().all(|n| *n < 200);
        let hot = deeds.iter().filter(is_hot).count();
        assert!((4_700..5_300).contains(&hot), "{hot}");
        // All keys are there, also where there are only few.
        for deed in drawn(201) {
            assert!(keys(&deed).iter().all(|n| *n < 200), "{deed:?}");
            if let Banking::Amalgamate([a, b]) | Banking::SendPayment([a, b]) = deed {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn money_goes_where_the_table_says() {
        let apply = |deed: Banking, read: &[i64], held: &[i64]| deed.apply(read, held);
        assert_eq!(apply(Banking::DepositChecking(1), &[], &[3]), [4]);
        assert_eq!(apply(Banking::TransactSavings(1, -20), &[], &[20]), [0]);
        assert_eq!(apply(Banking::TransactSavings(1, -20), &[], &[19]), [19], "declined");
        assert_eq!(apply(Banking::Amalgamate([1, 2]), &[], &[3, 4, 5]), [0, 0, 12]);
        assert_eq!(apply(Banking::WriteCheck(1), &[4], &[1]), [-4]);
        assert_eq!(apply(Banking::WriteCheck(1), &[3], &[1]), [-5], "a penalty");
        assert_eq!(apply(Banking::SendPayment([1, 2]), &[], &[5, 0]), [0, 5]);
        assert_eq!(apply(Banking::SendPayment([1, 2]), &[], &[4, 0]), [4, 0], "declined");
        assert_eq!(apply(Banking::Balance(1), &[1, 2], &[]), [0; 0]);
    }

    #[test]
    fn what_is_added_is_within_the_bounds() {
        let mut random = Random::new(5);
        for deed in drawn(100_000) {
            let mut balance = |_: &u32| random.below(2 * INITIAL as u64) as i64 % 40 - 10;
            let read: Vec<i64> = deed.reads().iter().map(&mut balance).collect();
            let held: Vec<i64> = deed.changes().iter().map(&mut balance).collect();
            let after = deed.apply(&read, &held);
            assert_eq!(after.len(), held.len());
            let added = after.iter().sum::<i64>() - held.iter().sum::<i64>();
            let [least, most] = deed.bounds();
            assert!((least..=most).contains(&added), "{deed:?} of {held:?}: {added}");
            assert!((least..=most).contains(&0), "it may not have been done");
        }
    }
}
