//! One file for each subcommand.

pub mod check;
#[cfg(feature = "runner")]
pub mod run;
#[cfg(feature = "runner")]
pub mod suite;

use std::io::Write;
use std::process::ExitCode;

/// So much of a reason is shown.
const LONGEST_REASON: usize = 1_000;

/// Who was to read it may be gone.
pub fn say(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| format!("standard output: {error}"))
}

/// Says why, and exits 2.
pub fn refused(reason: &str) -> ExitCode {
    // It may quote what was read, however long that is.
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    eprintln!("synod-jepsen: {reason}");
    ExitCode::from(2)
}
