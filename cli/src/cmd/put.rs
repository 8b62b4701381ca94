//! `synod put`.

use std::process::ExitCode;

use anyhow::Result;
use bytes::Bytes;

use super::{Global, Usage};
use crate::{connect, text};

#[derive(clap::Args)]
pub struct Args {
    /// The key; \xNN stands for any byte, \\ for a backslash
    key: String,
    /// The value, likewise
    #[arg(allow_hyphen_values = true)]
    value: String,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let key = text::key(&args.key).map_err(Usage::because)?;
    let value = Bytes::from(text::unescape(&args.value).map_err(Usage::because)?);
    let write =
        async |db| super::delete::once(&db, global, |tx| tx.put_bytes(&key, value.clone())).await;
    connect::with(global, write)
}
