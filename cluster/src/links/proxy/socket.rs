//! UDP sockets that hand over datagrams in batches, as the system has them.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::time::Duration;

use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// No batch of datagrams of one sender is larger.
const LARGEST_BYTES: usize = 1 << 16;
/// What the system shall keep for us while we are not running; less if it allows less.
const SYSTEM_BYTES: usize = 4 << 20;
/// After an error, which may come again at once.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

/// Where batches are received; one for all sockets of a thread.
pub(super) struct Scratch {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

/// Datagrams of one sender, all of them of one size but for the last, which may be smaller.
pub(super) struct Batch<'a> {
    pub(super) from: SocketAddr,
    pub(super) bytes: &'a [u8],
    pub(super) ecn: Option<EcnCodepoint>,
    /// Of each but the last, in bytes; not zero.
    pub(super) size: usize,
}

impl Scratch {
    pub(super) fn new() -> RefCell<Scratch> {
        let bytes = vec![0; LARGEST_BYTES * BATCH_SIZE];
        RefCell::new(Scratch { bytes, metas: [RecvMeta::default(); BATCH_SIZE] })
    }
}

impl Batch<'_> {
    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.size).max(1)
    }

    /// One after another.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let end = |i: usize| (i * self.size).min(self.bytes.len());
        (0..self.count()).map(move |i| &self.bytes[end(i)..end(i + 1)])
    }
}

impl Socket {
    /// Must be called within a runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Socket> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        // What it does not keep is lost, and nobody counts that.
        let _ = state.set_recv_buffer_size((&socket).into(), SYSTEM_BYTES);
        Ok(Socket { io: UdpSocket::from_std(socket)?, state })
    }

    /// Waits until there is something, and hands over what one call of the system gives.
    pub(super) async fn receive(&self, scratch: &RefCell<Scratch>, mut each: impl FnMut(Batch)) {
        let ready = self.io.readable().await;
        if ready.is_ok() {
            let scratch = &mut *scratch.borrow_mut();
            let mut chunks = scratch.bytes.chunks_mut(LARGEST_BYTES);
            let mut buffers: [IoSliceMut; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("one for each")));
            let metas = &mut scratch.metas;
            let read = || self.state.recv((&self.io).into(), &mut buffers, metas);
            match self.io.try_io(Interest::READABLE, read) {
                Ok(count) => {
                    for (buffer, meta) in buffers.iter().zip(&scratch.metas).take(count) {
                        let (bytes, size) = (&buffer[..meta.len], meta.stride.max(1));
                        each(Batch { from: meta.addr, bytes, ecn: meta.ecn, size });
                    }
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Such as that somebody is not there, to whom something was sent before.
                Err(_) => {}
            }
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// Sends one datagram; whether the system took it.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8], ecn: Option<EcnCodepoint>) -> bool {
        self.transmit(to, bytes, ecn, None)
    }

    /// Sends all of a batch; whether the system took them.
    pub(super) fn send_batch(&self, to: SocketAddr, batch: &Batch) -> bool {
        let most = batch.size * self.state.max_gso_segments().max(1);
        if batch.count() == 1 {
            return self.send(to, batch.bytes, batch.ecn);
        }
        let mut parts = batch.bytes.chunks(most);
        parts.all(|part| {
            let size = (part.len() > batch.size).then_some(batch.size);
            self.transmit(to, part, batch.ecn, size)
        })
    }

    fn transmit(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        ecn: Option<EcnCodepoint>,
        segment_size: Option<usize>,
    ) -> bool {
        let transmit = Transmit { destination, ecn, contents, segment_size, src_ip: None };
        self.state.try_send((&self.io).into(), &transmit).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn socket() -> (Socket, SocketAddr) {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        (Socket::new(socket).unwrap(), address)
    }

    #[tokio::test]
    async fn a_batch_arrives_as_the_datagrams_that_it_is() {
        let ((sender, from), (receiver, to)) = (socket(), socket());
        let bytes: Vec<u8> = (0..=255).cycle().take(30 * 1000 + 10).collect();
        let ecn = Some(EcnCodepoint::Ect0);
        assert!(sender.send_batch(to, &Batch { from, bytes: &bytes, ecn, size: 1000 }));
        let scratch = Scratch::new();
        let mut received = Vec::new();
        while received.len() < 31 {
            let look = |batch: Batch| {
                assert_eq!((batch.from, batch.ecn), (from, ecn));
                assert_eq!(batch.datagrams().count(), batch.count());
                received.extend(batch.datagrams().map(<[u8]>::to_vec));
            };
            receiver.receive(&scratch, look).await;
        }
        assert_eq!(received, bytes.chunks(1000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_empty_datagram_is_one() {
        let ((sender, from), (receiver, to)) = (socket(), socket());
        assert!(sender.send(to, &[], None));
        let mut received = Vec::new();
        while received.is_empty() {
            let look = |batch: Batch| received.extend(batch.datagrams().map(<[u8]>::len));
            receiver.receive(&Scratch::new(), look).await;
        }
        assert_eq!(received, [0]);
        let empty = Batch { from, bytes: &[], ecn: None, size: 1 };
        assert_eq!((empty.count(), empty.datagrams().count()), (1, 1));
    }
}
