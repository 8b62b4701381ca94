//! `synod get`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;

use super::{Global, Usage};
use crate::{connect, render, text};

#[derive(clap::Args)]
pub struct Args {
    /// The key; \xNN stands for any byte, \\ for a backslash
    key: String,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let key = text::key(&args.key).map_err(Usage::because)?;
    let value = connect::with(global, async |db| Ok(db.client.get(&key).await?))?;
    let Some(value) = value.into_bytes() else {
        eprintln!("synod: key '{key}' has no value");
        return Ok(ExitCode::FAILURE);
    };
    let mut out = io::stdout().lock();
    if global.json {
        render::json_row(&mut out, &key, Some(&value))?;
    } else {
        out.write_all(&value)?;
        if out.is_terminal() {
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
