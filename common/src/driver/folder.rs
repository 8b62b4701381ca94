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
/// Whoever has this file has lost what was here before, and is not back yet.
const REJOINS: &str = "rejoins";

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
        "the data folder {0} is not there, or empty: a coordinator without it has lost what it promised its group, and may not take part as if it had not; if the others go on, start it with --rejoin, and if the whole group is new, each member once with --new"
    )]
    Lost(PathBuf),
    /// Nothing is lost.
    #[error(
        "the data folder {0} is there: only a coordinator that has lost it may come back with --rejoin; start this one without"
    )]
    NotLost(PathBuf),
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

    /// Marks the folder of a node that has lost all that was in it, before it has a log.
    ///
    /// # Errors
    /// If it has lost nothing, or the mark can not be written.
    pub fn begin_rejoin(dir: &Path) -> Result<(), FolderError> {
        if Folder::rejoins(dir)? {
            return Ok(());
        }
        if Folder::is_marked(dir)? {
            return Err(FolderError::NotLost(dir.to_owned()));
        }
        let begin = || {
            fs::create_dir_all(dir)?;
            write_durably(dir, REJOINS, "it has lost its disk, and is not back yet\n")
        };
        begin().map_err(|error| FolderError::Io { dir: dir.to_owned(), error })
    }

    /// Whether its node has lost what was in it, and is not back yet.
    ///
    /// # Errors
    /// If that can not be seen.
    pub fn rejoins(dir: &Path) -> Result<bool, FolderError> {
        let found = dir.join(REJOINS).try_exists();
        found.map_err(|error| FolderError::Io { dir: dir.to_owned(), error })
    }

    /// Its node is back.
    ///
    /// # Errors
    /// If the mark can not be taken away; it does no harm then.
    pub fn end_rejoin(dir: &Path) -> Result<(), FolderError> {
        match fs::remove_file(dir.join(REJOINS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::Io { dir: dir.to_owned(), error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Marks the folder as this node's, now that it has a log.
    ///
    /// # Errors
    /// If the mark can not be written.
    pub fn mark(&self) -> Result<(), FolderError> {
        if self.marked {
            return Ok(());
        }
        let written = write_durably(&self.dir, MARK, &self.text);
        written.map_err(|error| FolderError::Io { dir: self.dir.clone(), error })
    }
}

fn write_durably(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Scratch;
    use super::*;
    use crate::id::ClusterId;

    #[test]
    fn only_what_is_lost_may_be_begun_anew() {
        let scratch = Scratch::new("folder");
        let dir = scratch.0.join("c1");
        let identity = Identity { cluster: ClusterId(7), node: "c1".to_owned() };
        Folder::begin_rejoin(&dir).unwrap();
        assert!(Folder::rejoins(&dir).unwrap());
        let (folder, _) = Folder::open(&dir, &identity).unwrap();
        folder.mark().unwrap();
        // It was restarted on the way.
        Folder::begin_rejoin(&dir).unwrap();
        Folder::end_rejoin(&dir).unwrap();
        Folder::end_rejoin(&dir).unwrap();
        assert!(!Folder::rejoins(&dir).unwrap());
        assert!(matches!(Folder::begin_rejoin(&dir), Err(FolderError::NotLost(_))));
    }
}
