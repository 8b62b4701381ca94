//! The end of a transaction that wants to commit.

use bytes::Bytes;
use synod_common::error::Reason;
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::Terms;
use synod_common::message::{ClientReply, ClientRequest, Message};

use crate::net::{Reply, Unreachable};
use crate::txn::Committed;
use crate::{Error, Txn, retry};

impl Txn {
    /// Commits. When this returns, the transaction is durable on all its shards'
    /// behalf, and every transaction that begins later sees it.
    ///
    /// # Errors
    /// [`Error::Retry`] or [`Error::Aborted`] if it had no effect;
    /// [`Error::InDoubt`] if nobody could be asked.
    pub async fn commit(self) -> Result<Committed, Error> {
        let committed = self.try_commit().await;
        if committed.is_err() {
            self.held.give_up();
        }
        committed
    }

    async fn try_commit(&self) -> Result<Committed, Error> {
        self.check_open()?;
        self.held.state.lock().closed = true;
        let (parts, writes) = self.parts()?;
        if parts.is_empty() {
            self.held.finish();
            return Ok(Committed { txn: self.held.id, at: None });
        }
        let terms = Terms {
            validation: self.validation(),
            standing: self.standing(),
            protocol: self.protocol(),
        };
        let message = ClientRequest::Commit { txn: self.held.id, terms, parts, writes };
        let coordinators = &self.held.shared.coordinators;
        let leader = coordinators.leader();
        let reply = self.held.shared.net.request(leader, message.into());
        let outcome = match self.within_timeout(reply).await {
            Some(Ok(Message::ClientReply(ClientReply::Outcome(outcome)))) => outcome,
            // Refused before it was looked at: it has had no effect.
            Some(Ok(Message::ClientReply(ClientReply::Refused(reason)))) => {
                coordinators.refused(leader, &reason);
                Outcome::Aborted(reason)
            }
            Some(Ok(_)) => return Err(Error::InDoubt(self.held.id)),
            Some(Err(Unreachable)) => {
                coordinators.pass_by(leader);
                self.resolve().await?
            }
            None => self.resolve().await?,
        };
        match outcome {
            Outcome::Committed(at) => {
                self.held.session.saw(at);
                self.held.finish();
                Ok(Committed { txn: self.held.id, at: Some(at) })
            }
            Outcome::Aborted(reason) => {
                match reason {
                    Reason::SessionLost | Reason::StaleEpoch | Reason::NotLeader(_) => {
                        self.held.session.lose();
                    }
                    _ => {}
                }
                Err(self.ended(reason))
            }
            Outcome::Undecided | Outcome::Unknown => Err(Error::InDoubt(self.held.id)),
        }
    }

    /// The shards that take part, with their writes one behind another.
    fn parts(&self) -> Result<(Vec<Part>, Bytes), Error> {
        let state = self.held.state.lock();
        if let Some(reason) = &state.doomed {
            return Err(self.ended(reason.clone()));
        }
        Ok(state.workspace.parts(&self.held.session.router, &state.used, &state.reads)?)
    }

    /// The reply to COMMIT got lost: asks until the outcome is known.
    async fn resolve(&self) -> Result<Outcome, Error> {
        let net = &self.held.shared.net;
        let began = net.now();
        let mut attempt = 0;
        while net.now().since(began) < self.options.timeout {
            match self.held.shared.outcome(self.held.id).await {
                Ok(Outcome::Undecided) | Err(Error::Unavailable(_) | Error::Retry(_)) => {}
                Ok(outcome) => return Ok(outcome),
                Err(_) => break,
            }
            attempt += 1;
            net.sleep(retry::pause(attempt, net.random())).await;
        }
        Err(Error::InDoubt(self.held.id))
    }

    async fn within_timeout(&self, reply: Reply) -> Option<Result<Message, Unreachable>> {
        let mut late = self.held.shared.net.sleep(self.options.timeout);
        let mut reply = std::pin::pin!(reply);
        std::future::poll_fn(|cx| {
            if let std::task::Poll::Ready(reply) = reply.as_mut().poll(cx) {
                return std::task::Poll::Ready(Some(reply));
            }
            late.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}
