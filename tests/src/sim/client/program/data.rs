//! What there is to read and write, and how it is read.

use std::sync::Arc;

use synod_client::{Error, Scan};
use synod_common::key::{Key, KeyRange};
use synod_common::route::Router;

use super::super::super::deed;
use super::super::super::rng::Rng;
use super::net::SimNet;
use super::notes::Note;
use super::reader::Reader;

/// What there is to read and write.
pub(super) struct Data {
    pub(super) net: Arc<SimNet>,
    pub(super) accounts: Vec<Key>,
    pub(super) router: Router,
}

impl Data {
    pub(super) fn account(&self, rng: &mut Rng) -> Key {
        self.accounts[rng.below(self.accounts.len() as u64) as usize].clone()
    }

    pub(super) fn note(&self, rng: &mut Rng) -> Key {
        if rng.chance(5_000) {
            return Key::from(format!("n/{:02}", rng.below(16)).as_str());
        }
        Key::from(format!("b{}", self.account(rng)).as_str())
    }

    pub(super) fn key(&self, rng: &mut Rng) -> Key {
        match rng.below(10) {
            0..5 => self.account(rng),
            5..8 => self.note(rng),
            _ => deed::key(rng),
        }
    }

    pub(super) fn range(&self, rng: &mut Rng) -> KeyRange {
        let (a, b) = (self.key(rng), self.key(rng));
        match rng.below(5) {
            0 => KeyRange { start: Key::from("n/"), end: Some(Key::from("n0")) },
            1 => KeyRange { start: Key::from("c/"), end: Some(Key::from("l0")) },
            2 => KeyRange { start: a, end: None },
            _ => KeyRange { start: a.clone().min(b.clone()), end: Some(a.max(b)) },
        }
    }

    pub(super) fn limit(&self, rng: &mut Rng) -> Option<usize> {
        rng.chance(6_000).then(|| rng.within(1..=6) as usize)
    }

    pub(super) fn keys(
        &self,
        reader: &mut Reader,
        keys: &[Key],
        found: Result<Vec<synod_client::Value>, Error>,
    ) -> Result<(), Error> {
        let found = found?;
        if found.len() != keys.len() {
            let (found, keys) = (found.len(), keys.len());
            self.net.note(Note::Wrong(format!("{found} values for {keys} keys")));
        }
        for (key, value) in keys.iter().zip(found) {
            self.judge(reader.saw(&self.router, key, value.into_bytes()));
        }
        Ok(())
    }

    pub(super) async fn scan(
        &self,
        reader: &mut Reader,
        scan: Scan<'_>,
        range: KeyRange,
        limit: Option<usize>,
        reverse: bool,
    ) -> Result<(), Error> {
        let scan = if reverse { scan.reverse() } else { scan };
        let scan = if let Some(limit) = limit { scan.limit(limit) } else { scan };
        let rows = scan.collect().await?;
        self.judge(reader.scanned(&self.router, &range, limit, reverse, rows));
        Ok(())
    }

    pub(super) fn judge(&self, result: Result<(), String>) {
        if let Err(what) = result {
            self.net.note(Note::Wrong(what));
        }
    }
}
