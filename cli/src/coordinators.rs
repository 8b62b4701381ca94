//! Asking the coordinators how they are, each by itself: those that are named, and then
//! those that belong to their group.

use std::time::Duration;

use synod_client::{Client, CoordinatorStatus, Error};
use synod_common::id::CoordinatorId;
use synod_common::route::CoordinatorAddress;
use tokio::task::JoinSet;

/// A coordinator that has not answered after this long is shown as not alive.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the coordinators say.
pub struct Coordinators {
    /// What the one says that knows the newest leader.
    pub newest: CoordinatorStatus,
    /// All of the group.
    pub rows: Vec<Coordinator>,
}

/// A coordinator, whether it is there or not.
pub struct Coordinator {
    /// Its number.
    pub id: CoordinatorId,
    /// Where it is.
    pub address: String,
    /// Whether it leads.
    pub leads: bool,
    /// What it says; nothing if it does not answer.
    pub status: Option<CoordinatorStatus>,
}

impl Coordinators {
    /// Whether one of those that answer leads.
    pub fn is_led(&self) -> bool {
        self.rows.iter().any(|row| row.leads)
    }
}

type Answer = (String, Result<CoordinatorStatus, Error>);

/// Asks the coordinators at these addresses, and the others of their group.
///
/// # Errors
/// If none answers; says why the first one does not.
pub async fn ask(client: &Client, addresses: &[String]) -> Result<Coordinators, Error> {
    let mut answers = ask_all(client, addresses.to_vec()).await;
    let group = newest(&answers)?.group.clone();
    let others = group.iter().map(|member| member.address.clone());
    let others = others.filter(|address| !addresses.contains(address)).collect();
    answers.extend(ask_all(client, others).await);
    let newest = newest(&answers)?.clone();
    let rows = match group.is_empty() {
        true => vec![row(&alone(&answers, newest.id), &answers, &newest)],
        false => group.iter().map(|member| row(member, &answers, &newest)).collect(),
    };
    Ok(Coordinators { newest, rows })
}

/// All at once, in their order.
async fn ask_all(client: &Client, addresses: Vec<String>) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for (i, address) in addresses.into_iter().enumerate() {
        let client = client.clone();
        asked.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, client.coordinator_status(&address)).await;
            let late = || Error::Unavailable(format!("no answer from {address}"));
            let answer = answer.unwrap_or_else(|_| Err(late()));
            (i, (address, answer))
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The answer of whoever knows the newest leader, itself if possible.
fn newest(answers: &[Answer]) -> Result<&CoordinatorStatus, Error> {
    let heard = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
    if let Some(newest) = heard.max_by_key(|status| (status.epoch, leads(status))) {
        return Ok(newest);
    }
    let silent = answers.iter().find_map(|(_, answer)| answer.as_ref().err());
    let nobody = || Error::Misuse("no coordinator is named".to_owned());
    Err(silent.cloned().unwrap_or_else(nobody))
}

fn leads(status: &CoordinatorStatus) -> bool {
    status.leader == Some(status.id)
}

/// A coordinator without a group, at the address where it answered.
fn alone(answers: &[Answer], id: CoordinatorId) -> CoordinatorAddress {
    let answered = answers.iter().find(|(_, answer)| answer.is_ok());
    let address = answered.map(|(address, _)| address.clone()).unwrap_or_default();
    CoordinatorAddress { id, address }
}

fn row(member: &CoordinatorAddress, answers: &[Answer], newest: &CoordinatorStatus) -> Coordinator {
    let mut heard = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
    let status = heard.find(|status| status.id == member.id).cloned();
    // One that does not know yet that it leads no more is of an older epoch.
    let leads = status.as_ref().is_some_and(|status| leads(status) && status.epoch == newest.epoch);
    Coordinator { id: member.id, address: member.address.clone(), leads, status }
}
