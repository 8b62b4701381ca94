//! Where the `synod` executable is.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Finds the `synod` executable: this one, the one named by `SYNOD_BIN`, or the
/// one that cargo built beside this test or example.
///
/// # Errors
/// If there is none.
pub fn find_bin() -> Result<PathBuf> {
    if let Some(bin) = std::env::var_os("SYNOD_BIN") {
        let bin = PathBuf::from(bin);
        anyhow::ensure!(bin.is_file(), "SYNOD_BIN: {} is not a file", bin.display());
        return Ok(bin);
    }
    let me = std::env::current_exe().context("the running executable has no path")?;
    if me.file_stem().is_some_and(|stem| stem == "synod") {
        return Ok(me);
    }
    let name = format!("synod{}", std::env::consts::EXE_SUFFIX);
    for folder in me.ancestors().skip(1).take(2) {
        let bin = folder.join(&name);
        if bin.is_file() {
            return Ok(bin);
        }
    }
    anyhow::bail!(
        "the `synod` executable is not beside this program; build it with \
         `cargo build --release -p synod-cli`, or name it in SYNOD_BIN"
    )
}
