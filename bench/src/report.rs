//! What a run found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use synod_client::Error;
use synod_common::commit::Price;

use crate::keyspace::Sum;
use crate::measure::Measured;
use crate::synod::{BenchOptions, Broken, Bulk, Cost, Counters};
use crate::workload::Workload;

/// The result of a run. Field names are what programs rely on.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which workload.
    pub workload: &'static str,
    /// Clients at a time.
    pub clients: u32,
    /// Which commit protocol.
    pub protocol: String,
    /// How many coordinators there were.
    pub coordinators: u16,
    /// How the transactions were isolated.
    pub isolation: &'static str,
    /// How long was measured.
    pub seconds: f64,
    /// In an open loop: how many transactions were due in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// In an open loop: those that were due and did not begin before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
    /// Transactions a second.
    pub txn_per_s: f64,
    /// Of how many runs this is the middle one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Half of them took at most so long.
    pub p50_us: u64,
    /// All but one in a hundred took at most so long.
    pub p99_us: u64,
    /// Attempts that were aborted.
    pub aborts: u64,
    /// Attempts that were made again.
    pub retries: u64,
    /// Transactions that failed.
    pub errors: u64,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Fsyncs of all logs, per transaction.
    pub fsyncs_per_txn: Option<f64>,
    /// Fsyncs of the busiest log, per transaction.
    pub fsyncs_per_txn_per_log: Option<f64>,
    /// Messages that servers sent, per transaction.
    pub messages_per_txn: Option<f64>,
    /// Those of them that are of the commit protocol, per transaction.
    pub commit_messages_per_txn: Option<f64>,
    /// Records that had to be durable before something was told, per transaction.
    pub forced_writes_per_txn: Option<f64>,
    /// CPU time of all processes, the clients' included, per transaction.
    pub cpu_us_per_txn: Option<f64>,
    /// The same, by process.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cpu_us_per_txn_by_process: BTreeMap<String, f64>,
    /// Resident memory of each server at the end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub server_rss_bytes: BTreeMap<String, u64>,
    /// The longest transaction.
    pub max_us: u64,
    /// Keys found at the end.
    pub keys: u64,
    /// The sum of all balances at the end.
    pub sum: i64,
    /// Whether the sum and all values are what they must be.
    pub sum_ok: bool,
    /// What only `commit` finds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitCost>,
    /// What only `load` finds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<Bulk>,
    /// What only `deadlock` finds.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}

/// How far apart several runs were.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// How many there were.
    pub runs: usize,
    /// Transactions a second in the slowest one.
    pub txn_per_s_min: f64,
    /// And in the fastest one.
    pub txn_per_s_max: f64,
}

/// What a commit costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CommitCost {
    /// How many shards take part.
    pub participants: u16,
    /// What the book says.
    pub by_the_book: Price,
    /// What it is to be here; it says how many delays there are, which nothing counts.
    pub here: Price,
}

impl CommitCost {
    fn of(options: &BenchOptions, coordinators: u16) -> Option<CommitCost> {
        let Workload::Commit(participants) = options.workload else { return None };
        let by_the_book = Price::by_the_book(options.protocol, participants, coordinators);
        let here = Price::here(options.protocol, participants, coordinators);
        Some(CommitCost { participants, by_the_book, here })
    }
}

