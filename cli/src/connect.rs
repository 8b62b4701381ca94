//! A client of the cluster that a command was pointed at.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use synod_client::{Client, Credentials, Error, Options};
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
        let certs = config.certs.value.as_ref().context(
            "no certificates are known: name their folder with --certs or SYNOD_CERTS; \
             `synod up` makes one, with the name `certs`, in its data folder",
        )?;
        let credentials = credentials(certs, &config.identity.value)?;
        let url = &config.url.value;
        let client = Client::connect(url, credentials).await.map_err(|error| match error {
            Error::Misuse(what) => Usage::because(what),
            error => error.into(),
        })?;
        let list = url.strip_prefix("synod://").unwrap_or(url).trim_end_matches('/');
        let options = Options::new()
            .timeout(Duration::from_millis(config.timeout_ms.value))
            .lock_wait(Duration::from_millis(config.lock_wait_ms.value));
        let addresses = list.split(',').map(str::to_owned).collect();
        Ok(Connected { client, addresses, options })
    }
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

/// What a command runs on.
///
/// # Errors
/// If the system gives none.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("can not start the runtime")
}
