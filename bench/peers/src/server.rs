//! A server of a peer: a process with a folder, found by its port.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a server may take to start, and to stop.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it is so.
pub const LOOK: Duration = Duration::from_millis(50);

/// A running server.
pub struct Server {
    name: String,
    child: Child,
    port: u16,
}

/// Who a server runs as: some refuse to run as root.
#[derive(Clone, Copy, Debug)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The user of this name, if this process may take its place; otherwise whoever this is.
    ///
    /// # Errors
    /// If there is none.
    pub async fn find(name: &str) -> Result<Option<User>> {
        if !rustix::process::getuid().is_root() {
            return Ok(None);
        }
        let ask = async |flag| -> Result<u32> {
            let said = Command::new("id").args([flag, name]).output().await?;
            let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            said.parse().with_context(|| format!("there is no user {name}"))
        };
        Ok(Some(User { uid: ask("-u").await?, gid: ask("-g").await? }))
    }
}

/// A command that runs as this user.
pub fn command(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A folder that belongs to this user.
///
/// # Errors
/// If it can not be made.
pub fn folder(path: &Path, user: Option<User>) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
    if let Some(User { uid, gid }) = user {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Runs a command to its end.
///
/// # Errors
/// If it fails; with what it said.
pub async fn run(mut command: Command) -> Result<()> {
    let output = command.output().await.with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

/// The first of these that is there, or one of this name on the path.
///
/// # Errors
/// If there is none: with the Debian package that has it.
pub fn program(name: &str, places: &[&str], package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    let places = places.iter().map(PathBuf::from);
    let found = places.chain(on_path).find(|place| place.is_file());
    found.with_context(|| format!("there is no {name}: apt-get install {package}"))
}

/// What a program says when it is asked for its version.
///
/// # Errors
/// If it can not be started.
pub async fn version(program: &Path) -> Result<String> {
    let said = Command::new(program).arg("--version").output().await?;
    let said = String::from_utf8_lossy(&said.stdout);
    let first = said.lines().next().unwrap_or_default().trim();
    // Some say where they are, which is nobody's business.
    let folder = program.parent().map_or_else(String::new, |at| format!("{}/", at.display()));
    Ok(first.strip_prefix(&folder).unwrap_or(first).to_owned())
}

impl Server {
    /// Starts one and waits until its port is open. What it says goes to a file beside its
    /// folder.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(name: &str, mut command: Command, log: &Path, port: u16) -> Result<Server> {
        ensure!(!is_open(port).await, "something listens on port {port} already");
        let file = std::fs::File::create(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("{name} can not be started"))?;
        let mut server = Server { name: name.to_owned(), child, port };
        let until = Instant::now() + PATIENCE;
        while !is_open(port).await {
            let ended = server.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} does not start: {said}");
            }
            sleep(LOOK).await;
        }
        Ok(server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// If it does not.
    pub async fn stop(mut self, signal: Signal) -> Result<()> {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(id) = id {
            kill_process(id, signal)?;
        }
        timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("{} does not stop", self.name))??;
        Ok(())
    }
}

async fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}