impl Report {
    pub(crate) fn of(
        options: &BenchOptions,
        coordinators: u16,
        measured: Measured<Option<Counters>>,
        sum: &Sum,
    ) -> Report {
        let txns = measured.metered_txns();
        let Measured { seen, time, meter: [before, after], .. } = measured;
        let cost = Cost::between(before, after, txns).unwrap_or_default();
        let last_error = seen.last_error.as_ref().and_then(|error| error.downcast_ref());
        let aborted = matches!(last_error, Some(Error::Aborted(_) | Error::Retry(_)));
        Report {
            workload: options.workload.name(),
            clients: options.clients,
            protocol: options.protocol.used_by(coordinators).to_string(),
            coordinators,
            isolation: options.workload.isolation(),
            seconds: time.as_secs_f64(),
            rate: options.rate,
            missed: options.rate.map(|_| seen.missed),
            txn_per_s: round(seen.done as f64 / time.as_secs_f64()),
            spread: None,
            p50_us: seen.latency.value_at_quantile(0.5),
            p99_us: seen.latency.value_at_quantile(0.99),
            max_us: seen.latency.max(),
            aborts: seen.retries + if aborted { seen.errors } else { 0 },
            retries: seen.retries,
            errors: seen.errors,
            last_error: seen.last_error.as_ref().map(ToString::to_string),
            fsyncs_per_txn: Cost::total(&cost.fsyncs),
            fsyncs_per_txn_per_log: cost.fsyncs_of_one_log(),
            messages_per_txn: Cost::total(&cost.messages),
            commit_messages_per_txn: Cost::total(&cost.commit_messages),
            forced_writes_per_txn: Cost::total(&cost.forced),
            cpu_us_per_txn: Cost::total(&cost.cpu_us),
            cpu_us_per_txn_by_process: cost.cpu_us,
            server_rss_bytes: cost.rss,
            keys: sum.keys,
            sum: sum.is,
            sum_ok: sum.is_right() && sum.keys >= u64::from(options.keys),
            commit: CommitCost::of(options, coordinators),
            bulk: None,
            broken: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { workload, clients, protocol, isolation, .. } = self;
        if let Some(bulk) = &self.bulk {
            return write!(f, "{bulk}");
        }
        writeln!(f, "{workload}: {clients} clients, {protocol}, {isolation}, {} s", self.seconds)?;
        write!(f, "  {:>12.0}  transactions a second", self.txn_per_s)?;
        if let Some(Spread { runs, txn_per_s_min, txn_per_s_max }) = self.spread {
            write!(f, ", the middle of {runs} runs: {txn_per_s_min:.0} to {txn_per_s_max:.0}")?;
        }
        writeln!(f)?;
        if let (Some(rate), Some(missed)) = (self.rate, self.missed) {
            writeln!(f, "  {rate:>12}  were due in a second; {missed} of all could not begin")?;
        }
        let ms = |us: u64| us as f64 / 1000.0;
        writeln!(
            f,
            "  {:>9.2} ms  p50, p99 {:.2} ms, longest {:.2} ms",
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.max_us)
        )?;
        writeln!(
            f,
            "  {:>12}  aborts, {} retries, {} errors",
            self.aborts, self.retries, self.errors
        )?;
        if let Some(error) = &self.last_error {
            writeln!(f, "                the last error: {error}")?;
        }
        if let (Some(all), Some(one)) = (self.fsyncs_per_txn, self.fsyncs_per_txn_per_log) {
            write!(f, "  {all:>12.3}  fsyncs per transaction, {one:.3} by the busiest log")?;
            match self.forced_writes_per_txn {
                Some(forced) => writeln!(f, ", for {forced:.2} forced writes")?,
                None => writeln!(f)?,
            }
        }
        if let Some(messages) = self.messages_per_txn {
            write!(f, "  {messages:>12.1}  messages of servers per transaction")?;
            match self.commit_messages_per_txn {
                Some(commit) => writeln!(f, ", {commit:.1} to commit")?,
                None => writeln!(f)?,
            }
        }
        if let Some(cpu) = self.cpu_us_per_txn {
            write!(f, "  {cpu:>9.0} µs  CPU per transaction:")?;
            for (name, us) in &self.cpu_us_per_txn_by_process {
                write!(f, " {name} {us:.0}")?;
            }
            writeln!(f)?;
        }
        if !self.server_rss_bytes.is_empty() {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let all: u64 = self.server_rss_bytes.values().sum();
            write!(f, "  {:>8.0} MiB  resident in the servers:", mib(all))?;
            for (name, bytes) in &self.server_rss_bytes {
                write!(f, " {name} {:.0}", mib(*bytes))?;
            }
            writeln!(f)?;
        }
        if let Some(broken) = &self.broken {
            let Broken { deadlocks, deadlocks_missed, .. } = broken;
            writeln!(
                f,
                "  {deadlocks:>12}  deadlocks, whose times these are; {deadlocks_missed} ended otherwise"
            )?;
        }
        let word = if self.sum_ok { "as it must be" } else { "WRONG" };
        write!(f, "  {:>12}  is the sum of {} keys, {word}", self.sum, self.keys)
    }
}

