//! One server as a process.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::node::NodeName;
use crate::ports::Place;

/// The first word of the line that a server prints when it serves.
const READY: &str = "READY";

/// How much of what a server said is shown when it fails.
const SHOWN_LINES: usize = 12;

/// A server that may be running.
pub(crate) struct Process {
    name: NodeName,
    bin: PathBuf,
    config: PathBuf,
    errors: PathBuf,
    place: Place,
    /// It was started before. What belongs to a group may begin with an empty folder once.
    old: bool,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Kept open, or the server could not print any more.
    stdout: Lines<BufReader<ChildStdout>>,
}

/// What a server's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It runs, or could.
    Runs,
    /// It was stopped by a signal, and can go on. Only Linux tells.
    Paused,
    /// There is none.
    Ended,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, in user and system mode.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
}

impl Process {
    pub(crate) fn new(
        name: NodeName,
        bin: &Path,
        config: &Path,
        dir: &Path,
        place: Place,
    ) -> Process {
        let errors = dir.join(format!("{name}.err"));
        let (bin, config) = (bin.to_owned(), config.to_owned());
        Process { name, bin, config, errors, place, old: false, running: None }
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.place.admin
    }

    pub(crate) fn spawn(&mut self) -> Result<()> {
        anyhow::ensure!(self.running.is_none(), "{} is running already", self.name);
        let errors = OpenOptions::new().create(true).append(true).open(&self.errors);
        let errors: File =
            errors.with_context(|| format!("{} can not be written", self.errors.display()))?;
        let is_new = !std::mem::replace(&mut self.old, true);
        let subcommand = match self.name {
            NodeName::Coordinator(_) if is_new => &["coordinator", "--new"][..],
            NodeName::Coordinator(_) => &["coordinator"],
            NodeName::Shard(_) => &["shard"],
        };
        let mut child = self
            .program()
            .args(subcommand)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} can not be started", self.bin.display()))?;
        let stdout = child.stdout.take().context("a server without stdout")?;
        self.running = Some(Running { child, stdout: BufReader::new(stdout).lines() });
        Ok(())
    }

    /// The executable, in its namespace. `ip` becomes what it starts, so whoever is killed or
    /// stopped is the server itself.
    fn program(&self) -> Command {
        let Some(namespace) = &self.place.namespace else { return Command::new(&self.bin) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(&self.bin);
        command
    }

    pub(crate) async fn wait_ready(&mut self, patience: Duration) -> Result<()> {
        let name = self.name;
        let running = self.running.as_mut().with_context(|| format!("{name} is not running"))?;
        let ready = async {
            while let Ok(Some(line)) = running.stdout.next_line().await {
                if line.starts_with(READY) {
                    return true;
                }
            }
            false
        };
        match tokio::time::timeout(patience, ready).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let status = running.child.wait().await;
                let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
                anyhow::bail!("{name} ended instead of serving ({status}){}", self.said())
            }
            Err(_) => {
                anyhow::bail!("{name} does not serve after {patience:?}{}", self.said())
            }
        }
    }

    /// SIGKILL. Waits until the system has taken the process away, so that its
    /// ports and its locks on files are free.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let name = self.name;
        let mut running = self.running.take().with_context(|| format!("{name} is not running"))?;
        if let Some(status) = running.child.try_wait()? {
            anyhow::bail!("{name} had already ended by itself ({status}){}", self.said());
        }
        running.child.start_kill().with_context(|| format!("{name} can not be killed"))?;
        let begin = Instant::now();
        while running.child.try_wait()?.is_none() {
            anyhow::ensure!(begin.elapsed() < Duration::from_secs(10), "{name} does not die");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// SIGSTOP: it stands still, with its sockets and its locks, until [`resume`](Self::resume).
    #[cfg(unix)]
    pub(crate) fn pause(&mut self) -> Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// SIGCONT.
    #[cfg(unix)]
    pub(crate) fn resume(&mut self) -> Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    #[cfg(unix)]
    fn signal(&mut self, what: rustix::process::Signal) -> Result<()> {
        let name = self.name;
        let running = self.running.as_mut().with_context(|| format!("{name} is not running"))?;
        if let Some(status) = running.child.try_wait()? {
            anyhow::bail!("{name} had already ended by itself ({status}){}", self.said());
        }
        signal(&running.child, what)
    }

    /// What it does now, as the system tells.
    pub(crate) fn condition(&mut self) -> Condition {
        let Some(running) = &mut self.running else { return Condition::Ended };
        if !matches!(running.child.try_wait(), Ok(None)) {
            return Condition::Ended;
        }
        #[cfg(target_os = "linux")]
        if running.child.id().and_then(state_of) == Some('T') {
            return Condition::Paused;
        }
        Condition::Runs
    }

    /// Waits for it to end by itself; whether it did.
    pub(crate) async fn wait_end(&mut self, patience: Duration) -> bool {
        let Some(running) = &mut self.running else { return true };
        tokio::time::timeout(patience, running.child.wait()).await.is_ok()
    }

    /// Forgets a process that ended by itself, so that it can be started again.
    /// Says with what status it ended.
    pub(crate) fn bury(&mut self) -> Option<String> {
        let status = self.running.as_mut()?.child.try_wait().ok()??;
        self.running = None;
        Some(format!("{status}{}", self.said()))
    }

    /// SIGTERM, and SIGKILL if that does not help.
    pub(crate) async fn stop(&mut self, patience: Duration) -> Result<()> {
        let name = self.name;
        let Some(mut running) = self.running.take() else { return Ok(()) };
        if let Some(status) = running.child.try_wait()? {
            anyhow::bail!("{name} had already ended by itself ({status}){}", self.said());
        }
        #[cfg(unix)]
        signal(&running.child, rustix::process::Signal::TERM)?;
        match tokio::time::timeout(patience, running.child.wait()).await {
            Ok(status) => {
                let status = status?;
                anyhow::ensure!(status.success(), "{name} stopped with {status}{}", self.said());
                Ok(())
            }
            Err(_) => {
                running.child.kill().await?;
                anyhow::bail!("{name} did not stop within {patience:?}{}", self.said())
            }
        }
    }

    /// The end of what it said on stderr.
    fn said(&self) -> String {
        let text = std::fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        last.iter().map(|line| format!("\n  {}: {line}", self.name)).collect()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn usage(&self) -> Option<Usage> {
        usage_of(self.running.as_ref()?.child.id()?)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn usage(&self) -> Option<Usage> {
        None
    }
}

#[cfg(unix)]
fn signal(child: &Child, signal: rustix::process::Signal) -> Result<()> {
    let id = child.id().context("it has ended")?;
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    Ok(rustix::process::kill_process(id.context("a process without a number")?, signal)?)
}

/// The letter that Linux has for what a process does: `R`, `S`, `T` …
#[cfg(target_os = "linux")]
fn state_of(id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// What the system says of a process.
#[cfg(target_os = "linux")]
fn usage_of(id: u32) -> Option<Usage> {
    // Linux counts in hundredths of a second on every architecture it runs on.
    const TICK_MS: u64 = 10;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything; user time is the 12th after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib: u64 = rss.split_whitespace().next()?.parse().ok()?;
    let cpu = Duration::from_millis((user + system) * TICK_MS);
    Some(Usage { cpu, rss_bytes: rss_kib * 1024 })
}

impl Usage {
    /// What the running process has used itself. Only on Linux.
    pub fn own() -> Option<Usage> {
        #[cfg(target_os = "linux")]
        return usage_of(std::process::id());
        #[cfg(not(target_os = "linux"))]
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_a_process_uses() {
        let usage = Usage::own().unwrap();
        assert!(usage.rss_bytes > 100_000);
        assert!(usage.cpu < Duration::from_secs(3600));
    }
}
