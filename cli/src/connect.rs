//! A client of the cluster that a command was pointed at.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use synod_client::{Client, Credentials, Error, Options, ShardId};
use synod_common::driver::tls::Identity;

use crate::cmd::Usage;
use crate::config::{Config, Global};

/// A connected client, with what its commands need to know.
pub struct Connected {
    /// The client.
    pub client: Client,
    /// The addresses of the coordinators, as in the URL.
    pub addresses: Vec<String>,
    /// For transactions.
    pub options: Options,
}

impl Connected {
    /// Connects.
    ///
    /// # Errors
    /// If there are no certificates, no cluster, or not for us; says what to do.
    pub async fn to(config: &Config) -> Result<Connected> {
        let client = Client::connect(&config.url.value, shown(config)?).await;
        Ok(Connected::over(config, client.map_err(misuse)?))
    }

    /// As [`Connected::to`], but asks nothing yet: the coordinator may be gone, and
    /// the addresses of some shards are known otherwise.
    ///
    /// # Errors
    /// If there are no certificates, or an address makes no sense.
    pub fn to_servers(config: &Config, shards: &[(ShardId, String)]) -> Result<Connected> {
        let client = Client::to_servers(&config.url.value, shards, shown(config)?);
        Ok(Connected::over(config, client.map_err(misuse)?))
    }

    fn over(config: &Config, client: Client) -> Connected {
        let url = &config.url.value;
        let list = url.strip_prefix("synod://").unwrap_or(url).trim_end_matches('/');
        let options = Options::new()
            .timeout(Duration::from_millis(config.timeout_ms.value))
            .lock_wait(Duration::from_millis(config.lock_wait_ms.value));
        let addresses = list.split(',').map(str::to_owned).collect();
        Connected { client, addresses, options }
    }
}

fn misuse(error: Error) -> anyhow::Error {
    match error {
        Error::Misuse(what) => Usage::because(what),
        error => error.into(),
    }
}

/// The certificate to show.
fn shown(config: &Config) -> Result<Credentials> {
    let certs = config.certs.value.as_ref().context(
        "no certificates are known: name their folder with --certs or SYNOD_CERTS; \
         `synod up` makes one, with the name `certs`, in its data folder",
    )?;
    credentials(certs, &config.identity.value)
}

/// Loads a certificate that may run transactions.
fn credentials(certs: &Path, name: &str) -> Result<Credentials> {
    let role = Identity::load(certs, name)?.role();
    ensure!(
        !role.is_server(),
        "the certificate {} has the role {role}, which may not run transactions; \
         choose one of a client with --identity",
        certs.join(format!("{name}.pem")).display()
    );
    Ok(Credentials::load(certs, name)?)
}

/// Connects, does something, and takes leave.
///
/// # Errors
/// If there is no connection to be had, and what the work returns.
pub fn with<T, F>(global: &Global, work: impl FnOnce(Connected) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let config = Config::load(global)?;
    runtime()?.block_on(async {
        let db = Connected::to(&config).await?;
        let client = db.client.clone();
        let result = work(db).await;
        client.close().await;
        result
    })
}

/// As [`with`], but asks nothing yet; see [`Connected::to_servers`].
///
/// # Errors
/// If an address makes no sense, and what the work returns.
pub fn with_servers<T, F>(
    global: &Global,
    shards: &[(ShardId, String)],
    work: impl FnOnce(Connected) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let config = Config::load(global)?;
    runtime()?.block_on(async {
        let db = Connected::to_servers(&config, shards)?;
        let client = db.client.clone();
        let result = work(db).await;
        client.close().await;
        result
    })
}

/// What a command runs on.
///
/// # Errors
/// If the system gives none.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")
}
