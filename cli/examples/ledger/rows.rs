//! The bank's file, row by row.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};

/// One movement on a customer's account. Amounts are in hundredths of a crown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The bank's number of it.
    pub id: u64,
    /// The customer's account.
    pub account: u64,
    /// As the bank writes days: `930101`.
    pub date: u32,
    /// What the account gains; negative if it loses.
    pub change: i64,
    /// What the bank says the account holds afterwards.
    pub balance: i64,
    /// Where the money comes from, or goes.
    pub counter: Counter,
}

/// The other side of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Notes and coins, at the counter or by card.
    Cash,
    /// Other banks.
    Banks,
    /// Interest that the bank pays, or takes as a penalty.
    Interest,
    /// What the bank charges for its services.
    Fees,
}

impl Counter {
    /// Its name in keys.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Cash => "cash",
            Counter::Banks => "banks",
            Counter::Interest => "interest",
            Counter::Fees => "fees",
        }
    }
}

/// Reads the file.
///
/// # Errors
/// If it can not be read, or a row makes no sense; says which.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
    // Latin-1: every byte is its own character.
    let text: String = bytes.into_iter().map(char::from).collect();
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for (i, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        let row = parse(line).with_context(|| format!("{}:{}", path.display(), i + 1))?;
        anyhow::ensure!(seen.insert(row.id), "{}:{}: twice: {}", path.display(), i + 1, row.id);
        rows.push(row);
    }
    anyhow::ensure!(!rows.is_empty(), "{} has no rows", path.display());
    Ok(rows)
}

fn parse(line: &str) -> Result<Row> {
    let fields: Vec<&str> = line.split(';').map(|field| field.trim_matches('"')).collect();
    let [id, account, date, kind, operation, amount, balance, symbol, ..] = fields[..] else {
        anyhow::bail!("{} columns, where at least 8 are needed", fields.len());
    };
    let amount = hundredths(amount)?;
    let change = match kind {
        "PRIJEM" => amount,
        "VYDAJ" | "VYBER" => -amount,
        other => anyhow::bail!("'{other}' is no type"),
    };
    // What it is for goes before how it was done: fees are booked as withdrawals.
    let counter = match (symbol, operation) {
        ("UROK" | "SANKC. UROK", _) => Counter::Interest,
        ("SLUZBY", _) => Counter::Fees,
        (_, "PREVOD NA UCET" | "PREVOD Z UCTU") => Counter::Banks,
        (_, "VKLAD" | "VYBER" | "VYBER KARTOU") => Counter::Cash,
        (symbol, operation) => anyhow::bail!("'{operation}' for '{symbol}' is not known"),
    };
    Ok(Row {
        id: id.parse().context("trans_id")?,
        account: account.parse().context("account_id")?,
        date: date.parse().context("date")?,
        change,
        balance: hundredths(balance)?,
        counter,
    })
}

/// `-12.30` as -1230.
fn hundredths(text: &str) -> Result<i64> {
    let bad = || format!("'{text}' is no amount");
    let digits = text.strip_prefix('-');
    let (whole, part) = digits.unwrap_or(text).split_once('.').with_context(bad)?;
    anyhow::ensure!(part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()), bad());
    let (whole, part): (u32, i64) = (whole.parse().with_context(bad)?, part.parse()?);
    let amount = i64::from(whole) * 100 + part;
    Ok(if digits.is_some() { -amount } else { amount })
}
