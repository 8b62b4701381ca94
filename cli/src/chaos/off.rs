//! What every build that serves has: nothing.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use serde::{Deserialize, Serialize};

use crate::servers::Servers;

/// What `--version` says.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A bug to be planted: there is none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Bug;

impl TryFrom<String> for Bug {
    type Error = &'static str;

    fn try_from(_: String) -> Result<Bug, &'static str> {
        Err("`bug` plants a bug; only a build with the feature `chaos`, for tests, has any")
    }
}

impl Bug {
    pub fn plant_in_coordinator(&self, _: &mut synod_coordinator::Settings) -> Result<()> {
        Ok(())
    }

    pub fn plant_in_shard(&self, _: &mut synod_shard::Settings) -> Result<()> {
        Ok(())
    }
}

pub fn routes(_: &Arc<Servers>) -> Router {
    Router::new()
}

pub fn warn() {}
