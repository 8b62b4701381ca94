//! A folder that goes with its owner.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::ports;

/// A folder, removed at the end if it was ours.
pub struct Folder {
    path: PathBuf,
    ours: bool,
}

impl Folder {
    /// The chosen one, or a new one among the temporary files.
    ///
    /// # Errors
    /// If it can not be made.
    pub fn new(chosen: Option<PathBuf>) -> Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ours = chosen.is_none();
        let path = chosen.unwrap_or_else(|| {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!(
                "synod-{}-{n}-{:08x}",
                std::process::id(),
                ports::seed() as u32
            ))
        });
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{} can not be made", path.display()))?;
        Ok(Folder { path, ours })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
