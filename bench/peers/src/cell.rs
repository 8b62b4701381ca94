//! What is compared: a workload with so many clients, and the systems that can do it.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;
use synod_bench::Workload;
use synod_bench::measure::Measured;

use crate::machine::Machine;
use crate::system::System;

/// A workload with so many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What they do.
    pub workload: Workload,
    /// How many.
    pub clients: u32,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} clients", self.workload.name(), self.clients)
    }
}

const fn cell(workload: Workload, clients: u32) -> Cell {
    Cell { workload, clients }
}

/// All that is compared. Blind writes come first: they take balances back to what they were.
pub const CELLS: [Cell; 8] = [
    cell(Workload::Get, 64),
    cell(Workload::Snapshot10, 64),
    cell(Workload::Scan100, 64),
    cell(Workload::Put, 64),
    cell(Workload::Transfer, 1),
    cell(Workload::Transfer, 16),
    cell(Workload::Transfer, 64),
    cell(Workload::RmwHot, 64),
];

impl System {
    /// Whether it is a rival, or an option, where this is done.
    pub fn does(self, cell: Cell) -> bool {
        match self {
            System::Synod => true,
            System::SynodPaxos | System::PostgresTwice | System::MariaDbTwice => {
                cell.workload == Workload::Transfer
            }
            System::Postgres | System::Etcd => true,
            System::Redis => matches!(cell.workload, Workload::Get | Workload::Put),
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which system.
    pub system: &'static str,
    /// Which workload.
    pub workload: &'static str,
    /// How many clients.
    pub clients: u32,
    /// Transactions a second.
    pub txn_per_s: f64,
    /// Half of them took at most so long.
    pub p50_us: u64,
    /// All but one in a hundred.
    pub p99_us: u64,
    /// All but one in a thousand.
    pub p999_us: u64,
    /// Attempts beyond the first, for each transaction.
    pub retries_per_txn: f64,
    /// CPU of the whole machine, clients included.
    pub cpu_us_per_txn: f64,
    /// Flushes of the disk.
    pub flushes_per_txn: f64,
    /// Bytes over loopback.
    pub wire_bytes_per_txn: f64,
}

impl Row {
    /// What came of a cell.
    ///
    /// # Errors
    /// If transactions failed: then the rest says nothing.
    pub fn of(system: System, cell: Cell, measured: Measured<Machine>) -> Result<Row> {
        let txns = measured.metered_txns();
        let Measured { seen, time, meter: [before, after], .. } = measured;
        if let Some(error) = seen.last_error {
            return Err(error.context(format!("{} transactions failed", seen.errors)));
        }
        ensure!(txns > 0.0, "there was no transaction");
        let used = after.since(before);
        Ok(Row {
            system: system.about().name,
            workload: cell.workload.name(),
            clients: cell.clients,
            txn_per_s: seen.latency.len() as f64 / time.as_secs_f64(),
            p50_us: seen.latency.value_at_quantile(0.5),
            p99_us: seen.latency.value_at_quantile(0.99),
            p999_us: seen.latency.value_at_quantile(0.999),
            retries_per_txn: seen.retries as f64 / seen.latency.len() as f64,
            cpu_us_per_txn: used.cpu_us / txns,
            flushes_per_txn: used.flushes / txns,
            wire_bytes_per_txn: used.bytes / txns,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { system, workload, clients, txn_per_s, p50_us, p99_us, .. } = self;
        write!(
            f,
            "{system:<20} {workload:<12} {clients:>3} clients {txn_per_s:>9.0} a second, p50 \
             {p50_us} us, p99 {p99_us} us"
        )
    }
}
