//! The build for testers.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use synod_common::driver::chaos::{Chaos, Effects, Faults, Wish};

use crate::servers::{Running, Servers};

/// What `--version` says.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (chaos)");

/// The name of a bug to be planted, if any.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bug(Option<String>);

impl Bug {
    /// Plants it for as long as the server runs.
    ///
    /// # Errors
    /// If coordinators have no bug of this name; says which ones they have.
    pub fn plant_in_coordinator(&self, settings: &mut synod_coordinator::Settings) -> Result<()> {
        let Some(name) = &self.0 else { return Ok(()) };
        let found = synod_coordinator::Mutant::named(name);
        settings.mutant = Some(found.map_err(|names| no_such(name, "coordinator", &names))?);
        tracing::warn!(bug = %name, "a deliberate bug is planted");
        Ok(())
    }

    /// Plants it for as long as the server runs.
    ///
    /// # Errors
    /// If shards have no bug of this name; says which ones they have.
    pub fn plant_in_shard(&self, settings: &mut synod_shard::Settings) -> Result<()> {
        let Some(name) = &self.0 else { return Ok(()) };
        let found = synod_shard::Mutant::named(name);
        settings.mutant = Some(found.map_err(|names| no_such(name, "shard", &names))?);
        tracing::warn!(bug = %name, "a deliberate bug is planted");
        Ok(())
    }
}

fn no_such(name: &str, server: &str, names: &[&str]) -> anyhow::Error {
    anyhow!("bug: a {server} has no bug '{name}', but {}", names.join(", "))
}

/// Says what this is before it serves.
pub fn warn() {
    tracing::warn!("built with the feature `chaos`: faults and bugs on request, for tests only");
}

/// `/chaos` for the servers of this process.
pub fn routes(servers: &Arc<Servers>) -> Router {
    Router::new().route("/chaos", get(show).post(set)).with_state(Arc::clone(servers))
}

/// What `/chaos` answers.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    faults: Faults,
    took_effect: Effects,
}

async fn show(State(servers): State<Arc<Servers>>) -> Response {
    // They are set together, so one speaks for all.
    let faults = all(&servers).next().map(Chaos::faults).unwrap_or_default();
    let took_effect = all(&servers).map(Chaos::effects).sum();
    match serde_json::to_string(&Shown { faults, took_effect }) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn set(State(servers): State<Arc<Servers>>, body: String) -> Response {
    let wish = serde_json::from_str(&body).map_err(|error| error.to_string());
    let checked = wish.and_then(|wish: Wish| wish.check().map(|()| wish));
    match checked.and_then(|wish| all(&servers).try_for_each(|chaos| chaos.set(&wish))) {
        Ok(()) => {
            tracing::warn!(wish = %body, "chaos");
            show(State(servers)).await
        }
        Err(error) => (StatusCode::BAD_REQUEST, error + "\n").into_response(),
    }
}

fn all(servers: &Servers) -> impl Iterator<Item = &Chaos> {
    servers.iter().map(|server| match server {
        Running::Coordinator(_, server) => server.chaos(),
        Running::Shard(_, server) => server.chaos(),
    })
}
