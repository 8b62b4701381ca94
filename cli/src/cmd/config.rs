//! `synod config show`.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::Global;
use crate::config::Config;
use crate::render;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Print every setting, its value, and where that came from
    #[command(
        after_help = "Flags win over the environment (SYNOD_URL, SYNOD_CERTS, SYNOD_IDENTITY, \
        SYNOD_TIMEOUT_MS, SYNOD_LOCK_WAIT_MS, SYNOD_DATA, SYNOD_BASE_PORT, SYNOD_LOG), \
        that wins over the file that SYNOD_CONFIG names (else ~/.config/synod/config.toml), \
        and that over the defaults."
    )]
    Show,
}

#[derive(Serialize)]
struct JsonSetting<'a> {
    name: &'a str,
    value: Option<&'a str>,
    origin: String,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    let Action::Show = args.action;
    let config = Config::load(global)?;
    let rows = config.rows();
    let mut out = io::stdout().lock();
    if global.json {
        let rows = rows.iter().map(|(name, value, origin)| JsonSetting {
            name,
            value: value.as_deref(),
            origin: origin.to_string(),
        });
        render::json(&mut out, &serde_json::json!({ "settings": rows.collect::<Vec<_>>() }))?;
    } else {
        let rows: Vec<[String; 3]> = rows
            .into_iter()
            .map(|(name, value, origin)| {
                [name.to_owned(), value.unwrap_or("-".to_owned()), origin.to_string()]
            })
            .collect();
        render::table(&mut out, ["setting", "value", "origin"], &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}
