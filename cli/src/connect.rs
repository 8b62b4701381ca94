//! A client of the cluster that a command was pointed at.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use synod_client::{Client, Credentials, Options};

use crate::config::{Config, Global};

/// How long the last messages, such as the end of the session, get to leave.
const FAREWELL: Duration = Duration::from_millis(10);

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
        let certs = config.certs.value.as_ref().context(
            "no certificates are known: name their folder with --certs or SYNOD_CERTS; \
             `synod up` makes one, with the name `certs`, in its data folder",
        )?;
        let credentials = Credentials::load(certs, &config.identity.value)?;
        let url = &config.url.value;
        let client = Client::connect(url, credentials).await?;
        let list = url.strip_prefix("synod://").unwrap_or(url).trim_end_matches('/');
        let options = Options::new()
            .timeout(Duration::from_millis(config.timeout_ms.value))
            .lock_wait(Duration::from_millis(config.lock_wait_ms.value));
        let addresses = list.split(',').map(str::to_owned).collect();
        Ok(Connected { client, addresses, options })
    }
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
        let result = work(Connected::to(&config).await?).await;
        tokio::time::sleep(FAREWELL).await;
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
