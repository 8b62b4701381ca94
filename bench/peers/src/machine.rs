//! What the whole machine has done, whoever did it: the same meter for all systems.

use std::fs;

use anyhow::Result;

/// Counters of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// CPU of all processes and of the kernel, in microseconds.
    pub cpu_us: f64,
    /// Flushes that the disks have completed.
    pub flushes: f64,
    /// Bytes that went over loopback.
    pub bytes: f64,
}

/// The kernel counts CPU in hundredths of a second.
const TICK_US: f64 = 10_000.0;

impl Machine {
    /// As it stands.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn read() -> Result<Machine> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line.split_whitespace().skip(1).map(number).collect();
        // All but idle, waiting for disks, and what another guest was given.
        let busy = [0, 1, 2, 5, 6].iter().filter_map(|n| ticks.get(*n)).sum::<f64>();
        Ok(Machine { cpu_us: busy * TICK_US, flushes: flushes(), bytes: loopback()? })
    }

    /// What was done since then.
    pub fn since(self, before: Machine) -> Machine {
        Machine {
            cpu_us: self.cpu_us - before.cpu_us,
            flushes: self.flushes - before.flushes,
            bytes: self.bytes - before.bytes,
        }
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}

fn flushes() -> f64 {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let stats = disks.filter_map(|disk| fs::read_to_string(disk.path().join("stat")).ok());
    stats.map(|stat| stat.split_whitespace().nth(15).map_or(0.0, number)).sum()
}

fn loopback() -> Result<f64> {
    let devices = fs::read_to_string("/proc/net/dev")?;
    let lo = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    Ok(lo.and_then(|counters| counters.split_whitespace().next()).map_or(0.0, number))
}
