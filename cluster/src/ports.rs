//! Ports that nobody uses.
//!
//! They are taken from below the range from which systems give ports to clients,
//! so that no client takes the port of a server while that one is dead.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::Result;

const LOWEST: u16 = 10_000;
const HIGHEST: u16 = 30_000;
const ATTEMPTS: usize = 10_000;

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where others are told that it listens: the same, or its front.
    pub(crate) told: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The network namespace that it runs in, if that is not ours.
    pub(crate) namespace: Option<String>,
}

/// A socket on a port that was free.
pub(crate) fn front() -> Result<UdpSocket> {
    let span = u128::from(HIGHEST - LOWEST);
    for _ in 0..ATTEMPTS {
        let port = LOWEST + u16::try_from(seed() % span).unwrap_or(0);
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(socket);
        }
    }
    anyhow::bail!("no free port between {LOWEST} and {HIGHEST} on 127.0.0.1")
}

/// So many places with ports that are free now.
pub(crate) fn free(count: usize) -> Result<Vec<Place>> {
    // Sockets are kept until all are found, so that none is found twice.
    let mut taken = Vec::new();
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        if found.len() == count {
            return Ok(found);
        }
        let span = u128::from(HIGHEST - LOWEST) / 2;
        let even = LOWEST + 2 * u16::try_from(seed() % span).unwrap_or(0);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (listen, admin) = (at(even), at(even + 1));
        if let (Ok(quic), Ok(http)) = (UdpSocket::bind(listen), TcpListener::bind(admin)) {
            taken.push((quic, http));
            found.push(Place { listen, told: listen, admin, namespace: None });
        }
    }
    anyhow::bail!("no free ports between {LOWEST} and {HIGHEST} on 127.0.0.1")
}

/// A number that is different each time.
pub(crate) fn seed() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}
