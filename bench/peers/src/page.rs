//! What is told of a comparison: a page, a plot, and the raw figures.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cell::{Cell, Row};
use crate::plot;
use crate::system::System;

/// A system that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Subject {
    name: &'static str,
    version: String,
    made_of: &'static str,
    durable: &'static str,
    promises: &'static str,
}

impl Subject {
    /// This one, of this version.
    pub fn of(system: System, version: String) -> Subject {
        let about = system.about();
        Subject {
            name: about.name,
            version,
            made_of: about.made_of,
            durable: about.durable,
            promises: about.promises,
        }
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Who.
    pub subjects: Vec<Subject>,
    /// How long each cell was measured.
    pub seconds: u64,
    /// How many keys there were.
    pub keys: u32,
    /// What came of it, round by round.
    pub rounds: Vec<Vec<Row>>,
}

/// The rounds of one system in one cell.
pub struct Summary {
    /// Which system.
    pub system: &'static str,
    /// Transactions a second: the least, the median, the most.
    pub rate: [f64; 3],
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    flushes: f64,
    bytes: f64,
    retries: f64,
}

impl Comparison {
    /// Writes the page, the plot and the figures.
    ///
    /// # Errors
    /// If that does not work.
    pub fn write(&self, folder: &Path, cells: &[Cell]) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())
        };
        let panels: Vec<(Cell, Vec<Summary>)> =
            cells.iter().map(|cell| (*cell, self.summaries(*cell))).collect();
        write("performance.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("performance.svg", plot::bars(&panels))?;
        write("performance.md", self.page(&panels)?)
    }

    fn summaries(&self, cell: Cell) -> Vec<Summary> {
        let of = |subject: &Subject| {
            let rows = self.rounds.iter().flatten().filter(|row| {
                (row.system, row.workload, row.clients)
                    == (subject.name, cell.workload.name(), cell.clients)
            });
            Summary::of(subject.name, &rows.collect::<Vec<_>>())
        };
        self.subjects.iter().filter_map(of).collect()
    }

    fn page(&self, panels: &[(Cell, Vec<Summary>)]) -> Result<String> {
        let mut page = String::new();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(page, "# Synod beside others\n")?;
        writeln!(
            page,
            "Made by `bench/compare`, which starts every system below, measures all of them on \
             one machine, interleaved, and writes this page. Medians of {} rounds of {} s, with \
             the least and the most; {} keys of 16 bytes, values of 100; clients and servers \
             share {cores} cores over loopback. One client makes one transaction after the other.\n",
            self.rounds.len(),
            self.seconds,
            self.keys,
        )?;
        writeln!(page, "![Transactions a second](performance.svg)\n")?;
        for (cell, summaries) in panels.iter().filter(|(_, summaries)| !summaries.is_empty()) {
            table(&mut page, *cell, summaries)?;
        }
        writeln!(page, "## Who was measured\n")?;
        writeln!(page, "| | Version | Made of | Durable | Promises, beside those of Synod |")?;
        writeln!(page, "| --- | --- | --- | --- | --- |")?;
        for Subject { name, version, made_of, durable, promises } in &self.subjects {
            writeln!(page, "| {name} | {version} | {made_of} | {durable} | {promises} |")?;
        }
        writeln!(
            page,
            "\nCPU, flushes and bytes are those of the whole machine, clients \
             included, for each transaction. Every figure of every round is in \
             [performance.json](performance.json)."
        )?;
        Ok(page)
    }
}

fn table(page: &mut String, cell: Cell, summaries: &[Summary]) -> Result<()> {
    let own = summaries.iter().find(|one| one.system == "synod").map(|one| one.rate[1]);
    writeln!(page, "## `{}`, {}\n", cell.workload.name(), clients(cell.clients))?;
    writeln!(page, "{}\n", what(cell))?;
    writeln!(
        page,
        "| | A second | Least, most | Synod does | p50 ms | p99 ms | CPU µs | Flushes | Bytes | \
         Retries |"
    )?;
    writeln!(page, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for one in summaries {
        let [least, median, most] = one.rate;
        let times = own.map_or("-".to_owned(), |own| format!("{:.2} x", own / median));
        writeln!(
            page,
            "| {} | {median:.0} | {least:.0}, {most:.0} | {times} | {:.2} | {:.2} | {:.0} | {:.2} | \
             {:.0} | {:.3} |",
            one.system,
            one.p50_us / 1_000.0,
            one.p99_us / 1_000.0,
            one.cpu_us,
            one.flushes,
            one.bytes,
            one.retries,
        )?;
    }
    writeln!(page)?;
    Ok(())
}

fn clients(clients: u32) -> String {
    match clients {
        1 => "1 client".to_owned(),
        n => format!("{n} clients"),
    }
}

/// What a transaction does.
fn what(cell: Cell) -> &'static str {
    match cell.workload.name() {
        "transfer" => {
            "Two balances are read under locks and both written; in two parts of the system, \
             where it has two."
        }
        "rmw-hot" => "The same with two of 100 keys, one locked after the other, in any order.",
        "put" => "One key is written, whatever it held.",
        "get" => "One key is read: the newest value that anybody was told of.",
        "snapshot10" => "Ten keys are read as of one moment.",
        "scan100" => "A hundred neighbouring keys are read as of one moment.",
        _ => "",
    }
}

impl Summary {
    fn of(system: &'static str, rows: &[&Row]) -> Option<Summary> {
        let sorted = |figure: fn(&Row) -> f64| {
            let mut all: Vec<f64> = rows.iter().map(|row| figure(row)).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let median = |figure| sorted(figure)[rows.len() / 2];
        let rate = sorted(|row| row.txn_per_s);
        Some(Summary {
            system,
            rate: [*rate.first()?, rate[rate.len() / 2], *rate.last()?],
            p50_us: median(|row| row.p50_us as f64),
            p99_us: median(|row| row.p99_us as f64),
            cpu_us: median(|row| row.cpu_us_per_txn),
            flushes: median(|row| row.flushes_per_txn),
            bytes: median(|row| row.wire_bytes_per_txn),
            retries: median(|row| row.retries_per_txn),
        })
    }
}
