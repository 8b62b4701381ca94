//! What the tests of the command share: the real binary in a home of its own.

#![allow(dead_code)]

pub mod ask;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long until it is looked again.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A folder that goes away, and the home of the commands that run in it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("synod-cli-{:016x}", random()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The command, knowing nothing of who runs the test.
    pub fn command<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNOD_") {
                command.env_remove(name);
            }
        }
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command.env("HOME", &self.0).current_dir(&self.0).stdin(Stdio::null()).args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Run {
        Run::of(self.command(args).envs(env.iter().copied()).output().unwrap())
    }

    /// Runs with something on stdin.
    pub fn pipe(&self, args: &[&str], env: &[(&str, &str)], input: &str) -> Run {
        let mut command = self.command(args);
        command.envs(env.iter().copied()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A script that failed early leaves the rest unread.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Run::of(child.wait_with_output().unwrap())
    }

    /// Starts servers and waits until they say that they are ready.
    pub fn start(&self, args: &[&str]) -> Server {
        let mut server = self.spawn(args);
        server.wait_ready();
        server
    }

    /// Starts servers.
    pub fn spawn(&self, args: &[&str]) -> Server {
        let mut command = self.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Server { child, out, ready: String::new() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Run {
    fn of(output: Output) -> Run {
        let err = String::from_utf8(output.stderr).unwrap();
        Run { code: output.status.code().unwrap(), out: output.stdout, err }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// It succeeded; its output.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        self.text()
    }

    /// It failed with this code, said this in one line, and printed nothing.
    #[track_caller]
    pub fn fails(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let last = self.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("synod: ") && last.contains(says), "{self:?}");
        let complaints = self.err.lines().filter(|line| line.starts_with("synod: ")).count();
        assert_eq!(complaints, 1, "{self:?}");
        assert_eq!(self.text(), "");
    }
}

/// Servers that run.
pub struct Server {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    pub ready: String,
}

impl Server {
    pub fn wait_ready(&mut self) {
        self.out.read_line(&mut self.ready).unwrap();
        if !self.ready.starts_with("READY ") {
            let mut err = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            panic!("not ready: {:?} {err}", self.ready);
        }
    }

    /// The address for clients, from the READY line.
    pub fn url(&self) -> &str {
        self.ready.split_whitespace().nth(1).unwrap()
    }

    /// Status and body of a page of the admin port.
    pub fn page(&self, path: &str) -> (u16, String) {
        let admin = self.ready.split_whitespace().nth(2).unwrap();
        http(admin.strip_prefix("http://").unwrap(), path)
    }

    /// Asks it to stop; its exit code, and what it said on stderr.
    pub fn stop(mut self, signal: &str) -> (i32, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (code, err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of a page.
pub fn http(address: &str, path: &str) -> (u16, String) {
    exchange(address, &format!("GET {path}"), "")
}

/// Status and body of the answer to what is posted to a page.
pub fn post(address: &str, path: &str, body: &str) -> (u16, String) {
    exchange(address, &format!("POST {path}"), body)
}

fn exchange(address: &str, what: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: synod\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// A base port whose neighbours that `synod up` needs are free, too. Below the
/// ports that systems give to clients, and no two tests get the same.
pub fn base_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let base = 10_000 + (random() % 180) as u16 * 110;
        let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, base + 80)).is_ok();
        let free = tcp && (base..base + 5).all(udp) && (base + 100..base + 104).all(udp);
        if free && TAKEN.lock().unwrap().insert(base) {
            return base;
        }
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// All files below a folder, with their contents.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}
