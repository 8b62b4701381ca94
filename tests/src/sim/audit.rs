//! The end of a run: what must hold over all of it.

use super::world::World;
use crate::invariants::{Check, drain, promise, strict, sum};

impl World {
    /// Called when everything is over and quiet.
    pub fn check_end(&mut self) -> Check {
        promise::check_all(&self.history, &self.ledger)?;
        strict::check(&self.history, &self.ledger, &self.router)?;
        self.audit_operator()?;
        let total = self.accounts.len() as i64 * super::world::INITIAL;
        // What is only half there is not the same.
        if !self.ledger.is_any_mixed() {
            sum::check(&self.history, &self.ledger, self.accounts.len(), total)?;
        }
        for (index, server) in self.servers.iter().enumerate() {
            let Some(core) = &server.core else { continue };
            if let Some(shard) = core.shard() {
                drain::check_shard(index, shard)?;
            }
            if let Some(coordinator) = core.coordinator() {
                drain::check_coordinator(coordinator)?;
            }
        }
        self.check_back()?;
        match &self.ledger.group {
            Some(group) => group.check_end(),
            None => Ok(()),
        }
    }
}
