//! Waiting until an instant, and no longer.
//!
//! Tokio's timers are late by about a millisecond, which is as long as a transaction takes.
//! Linux has timers that are late by a tenth of that; elsewhere, and in virtual time, Tokio's
//! have to do.

use anyhow::Result;
use tokio::time::Instant;

/// What wakes a task.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// Tokio's timer.
    Coarse,
    /// The kernel's.
    #[cfg(target_os = "linux")]
    Fine(fine::Fine),
}

impl Alarm {
    /// The best there is.
    ///
    /// # Errors
    /// If the system has none.
    pub(crate) fn new() -> Result<Alarm> {
        #[cfg(target_os = "linux")]
        return Ok(Alarm::Fine(fine::Fine::new()?));
        #[cfg(not(target_os = "linux"))]
        Ok(Alarm::Coarse)
    }

    /// Returns at once if that is over.
    pub(crate) async fn wait_until(&mut self, due: Instant) -> Result<()> {
        if Instant::now() >= due {
            return Ok(());
        }
        match self {
            Alarm::Coarse => tokio::time::sleep_until(due).await,
            #[cfg(target_os = "linux")]
            Alarm::Fine(fine) => fine.wait_until(due).await?,
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod fine {
    use std::io::{self, ErrorKind};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;
    use tokio::time::Instant;

    /// A timer of the kernel. It is no pipe, and is waited for and read as one.
    #[derive(Debug)]
    pub(crate) struct Fine(Receiver);

    impl Fine {
        pub(super) fn new() -> io::Result<Fine> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Fine(Receiver::from_owned_fd_unchecked(timer)?))
        }

        pub(super) async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
            loop {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(());
                }
                let never = Timespec { tv_sec: 0, tv_nsec: 0 };
                let once = Timespec::try_from(left).map_err(io::Error::other)?;
                let when = Itimerspec { it_interval: never, it_value: once };
                timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &when)?;
                self.ring().await?;
            }
        }

        async fn ring(&self) -> io::Result<()> {
            loop {
                self.0.readable().await?;
                // How often it rang is not of interest.
                match self.0.try_read(&mut [0; 8]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    result => return result.map(drop),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// However late, never early.
    #[tokio::test]
    async fn nobody_is_woken_early() {
        let mut alarm = Alarm::new().unwrap();
        for us in [0, 1, 50, 700, 3_000] {
            let due = Instant::now() + Duration::from_micros(us);
            alarm.wait_until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
        alarm.wait_until(Instant::now() - Duration::from_secs(1)).await.unwrap();
    }
}