/// A bar on a terminal, nothing elsewhere.
pub(crate) fn bar(progress: bool, length: u64, what: &str) -> ProgressBar {
    if !progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("  {msg:<10} {bar:40} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// A report of the bulk load.
pub(crate) fn of_bulk(options: &BenchOptions, coordinators: u16, bulk: Bulk, sum: &Sum) -> Report {
    Report {
        workload: Workload::Load.name(),
        clients: bulk.writers,
        protocol: options.protocol.used_by(coordinators).to_string(),
        coordinators,
        isolation: Workload::Load.isolation(),
        seconds: bulk.load_s,
        rate: None,
        missed: None,
        txn_per_s: bulk.txn_per_s,
        spread: None,
        p50_us: 0,
        p99_us: 0,
        max_us: 0,
        aborts: 0,
        retries: 0,
        errors: 0,
        last_error: None,
        fsyncs_per_txn: None,
        fsyncs_per_txn_per_log: None,
        messages_per_txn: None,
        commit_messages_per_txn: None,
        forced_writes_per_txn: None,
        cpu_us_per_txn: None,
        cpu_us_per_txn_by_process: BTreeMap::new(),
        server_rss_bytes: bulk.rss_by_server.clone(),
        keys: sum.keys,
        sum: sum.is,
        sum_ok: sum.is_right() && sum.keys == u64::from(options.keys),
        commit: None,
        bulk: Some(bulk),
        broken: None,
    }
}

/// A report of deadlocks: its times are theirs, its rate is that of the transactions
/// beside them.
pub(crate) fn of_deadlocks(
    options: &BenchOptions,
    coordinators: u16,
    (measured, times, missed): (Measured<Option<Counters>>, Histogram<u64>, u64),
    sum: &Sum,
) -> Report {
    let background = Report::of(options, coordinators, measured, sum);
    let broken = Broken {
        deadlocks: times.len(),
        deadlocks_missed: missed,
        background_p50_us: background.p50_us,
        background_p99_us: background.p99_us,
    };
    Report {
        p50_us: times.value_at_quantile(0.5),
        p99_us: times.value_at_quantile(0.99),
        max_us: times.max(),
        broken: Some(broken),
        ..background
    }
}

/// The run in the middle, by rate, with how far apart all were. Its sum is right only if all
/// were.
pub(crate) fn median(mut reports: Vec<Report>) -> Option<Report> {
    reports.sort_by(|a, b| a.txn_per_s.total_cmp(&b.txn_per_s));
    let sum_ok = reports.iter().all(|report| report.sum_ok);
    let runs = reports.len();
    let spread = (runs > 1).then(|| Spread {
        runs,
        txn_per_s_min: reports[0].txn_per_s,
        txn_per_s_max: reports[runs - 1].txn_per_s,
    });
    let middle = reports.into_iter().nth(runs.saturating_sub(1) / 2)?;
    Some(Report { spread, sum_ok, ..middle })
}

/// To three digits behind the point.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(txn_per_s: f64, sum_ok: bool) -> Report {
        let keys = if sum_ok { 200 } else { 199 };
        let options = BenchOptions { keys: 200, ..BenchOptions::of(Workload::Load) };
        let bulk = Bulk { txn_per_s, ..Bulk::default() };
        of_bulk(&options, 1, bulk, &Sum { keys, ..Sum::default() })
    }

    #[test]
    fn the_median_is_a_run_that_was_and_all_sums_count() {
        let rates = [9.0, 1.0, 5.0, 3.0];
        let all = median(rates.map(|rate| report(rate, true)).to_vec()).unwrap();
        let spread = all.spread.unwrap();
        let found = (all.txn_per_s, spread.txn_per_s_min, spread.txn_per_s_max, spread.runs);
        assert_eq!((found, all.sum_ok), ((3.0, 1.0, 9.0, 4), true));
        let all = median(rates.map(|rate| report(rate, rate < 9.0)).to_vec()).unwrap();
        assert_eq!((all.txn_per_s, all.sum_ok), (3.0, false));
        assert!(median(vec![report(1.0, true)]).unwrap().spread.is_none());
        assert!(median(vec![]).is_none());
    }
}
