//! What a command works with: flags, then the environment, then a file, then
//! defaults, and where each value came from.
//!
//! The file is the one that `SYNOD_CONFIG` names, or else
//! `~/.config/synod/config.toml` if there is one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use crate::{server_file, state};

/// Flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Global {
    /// Where the cluster is: synod://HOST:PORT[,HOST:PORT…] [env: SYNOD_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Folder with the certificates [env: SYNOD_CERTS] [default: of the last `synod up`]
    #[arg(long, global = true, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// Name of the certificate to show [env: SYNOD_IDENTITY] [default: client]
    #[arg(long, global = true, value_name = "NAME")]
    pub identity: Option<String>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command.
    Flag,
    /// A variable of the environment.
    Environment(&'static str),
    /// The configuration file.
    File(PathBuf),
    /// What the last `synod up` on this machine left.
    LastUp,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::LastUp => f.write_str("default (last `synod up`)"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub origin: Origin,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: Option<String>,
    certs: Option<PathBuf>,
    identity: Option<String>,
    timeout_ms: Option<u64>,
    lock_wait_ms: Option<u64>,
    data: Option<PathBuf>,
    base_port: Option<u16>,
    log: Option<String>,
}

/// Everything that can be set, as it is in effect.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the cluster is.
    pub url: Setting<String>,
    /// The folder with the certificates, if any is known.
    pub certs: Setting<Option<PathBuf>>,
    /// Name of the certificate to show.
    pub identity: Setting<String>,
    /// How long a transaction may take, retries included.
    pub timeout_ms: Setting<u64>,
    /// How long to wait for a lock.
    pub lock_wait_ms: Setting<u64>,
    /// The data folder of `synod up`.
    pub data: Setting<PathBuf>,
    /// The first port of `synod up`.
    pub base_port: Setting<u16>,
    /// What is logged to stderr.
    pub log: Setting<String>,
}

impl Config {
    /// From all sources.
    ///
    /// # Errors
    /// If the file or a variable can not be understood; says which.
    pub fn load(global: &Global) -> Result<Config> {
        let (path, file) = match path() {
            Some(path) => {
                let file: File = server_file::read(&path)?;
                (path, file)
            }
            None => (PathBuf::new(), File::default()),
        };
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let from_file = || Origin::File(path.clone());
        let mut config = Config {
            url: pick(global.url.clone(), "SYNOD_URL", file.url, &from_file, default_url())?,
            certs: pick(
                global.certs.clone().map(Some),
                "SYNOD_CERTS",
                file.certs.map(|certs| Some(base.join(certs))),
                &from_file,
                None,
            )?,
            identity: pick(
                global.identity.clone(),
                "SYNOD_IDENTITY",
                file.identity,
                &from_file,
                "client".to_owned(),
            )?,
            timeout_ms: pick(None, "SYNOD_TIMEOUT_MS", file.timeout_ms, &from_file, 30_000)?,
            lock_wait_ms: pick(None, "SYNOD_LOCK_WAIT_MS", file.lock_wait_ms, &from_file, 1_000)?,
            data: pick(
                None,
                "SYNOD_DATA",
                file.data.map(|data| base.join(data)),
                &from_file,
                PathBuf::from("synod-data"),
            )?,
            base_port: pick(None, "SYNOD_BASE_PORT", file.base_port, &from_file, 7400)?,
            log: pick(None, "SYNOD_LOG", file.log, &from_file, "warn".to_owned())?,
        };
        if config.certs.origin == Origin::Default
            && let Some(last) = state::last_certs()
        {
            config.certs = Setting { value: Some(last), origin: Origin::LastUp };
        }
        Ok(config)
    }

    /// Every setting by name, as text.
    pub fn rows(&self) -> Vec<(&'static str, Option<String>, &Origin)> {
        let certs = self.certs.value.as_ref().map(|path| path.display().to_string());
        vec![
            ("url", Some(self.url.value.clone()), &self.url.origin),
            ("certs", certs, &self.certs.origin),
            ("identity", Some(self.identity.value.clone()), &self.identity.origin),
            ("timeout_ms", Some(self.timeout_ms.value.to_string()), &self.timeout_ms.origin),
            ("lock_wait_ms", Some(self.lock_wait_ms.value.to_string()), &self.lock_wait_ms.origin),
            ("data", Some(self.data.value.display().to_string()), &self.data.origin),
            ("base_port", Some(self.base_port.value.to_string()), &self.base_port.origin),
            ("log", Some(self.log.value.clone()), &self.log.origin),
        ]
    }
}

fn default_url() -> String {
    "synod://127.0.0.1:7400".to_owned()
}

/// The configuration file, if there is one.
fn path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SYNOD_CONFIG").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let home = state::home("XDG_CONFIG_HOME", ".config")?;
    Some(home.join("synod").join("config.toml")).filter(|path| path.exists())
}

/// A value of the environment.
trait FromEnv: Sized {
    fn from_env(text: &str) -> Option<Self>;
}

macro_rules! from_env {
    ($($type:ty),*) => {$(
        impl FromEnv for $type {
            fn from_env(text: &str) -> Option<$type> {
                <$type>::from_str(text).ok()
            }
        }
    )*};
}
from_env!(String, PathBuf, u64, u16);

impl FromEnv for Option<PathBuf> {
    fn from_env(text: &str) -> Option<Option<PathBuf>> {
        PathBuf::from_env(text).map(Some)
    }
}

/// The first that there is. An empty variable counts as not set.
fn pick<T: FromEnv>(
    flag: Option<T>,
    variable: &'static str,
    file: Option<T>,
    from_file: &impl Fn() -> Origin,
    default: T,
) -> Result<Setting<T>> {
    if let Some(value) = flag {
        return Ok(Setting { value, origin: Origin::Flag });
    }
    if let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) {
        let text = text.to_str().with_context(|| format!("{variable} is not UTF-8"))?;
        let value =
            T::from_env(text).ok_or_else(|| anyhow!("{variable}: '{text}' makes no sense"))?;
        return Ok(Setting { value, origin: Origin::Environment(variable) });
    }
    Ok(match file {
        Some(value) => Setting { value, origin: from_file() },
        None => Setting { value: default, origin: Origin::Default },
    })
}
