//! Resident memory per key of the version index: run it by hand.
//!
//! `cargo run --release -p synod-shard --example memory [keys] [ascending]`

use std::error::Error;

use synod_common::time::Timestamp;
use synod_shard::mvcc::Versions;

const VALUE: [u8; 100] = [7; 100];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let keys: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let ascending = args.next().is_some();
    let before = resident()?;
    let mut versions = Versions::new();
    for n in 0..keys {
        // An odd factor permutes all numbers: a random-looking order, no repeats.
        let n = if ascending { n } else { n.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        versions.install(format!("{n:016x}").as_bytes(), Timestamp(n), Some(&VALUE));
    }
    let used = resident()? - before;
    let raw = versions.stats().bytes;
    println!(
        "{keys} keys, {raw} bytes raw, {used} resident: {:.1} per key, {:.2} times raw",
        used as f64 / keys as f64,
        used as f64 / raw as f64,
    );
    Ok(())
}

/// Resident bytes of this process.
fn resident() -> Result<usize, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4096)
}
