//! Writes the history of a run as it happens.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use crate::history::{Entry, Kind, Process, Value};
use crate::workload::Op;

/// An operation, as far as figures need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Whose it was.
    pub process: i64,
    /// What was done.
    pub f: &'static str,
    /// Nanoseconds since the run began.
    pub from_ns: u64,
    /// The same.
    pub until_ns: u64,
    /// How it ended.
    pub kind: Kind,
}

/// A history on its way to a file.
///
/// What happened first is written first: all that record are on one thread, an invocation
/// is recorded before its request leaves, and a completion after its answer came.
pub struct Recorder {
    out: BufWriter<File>,
    began: Instant,
    index: u64,
    open: BTreeMap<i64, (&'static str, u64)>,
    ops: Vec<Timed>,
}

impl Recorder {
    /// Begins a history at `path`.
    ///
    /// # Errors
    ///
    /// If it can not be written.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        let out = BufWriter::new(File::create(path)?);
        let (index, open, ops) = (0, BTreeMap::new(), Vec::new());
        Ok(Recorder { out, began: Instant::now(), index, open, ops })
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How many operations have ended.
    pub fn ended(&self) -> usize {
        self.ops.len()
    }

    /// An operation begins.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn begin(&mut self, process: i64, op: &Op) -> io::Result<()> {
        let now = self.now();
        let other = self.open.insert(process, (op.f, now));
        assert!(other.is_none(), "{process} has an operation under way");
        self.write(now, Process::Client(process), Kind::Invoke, op.f, op.value.clone(), None)
    }

    /// The operation of that process ended.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn end(
        &mut self,
        process: i64,
        kind: Kind,
        value: Value,
        error: Option<&str>,
    ) -> io::Result<()> {
        let until_ns = self.now();
        let (f, from_ns) = self.open.remove(&process).expect("it has begun");
        self.ops.push(Timed { process, f, from_ns, until_ns, kind });
        self.write(until_ns, Process::Client(process), kind, f, value, error)
    }

    /// Something was done to the cluster.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn fault(&mut self, f: &str, value: Value) -> io::Result<()> {
        self.write(self.now(), Process::Nemesis, Kind::Info, f, value, None)
    }

    fn write(
        &mut self,
        time_ns: u64,
        process: Process,
        kind: Kind,
        f: &str,
        value: Value,
        error: Option<&str>,
    ) -> io::Result<()> {
        let entry = Entry { index: self.index, time_ns, process, kind, f, value, error };
        self.index += 1;
        entry.write_edn(&mut self.out)
    }

    /// Ends the history. Returns its operations, as they ended.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn finish(mut self) -> io::Result<Vec<Timed>> {
        self.out.flush()?;
        Ok(self.ops)
    }
}
