//! Money that moves between accounts, and is never more or less.

use std::collections::BTreeMap;

use super::{Pairs, Step, integer, level, refuse};
use crate::budget::Budget;
use crate::checker::values::Values;
use crate::checker::{Anomaly, Checker, Finding, Options};
use crate::history::{Event, Form, Kind, Malformed, Sink};
use crate::level::Level;

/// Transfers and reads of all accounts. The initial state is the total, also in words as
/// `10 accounts, total 100`, or the balance of each account; what it does not say the first
/// read does.
///
/// # Errors
///
/// A level that it does not know, or an initial state that is neither.
pub fn bank(options: &Options) -> Result<Box<dyn Checker>, String> {
    let level = level(options, &[Level::Model])?;
    let mut bank = Bank {
        level,
        pairs: Pairs::new(),
        accounts: Values::default(),
        known: None,
        total: options.initial.as_deref().and_then(total_in_words),
        found: BTreeMap::new(),
    };
    options.initial(|form| match form {
        None => Ok(()),
        Some(form) if form.is_nil() => Ok(()),
        Some(form) if form.pairs().is_some() => {
            let balances = bank.balances(form)?;
            bank.total = Some(total(&balances));
            bank.known = Some(balances.into_keys().collect());
            Ok(())
        }
        Some(form) => {
            bank.total = Some(i128::from(integer(form)?));
            Ok(())
        }
    })?;
    Ok(Box::new(bank))
}

struct Bank {
    level: Level,
    pairs: Pairs<()>,
    accounts: Values,
    /// The accounts that there are, ascending, and what they hold together.
    known: Option<Vec<u32>>,
    total: Option<i128>,
    /// The first of each kind, and how many there are.
    found: BTreeMap<&'static str, (String, u64)>,
}

fn total_in_words(text: &str) -> Option<i128> {
    let (_, total) = text.rsplit_once("total ")?;
    total.trim().parse().ok()
}

type Balances = BTreeMap<u32, Option<i64>>;

fn total(balances: &Balances) -> i128 {
    balances.values().flatten().map(|balance| i128::from(*balance)).sum()
}

impl Bank {
    fn balances(&mut self, form: Form<'_>) -> Result<Balances, String> {
        let Some(pairs) = form.pairs() else { return Err(format!("{form} is no map")) };
        let mut balances = Balances::new();
        for (account, balance) in pairs {
            let balance = if balance.is_nil() { None } else { Some(integer(balance)?) };
            balances.insert(self.accounts.key(account), balance);
        }
        Ok(balances)
    }

    fn read(&mut self, event: &Event<'_>) -> Result<(), String> {
        let balances = self.balances(event.value)?;
        let line = event.line;
        let accounts: Vec<u32> = balances.keys().copied().collect();
        let known = self.known.get_or_insert_with(|| accounts.clone()).clone();
        for account in known.iter().filter(|account| !balances.contains_key(account)) {
            let account = self.accounts.name(*account);
            let words = format!("the read of line {line} misses account {account}");
            self.found("missing-key", words);
        }
        for account in accounts.iter().filter(|account| known.binary_search(account).is_err()) {
            let account = self.accounts.name(*account);
            let words = format!("the read of line {line} has account {account}, which is new");
            self.found("unexpected-key", words);
        }
        for (account, balance) in &balances {
            let account = self.accounts.name(*account);
            match balance {
                None => {
                    let words = format!("account {account} holds nil in the read of line {line}");
                    self.found("nil-balance", words);
                }
                Some(balance) if *balance < 0 => {
                    let words =
                        format!("account {account} holds {balance} in the read of line {line}");
                    self.found("negative-value", words);
                }
                Some(_) => {}
            }
        }
        let read = total(&balances);
        let expected = *self.total.get_or_insert(read);
        if read != expected {
            let words = format!("the total of line {line} is {read}, not {expected}");
            self.found("wrong-total", words);
        }
        Ok(())
    }

    fn found(&mut self, name: &'static str, words: String) {
        self.found.entry(name).or_insert((words, 0)).1 += 1;
    }
}

impl Sink for Bank {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Malformed> {
        let step = self.pairs.next(event, || Ok(()))?;
        match (event.f, step) {
            ("read", Step::Ended(_)) if event.kind == Kind::Ok => {
                self.read(event).map_err(|reason| Malformed::new(event.line, reason))
            }
            ("read" | "transfer", _) => Ok(()),
            (other, _) => refuse(event, format!("a bank cannot {other}")),
        }
    }
}

impl Checker for Bank {
    fn finish(self: Box<Self>, _: &mut Budget) -> Finding {
        let anomalies: Vec<Anomaly> = self
            .found
            .iter()
            .map(|(name, (words, count))| Anomaly {
                name: (*name).to_owned(),
                words: format!("{words}; {count} of that kind"),
                breaks: vec![Level::Model],
                picture: None,
            })
            .collect();
        Finding::new(self.level, anomalies, self.pairs.ops, None)
    }
}
