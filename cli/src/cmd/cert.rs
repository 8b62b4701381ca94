//! `synod cert`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use synod_common::driver::authority::{Authority, LEAF_LIFETIME, Validity};
use synod_common::driver::tls::Role;

use super::{Global, Usage};
use crate::config::Config;
use crate::local;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make an authority: ca.pem, which everybody gets, and ca.key, which signs
    Init {
        /// Folder to make it in
        dir: PathBuf,
    },
    /// Issue a certificate: NAME.pem and NAME.key, beside the authority
    Issue {
        /// What its holder may do
        #[arg(long)]
        role: RoleName,
        /// s1, s2, … for shards, c1 for the coordinator, else a-z, 0-9 and hyphens
        name: String,
        /// Folder of the authority [default: that of --certs]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Days until it expires
        #[arg(long, value_name = "N", default_value_t = DAYS,
              value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

const DAYS: u32 = 365;

/// A role, as it is typed.
#[derive(Clone, Copy, clap::ValueEnum)]
enum RoleName {
    /// Runs transactions
    Client,
    /// Is a shard server
    Shard,
    /// Is a coordinator
    Coordinator,
    /// Looks after the cluster
    Operator,
}

pub fn run(args: &Args, global: &Global) -> Result<ExitCode> {
    match &args.action {
        Action::Init { dir } => {
            Authority::create(dir)?;
            println!("{}", dir.join("ca.pem").display());
            eprintln!(
                "made an authority; next: synod cert issue --dir {} --role coordinator c1",
                dir.display()
            );
            eprintln!("an id for a new cluster: {}", local::new_cluster_id());
        }
        Action::Issue { role, name, dir, days } => {
            let role = match role {
                RoleName::Client => Role::Client,
                RoleName::Shard => Role::Shard,
                RoleName::Coordinator => Role::Coordinator,
                RoleName::Operator => Role::Operator,
            };
            role.check_name(name).map_err(Usage::because)?;
            let dir = match dir {
                Some(dir) => dir.clone(),
                None => Config::load(global)?.certs.value.context(
                    "no authority is known: name its folder with --dir, \
                     or make one with `synod cert init DIR`",
                )?,
            };
            let lifetime = LEAF_LIFETIME / DAYS * *days;
            issue(&dir, role, name, lifetime)?;
            println!("{}", dir.join(format!("{name}.pem")).display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn issue(dir: &std::path::Path, role: Role, name: &str, lifetime: Duration) -> Result<()> {
    let authority =
        Authority::open(dir).with_context(|| format!("{} holds no authority", dir.display()))?;
    Ok(authority.issue_valid(role, name, Validity::of(lifetime))?)
}
