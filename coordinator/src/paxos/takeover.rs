//! Taking over: what a new leader makes of what was accepted before it.
//!
//! A majority has promised its epoch, so nothing of an older one is accepted by enough
//! members from then on; and with the promises it has heard all that was. Of a transaction
//! that may be committed, because a majority has accepted it, one of these knows the votes.
//!
//! | the votes of a transaction are      | and the log says            | so it is          |
//! |-------------------------------------|-----------------------------|-------------------|
//! | accepted by one of them, or more    | nothing                     | committed         |
//! | accepted by one of them, or more    | committed, given up, or below the mark | decided already |
//! | accepted by none of them            | nothing                     | aborted: nobody can have committed it |
//!
//! The log of the new leader has all that an earlier one can have told anybody.

use std::collections::BTreeMap;

use synod_common::id::TxnId;
use synod_common::message::paxos::Bundle;

use super::Decided;
use super::mutant::mutated;

/// What was accepted, as a majority has told it.
#[derive(Clone, Debug, Default)]
pub struct Found(BTreeMap<TxnId, Bundle>);

impl Found {
    /// One of the acceptors has accepted this.
    pub fn add(&mut self, bundle: Bundle) {
        self.0.entry(bundle.txn).or_insert(bundle);
    }

    /// Those that are neither given up nor below the mark.
    pub fn undecided(self, decided: &Decided) -> Vec<Bundle> {
        if mutated!(decided, FoundIgnored) {
            return Vec::new();
        }
        let all = self.0.into_values();
        all.filter(|bundle| !decided.is_decided(bundle.txn, bundle.h)).collect()
    }
}
