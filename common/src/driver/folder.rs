//! A data folder: whose it is, and that nobody else is in it.
//!
//! The file `node` in it says which node of which cluster it belongs to. It is
//! written after the log was made, so a folder that has it and no log has lost
//! its log, and is refused rather than taken for a new one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::files::Files;
use crate::wal::{Disk, Identity};

const MARK: &str = "node";

/// A data folder can not be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("the data folder {0} is in use by another process; stop that one first")]
    InUse(PathBuf),
    /// It is another node's.
    #[error(
        "the data folder {dir} belongs to {found}, not to {expected}; give this server its own folder"
    )]
    Foreign {
        /// Which folder.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wanted it.
        expected: String,
    },
    /// Its log is gone.
    #[error("the data folder {0} has lost its log; restore it from a backup, nothing was changed")]
    LogMissing(PathBuf),
    /// It should be there and is not.
    #[error(
        "the data folder {0} is not there, or empty: a coordinator without it has lost what it promised its group, and may not take part any more; restore it as it last was, or, if its whole group is new, start each member once with --new"
    )]
    Lost(PathBuf),
    /// The system refuses.
    #[error("can not use the data folder {dir}: {error}")]
    Io {
        /// Which folder.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A data folder that is ours while this lives.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    marked: bool,
    text: String,
}

impl Folder {
    /// Opens the folder of a node, making it if there is none.
    ///
    /// # Errors
    /// If somebody else uses it, or it belongs to somebody else.
    pub fn open(dir: &Path, identity: &Identity) -> Result<(Folder, Files), FolderError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => FolderError::InUse(dir.to_owned()),
            _ => FolderError::Io { dir: dir.to_owned(), error },
        };
        fs::create_dir_all(dir).map_err(failed)?;
        let mut files = Files::open(dir).map_err(failed)?;
        let text = format!("{} of cluster {}\n", identity.node, identity.cluster);
        let marked = match fs::read_to_string(dir.join(MARK)) {
            Ok(found) if found == text => true,
            Ok(found) => {
                return Err(FolderError::Foreign {
                    dir: dir.to_owned(),
                    found: found.trim().chars().take(100).collect(),
                    expected: text.trim().to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(error)),
        };
        let names = files.list().map_err(failed)?;
        if marked && !names.iter().any(|name| name.ends_with(".wal")) {
            return Err(FolderError::LogMissing(dir.to_owned()));
        }
        Ok((Folder { dir: dir.to_owned(), marked, text }, files))
    }

    /// Whether a node has marked the folder as its own.
    ///
    /// # Errors
    /// If that can not be seen.
    pub fn is_marked(dir: &Path) -> Result<bool, FolderError> {
        let found = dir.join(MARK).try_exists();
        found.map_err(|error| FolderError::Io { dir: dir.to_owned(), error })
    }

    /// Marks the folder as this node's, now that it has a log.
    ///
    /// # Errors
    /// If the mark can not be written.
    pub fn mark(&self) -> Result<(), FolderError> {
        if self.marked {
            return Ok(());
        }
        let temporary = self.dir.join("node.tmp");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(self.text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, self.dir.join(MARK))?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| FolderError::Io { dir: self.dir.clone(), error })
    }
}
