//! Writes the history of a run as it happens.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use crate::history::{Entry, Kind, Process, Value};
use crate::report::run::{Fault, Op as Ended};
use crate::workload::Op;

/// A history on its way to a file.
///
/// What happened first is written first: all that record are on one thread, an invocation
/// is recorded before its request leaves, and a completion after its answer came.
pub struct Recorder {
    out: BufWriter<File>,
    began: Instant,
    index: u64,
    /// What is under way: what it is, since when, and whether its client waits no more.
    open: BTreeMap<i64, (&'static str, u64, bool)>,
    ops: Vec<Ended>,
    /// Faults that are on: when they struck, and whom.
    struck: BTreeMap<&'static str, (u64, String)>,
    faults: Vec<Fault>,
}

impl Recorder {
    /// Begins a history at `path`.
    ///
    /// # Errors
    ///
    /// If it can not be written.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        let out = BufWriter::new(File::create(path)?);
        Ok(Recorder {
            out,
            began: Instant::now(),
            index: 0,
            open: BTreeMap::new(),
            ops: Vec::new(),
            struck: BTreeMap::new(),
            faults: Vec::new(),
        })
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How many operations have ended.
    pub fn ended(&self) -> u64 {
        self.ops.len() as u64
    }

    /// Which faults are on.
    pub fn faults_on(&self) -> Vec<String> {
        self.struck.iter().map(|(name, (_, target))| format!("{name} {target}")).collect()
    }

    /// An operation begins.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn begin(&mut self, process: i64, op: &Op) -> io::Result<()> {
        let now = self.now();
        let other = self.open.insert(process, (op.f, now, false));
        assert!(other.is_none(), "{process} has an operation under way");
        self.write(now, Process::Client(process), Kind::Invoke, op.f, op.value.clone(), None)
    }

    /// The client of that process waits no more. What becomes of the operation may be told
    /// later; that is not how long it took.
    pub fn give_up(&mut self, process: i64) {
        let until_ns = self.now();
        let (f, from_ns, given_up) = self.open.get_mut(&process).expect("it has begun");
        *given_up = true;
        let (f, from_ns, kind) = (*f, *from_ns, Kind::Info);
        self.ops.push(Ended { process, f, from_ns, until_ns, kind });
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
        let (f, from_ns, given_up) = self.open.remove(&process).expect("it has begun");
        if !given_up {
            self.ops.push(Ended { process, f, from_ns, until_ns, kind });
        }
        self.write(until_ns, Process::Client(process), kind, f, value, error)
    }

    /// A fault of this name struck, at `from_ns` or soon after. One of a name is on at a time.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn strike(&mut self, name: &'static str, from_ns: u64, target: String) -> io::Result<()> {
        let value = Value::Text(target.clone());
        let other = self.struck.insert(name, (from_ns, target));
        assert!(other.is_none(), "{name} is on already");
        let f = format!("start-{name}");
        self.write(self.now(), Process::Nemesis, Kind::Info, &f, value, None)
    }

    /// It was healed, and had this effect.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn heal(&mut self, name: &'static str, effect: String) -> io::Result<()> {
        let until_ns = self.now();
        let (from_ns, target) = self.struck.remove(name).expect("it is on");
        let (value, f) = (Value::Text(effect.clone()), format!("stop-{name}"));
        let (name, until) = (name.to_owned(), Some(until_ns));
        self.faults.push(Fault { name, target, from_ns, until_ns: until, effect });
        self.write(until_ns, Process::Nemesis, Kind::Info, &f, value, None)
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

    /// Ends the history. Returns its operations, as they ended, and the faults.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn finish(mut self) -> io::Result<(Vec<Ended>, Vec<Fault>)> {
        self.out.flush()?;
        for (name, (from_ns, target)) in std::mem::take(&mut self.struck) {
            let (name, effect) = (name.to_owned(), "it was not healed".to_owned());
            self.faults.push(Fault { name, target, from_ns, until_ns: None, effect });
        }
        Ok((self.ops, self.faults))
    }
}
