//! What commands leave for later ones on this machine, in
//! `$XDG_STATE_HOME/synod` or `~/.local/state/synod`: where the certificates of
//! the last `synod up` are, and the shell's history.
//!
//! A convenience: where it can not be written, nothing is remembered.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder for files of this user: what the variable says, or one below home.
pub fn home(variable: &str, below: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let given = std::env::var_os(variable).map(PathBuf::from).and_then(absolute);
    given.or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from).and_then(absolute)?;
        Some(home.join(below))
    })
}

/// A file of ours.
fn file(name: &str) -> Option<PathBuf> {
    Some(home("XDG_STATE_HOME", ".local/state")?.join("synod").join(name))
}

/// A file of ours to write to, its folder being there.
fn file_to_write(name: &str) -> Option<PathBuf> {
    let path = file(name)?;
    fs::create_dir_all(path.parent()?).ok()?;
    Some(path)
}

/// Where the shell keeps its history.
pub fn history() -> Option<PathBuf> {
    file_to_write("history")
}

/// The certificates of the last cluster that was started here.
pub fn last_certs() -> Option<PathBuf> {
    let text = fs::read_to_string(file("last-certs")?).ok()?;
    Some(text.trim_end_matches('\n')).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// Remembers the certificates of a cluster that was just started.
pub fn remember_certs(certs: &Path) {
    let remember = || {
        let path = file_to_write("last-certs")?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&temporary, format!("{}\n", certs.to_str()?)).ok()?;
        fs::rename(temporary, path).ok()
    };
    if remember().is_none() {
        tracing::debug!("the certificates folder is not remembered");
    }
}

/// Forgets the certificates of a cluster that is gone for good.
pub fn forget_certs(certs: &Path) {
    if last_certs().as_deref() == Some(certs)
        && let Some(path) = file("last-certs")
        && fs::remove_file(path).is_err()
    {
        tracing::debug!("the certificates folder is not forgotten");
    }
}
