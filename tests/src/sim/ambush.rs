//! Checkpoints of coordinators at the worst moments.
//!
//! A checkpoint must have only what is decided. What would be wrong in it shows when its
//! writer has something that nobody else has, is deposed, and starts from that checkpoint.
//! So in some seeds checkpoints follow one upon another, and who begins one at such a moment
//! is cut off from the others of its group, or crashes.

use synod_common::message::{GroupMessage, Message};
use synod_common::node::decode;
use synod_coordinator::{Member, Record};

use super::rng::Rng;
use super::server::{Core, is_coordinator, peer};
use super::world::{Happening, Phase, World};

/// How often, in 1 of 10,000 unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Ambush {
    /// Bytes of log after which coordinators begin a checkpoint, if not as shards do.
    pub checkpoint_bytes: Option<u64>,
    /// Crashes, per step of a checkpoint.
    crashes: u32,
    /// Whoever has what is not decided is cut off when it begins one.
    alone: u32,
}

impl Ambush {
    /// Those of a seed; `often` if checkpoints must follow one upon another.
    pub fn draw(rng: &mut Rng, often: bool) -> Ambush {
        let bytes = rng.pick(&[1, 200, 1_000]);
        Ambush {
            checkpoint_bytes: (often || rng.chance(6_000)).then_some(bytes),
            crashes: rng.pick(&[0, 0, 10, 30]),
            alone: rng.pick(&[0, 1_000, 3_000]),
        }
    }
}

impl World {
    /// A server begins a checkpoint; what it says in the same moment has not left yet.
    pub(super) fn begins_checkpoint(&mut self, index: usize) {
        let core = self.servers[index].core.as_ref();
        let Some(member) = core.and_then(Core::coordinator) else { return };
        let (early, accepting) = (is_early(member), is_accepting(member));
        self.reached.checkpoints += 1;
        self.reached.early += u64::from(early);
        self.reached.accepting += u64::from(accepting);
        let strikes = self.phase == Phase::Faulty && (early || accepting);
        if strikes && self.rng.chance(self.sizes.ambush.alone) {
            let all: Vec<usize> = self.coordinators().collect();
            let time = self.rng.within(50_000..=1_000_000);
            self.trace.line(self.time, format_args!("{} ALONE {time} us", peer(index)));
            self.cut_off(index, &all, time);
        }
    }

    /// A step of a server's checkpoint is on the disk.
    pub(super) fn wrote_step(&mut self, index: usize) {
        let strikes = self.phase == Phase::Faulty && is_coordinator(index);
        if strikes && self.rng.chance(self.sizes.ambush.crashes) {
            let (soon, down) = (self.rng.skewed(3_000), self.down_time());
            let life = self.servers[index].life;
            self.reached.crashes += 1;
            self.after(soon, Happening::Crash(index, life, down));
        }
    }

    /// Counts the states that a leader begins to send.
    pub(super) fn sends_state(&mut self, from: usize, message: &Message) {
        let Message::Group(GroupMessage::State { number: 0, .. }) = message else { return };
        let core = self.servers[from].core.as_ref();
        let Some(member) = core.and_then(Core::coordinator) else { return };
        self.reached.states += 1;
        self.reached.needed += u64::from(is_early(member));
    }
}

/// Whether it leads an epoch of which nothing is decided.
fn is_early(member: &Member) -> bool {
    let replica = member.replica();
    let decided = replica.log().at(replica.committed());
    replica.leads() && decided.is_some_and(|at| at.epoch < replica.promise().epoch)
}

/// Whether it leads, and has accepted something as a site that is not decided.
fn is_accepting(member: &Member) -> bool {
    let (replica, log) = (member.replica(), member.replica().log());
    let mut open = (replica.committed() + 1..=log.last().index).filter_map(|index| log.get(index));
    let is_site = |record: &[u8]| matches!(decode("an entry", record), Ok(Record::Site { .. }));
    replica.leads() && open.any(|entry| is_site(&entry.record))
}
