//! The folder of `synod up`: a whole cluster in one place.
//!
//! ```text
//!   synod-data/lock           held while the cluster runs
//!   synod-data/cluster.toml   its id, how many servers, where its shards are split
//!   synod-data/founding       until its group of coordinators has served once
//!   synod-data/certs/         ca, c1, s1, …, client, operator
//!   synod-data/c1/  s1/  …    the servers' data folders
//! ```
//!
//! `cluster.toml` is written last, so a first start that was interrupted is
//! simply begun again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use synod_common::driver::authority::Authority;
use synod_common::driver::tls::Role;
use synod_common::id::ClusterId;
use synod_common::limits;

use crate::server_file;

const CLUSTER: &str = "cluster.toml";
const CERTS: &str = "certs";
const LOCK: &str = "lock";
const FOUNDING: &str = "founding";

/// What `cluster.toml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its id.
    pub cluster: String,
    /// How many shards it has.
    pub shards: u16,
    /// How many coordinators.
    #[serde(default = "one")]
    pub coordinators: u16,
    /// Where the shards are split; by hash if nowhere.
    #[serde(default)]
    pub split: Vec<String>,
}

fn one() -> u16 {
    1
}

/// What was asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How many shards.
    pub shards: Option<u16>,
    /// How many coordinators.
    pub coordinators: Option<u16>,
    /// Where to split.
    pub split: Option<Vec<String>>,
}

/// The folder of a cluster, ours alone while this lives.
#[derive(Debug)]
pub struct Local {
    dir: PathBuf,
    cluster: Cluster,
    is_new: bool,
    _lock: File,
}

impl Local {
    /// Opens the folder of a cluster, or makes a new one with `shards` shards and one
    /// coordinator unless something else is wanted.
    ///
    /// # Errors
    /// If another process uses it, if it is something else, or a cluster of
    /// another shape than wanted.
    pub fn open(dir: &Path, wanted: &Wanted, shards: u16) -> Result<Local> {
        fs::create_dir_all(dir)
            .with_context(|| format!("can not make the data folder {}", dir.display()))?;
        let dir = fs::canonicalize(dir).with_context(|| dir.display().to_string())?;
        let path = dir.join(CLUSTER);
        let is_new = !path.try_exists().with_context(|| path.display().to_string())?;
        if is_new {
            refuse_foreign(&dir)?;
        }
        let lock = lock(&dir)?;
        let cluster = if is_new {
            let splits = wanted.split.clone().unwrap_or_default();
            let shards = wanted.shards.unwrap_or(match splits.len() {
                0 => shards,
                cuts => u16::try_from(cuts + 1).context("too many splits")?,
            });
            let coordinators = wanted.coordinators.unwrap_or(1);
            let cluster = new_cluster_id().to_string();
            Cluster { cluster, shards, coordinators, split: splits }
        } else {
            let found: Cluster = server_file::read(&path)?;
            let sound = (1..=limits::SHARDS).contains(&usize::from(found.shards));
            ensure!(sound, "{}: there must be 1 to {} shards", path.display(), limits::SHARDS);
            server_file::check_group_size(usize::from(found.coordinators))
                .with_context(|| path.display().to_string())?;
            refuse_other_shape(&dir, &found, wanted)?;
            found
        };
        let local = Local { dir, cluster, is_new, _lock: lock };
        if is_new {
            local.make_certificates()?;
            local.begin_founding()?;
            local.write_cluster()?;
        }
        Ok(local)
    }

    /// Whether it was made just now.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the coordinators may begin without their folders: none has served yet.
    pub fn is_founding(&self) -> bool {
        self.dir.join(FOUNDING).exists()
    }

    /// All servers have served.
    ///
    /// # Errors
    /// If that can not be noted.
    pub fn founded(&self) -> Result<()> {
        match fs::remove_file(self.dir.join(FOUNDING)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| self.dir.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn begin_founding(&self) -> Result<()> {
        let path = self.dir.join(FOUNDING);
        fs::write(&path, "").with_context(|| format!("can not write {}", path.display()))
    }

    /// What the cluster is.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder with its certificates.
    pub fn certs(&self) -> PathBuf {
        self.dir.join(CERTS)
    }

    fn make_certificates(&self) -> Result<()> {
        let certs = self.certs();
        let authority = match certs.join("ca.key").exists() && certs.join("ca.pem").exists() {
            true => Authority::open(&certs)?,
            // Without both files no certificate can have been issued.
            false => {
                if certs.exists() {
                    fs::remove_dir_all(&certs).with_context(|| certs.display().to_string())?;
                }
                Authority::create(&certs)?
            }
        };
        let shards = (1..=self.cluster.shards).map(|id| (Role::Shard, format!("s{id}")));
        let coordinators =
            (1..=self.cluster.coordinators).map(|id| (Role::Coordinator, format!("c{id}")));
        let others = [(Role::Client, "client"), (Role::Operator, "operator")];
        let others = others.map(|(role, name)| (role, name.to_owned()));
        for (role, name) in others.into_iter().chain(coordinators).chain(shards) {
            // A key without its certificate is left from an interrupted start.
            if !certs.join(format!("{name}.pem")).exists() {
                match fs::remove_file(certs.join(format!("{name}.key"))) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                    _ => authority.issue(role, &name)?,
                }
            }
        }
        Ok(())
    }

    fn write_cluster(&self) -> Result<()> {
        let (path, temporary) = (self.dir.join(CLUSTER), self.dir.join("cluster.toml.tmp"));
        let text = format!("# Made by `synod up`.\n{}", toml::to_string(&self.cluster)?);
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("can not write {}", path.display()))
    }
}

/// An id that no other cluster has.
pub fn new_cluster_id() -> ClusterId {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    ClusterId(half() << 64 | half())
}

/// Takes a folder without a cluster only if nothing else is in it.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    for entry in entries {
        let name = entry.with_context(|| dir.display().to_string())?.file_name();
        let ours = [LOCK, CERTS, FOUNDING, "cluster.toml.tmp"].iter().any(|ours| name == *ours);
        ensure!(
            ours,
            "{} is no data folder of a cluster: it holds '{}' but no {CLUSTER}; \
             choose an empty or a new folder with --data",
            dir.display(),
            name.display()
        );
    }
    Ok(())
}

fn refuse_other_shape(dir: &Path, found: &Cluster, wanted: &Wanted) -> Result<()> {
    let dir = dir.display();
    if let Some(shards) = wanted.shards.filter(|shards| *shards != found.shards) {
        bail!(
            "the cluster in {dir} has {} shards, not {shards}; \
             leave --shards out, or choose another folder with --data",
            found.shards
        );
    }
    if let Some(wanted) = wanted.coordinators.filter(|wanted| *wanted != found.coordinators) {
        bail!(
            "the cluster in {dir} has {} coordinator{}, not {wanted}; \
             leave --coordinators out, or choose another folder with --data",
            found.coordinators,
            if found.coordinators == 1 { "" } else { "s" }
        );
    }
    if let Some(split) = wanted.split.as_ref().filter(|split| **split != found.split) {
        let found = match found.split.len() {
            0 => "spreads keys by hash".to_owned(),
            _ => format!("is split at {}", found.split.join(",")),
        };
        bail!(
            "the cluster in {dir} {found}, and can not be split at {}; \
             leave --split out, or choose another folder with --data",
            split.join(",")
        );
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("can not use the data folder {}", dir.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "the data folder {} is in use by another process; \
             stop that one first, or choose another folder with --data",
            dir.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("can not lock {}", path.display()))
        }
    }
}
