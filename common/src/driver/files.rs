//! The real disk: a folder of files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chaos::Chaos;
use crate::wal::Disk;

const LOCK: &str = "lock";
const ZEROS: usize = 1 << 20;

/// A folder that this process alone uses. Clones share the folder and its lock;
/// the lock ends with the last of them.
#[derive(Debug)]
pub struct Files {
    folder: Arc<Folder>,
    chaos: Chaos,
    /// Files that were written to, by name.
    open: BTreeMap<String, File>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    handle: File,
    _lock: File,
}

impl Files {
    /// Opens a folder, making it if need be.
    ///
    /// # Errors
    /// `WouldBlock` if another process uses the folder; else what the system says.
    pub fn open(path: &Path) -> io::Result<Files> {
        fs::create_dir_all(path)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(
                ErrorKind::WouldBlock,
                format!("{} is in use by another process", path.display()),
            ),
            TryLockError::Error(error) => error,
        })?;
        let handle = File::open(path)?;
        handle.sync_all()?;
        // The folder's own name has to survive as well.
        if let Some(parent) = fs::canonicalize(path)?.parent() {
            File::open(parent)?.sync_all()?;
        }
        let folder = Folder { path: path.to_owned(), handle, _lock: lock };
        Ok(Files { folder: Arc::new(folder), chaos: Chaos::default(), open: BTreeMap::new() })
    }

    /// With the faults that are asked for there.
    pub fn under(self, chaos: &Chaos) -> Files {
        Files { chaos: chaos.clone(), ..self }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }

    /// Makes a file of zeros, durable but for its name.
    fn fill(&self, path: &Path, size: u64) -> io::Result<()> {
        let file = File::create(path)?;
        let zeros = vec![0; ZEROS];
        let mut offset = 0;
        while offset < size {
            let len = (size - offset).min(ZEROS as u64);
            self.chaos.write(&file, offset, &zeros[..len as usize])?;
            offset += len;
        }
        self.chaos.sync(|| file.sync_all())
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.chaos.sync(|| self.folder.handle.sync_all())
    }

    fn file(&mut self, name: &str) -> io::Result<(&File, &Chaos)> {
        if !self.open.contains_key(name) {
            let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
            self.open.insert(name.to_owned(), file);
        }
        let file = self.open.get(name).ok_or(ErrorKind::NotFound)?;
        Ok((file, &self.chaos))
    }
}

impl Clone for Files {
    fn clone(&self) -> Self {
        let (folder, chaos) = (self.folder.clone(), self.chaos.clone());
        Files { folder, chaos, open: BTreeMap::new() }
    }
}

impl Disk for Files {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder.path)? {
            let entry = entry?;
            // Nothing of ours has a name that is not UTF-8.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(name))?.len())
    }

    fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self.open.get(name) {
            Some(file) => file.read_exact_at(into, offset),
            None => File::open(self.path(name))?.read_exact_at(into, offset),
        }
    }

    fn create(&mut self, name: &str, size: u64) -> io::Result<()> {
        let (temporary, path) = (self.path(&format!("{name}.tmp")), self.path(name));
        self.open.remove(name);
        let made = self.fill(&temporary, size).and_then(|()| fs::rename(&temporary, &path));
        // Half of it would only take room that others need.
        made.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        // Nor may anybody rely on what may have no name tomorrow.
        self.sync_folder().inspect_err(|_| drop(fs::remove_file(&path)))
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (file, chaos) = self.file(name)?;
        chaos.write(file, offset, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let (file, chaos) = self.file(name)?;
        chaos.sync(|| file.sync_data())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open.remove(to);
        if let Some(file) = self.open.remove(from) {
            self.open.insert(to.to_owned(), file);
        }
        fs::rename(self.path(from), self.path(to))?;
        self.sync_folder()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        fs::remove_file(self.path(name))?;
        self.sync_folder()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder that is removed at the end.
    pub(crate) struct Scratch(pub PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("synod-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_do_what_a_disk_does() {
        let scratch = Scratch::new("files");
        let mut disk = Files::open(&scratch.0).unwrap();
        disk.create("a", 3_000_000).unwrap();
        disk.write_at("a", 2_999_999, b"xy").unwrap();
        disk.sync("a").unwrap();
        disk.rename("a", "b").unwrap();
        disk.write_at("b", 0, b"1").unwrap();
        let mut other = disk.clone();
        assert_eq!(other.list().unwrap(), ["b"]);
        assert_eq!(other.size("b").unwrap(), 3_000_001);
        let mut bytes = [9; 3];
        other.read_at("b", 2_999_998, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0xy");
        other.read_at("b", 0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"1\0\0");
        assert!(other.read_at("b", 2_999_999, &mut bytes).is_err());
        disk.remove("b").unwrap();
        assert_eq!(other.size("b").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_has_one_user() {
        let scratch = Scratch::new("files-lock");
        let disk = Files::open(&scratch.0).unwrap();
        let error = Files::open(&scratch.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains("is in use by another process"), "{error}");
        drop(disk);
        Files::open(&scratch.0).unwrap();
    }
}
