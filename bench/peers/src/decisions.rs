//! The coordinator's log of who uses two databases at once: decisions are durable in it before
//! anybody hears of them. One thread writes what has come together with one fsync.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

type Decision = (String, oneshot::Sender<()>);

/// The log.
#[derive(Clone)]
pub struct Decisions(mpsc::Sender<Decision>);

impl Decisions {
    /// Begins one.
    ///
    /// # Errors
    /// If the file can not be made.
    pub fn create(path: &Path) -> Result<Decisions> {
        let mut file = File::create(path)?;
        let (sender, decisions) = mpsc::channel::<Decision>();
        std::thread::spawn(move || {
            while let Ok(first) = decisions.recv() {
                let mut lines = String::new();
                let mut told = Vec::new();
                for (name, tell) in std::iter::once(first).chain(decisions.try_iter()) {
                    lines.push_str(&name);
                    lines.push('\n');
                    told.push(tell);
                }
                if file.write_all(lines.as_bytes()).and_then(|()| file.sync_data()).is_err() {
                    // Those who wait hear that nothing will come.
                    return;
                }
                told.into_iter().for_each(|tell| _ = tell.send(()));
            }
        });
        Ok(Decisions(sender))
    }

    /// Makes durable that this transaction commits.
    ///
    /// # Errors
    /// If the log has failed.
    pub async fn commit(&self, name: &str) -> Result<()> {
        let (sender, told) = oneshot::channel();
        self.0.send((name.to_owned(), sender)).context("the log of decisions has ended")?;
        told.await.context("the log of decisions has failed")
    }
}
