//! Many runs: each workload under each nemesis alone, and combinations drawn at random.
//!
//! What is run is a function of the settings. Each run has a folder of its own, whose
//! results say that it is done; so a suite that was stopped goes on where it was.

use std::time::Duration;

use fastrand::Rng;
use synod_client::{Isolation, Protocol};

use super::Settings;
use crate::nemesis::Nemesis;
use crate::workload::{WORKLOADS, is_promised};

/// So many nemeses are about at a time in a combination.
const TOGETHER: std::ops::RangeInclusive<usize> = 2..=4;

/// What a suite is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all runs have in common; `out` is the folder of the suite.
    pub common: Settings,
    /// Which workloads.
    pub workloads: Vec<String>,
    /// Which nemeses, each alone and in combinations.
    pub nemeses: Vec<Nemesis>,
    /// How many combinations there are.
    pub combinations: usize,
    /// How long each of them works.
    pub combination: Duration,
}

impl Plan {
    /// The runs, with their names.
    pub fn runs(&self) -> Vec<(String, Settings)> {
        let mut dice = Rng::with_seed(self.common.seed);
        let promises = |workload: &&String| is_promised(workload, self.common.isolation);
        let mut runs = Vec::new();
        for workload in self.workloads.iter().filter(promises) {
            for nemesis in &self.nemeses {
                runs.push(self.one(&mut dice, workload, vec![*nemesis], nemesis.name()));
            }
        }
        for number in 1..=self.combinations {
            if let Some(run) = self.combination(&mut dice, number) {
                runs.push(run);
            }
        }
        runs
    }

    fn one(
        &self,
        dice: &mut Rng,
        workload: &str,
        nemeses: Vec<Nemesis>,
        name: &str,
    ) -> (String, Settings) {
        let name = format!("{workload}-{name}");
        let mut settings = self.common.clone();
        settings.workload = workload.to_owned();
        settings.nemeses = nemeses;
        settings.seed = dice.u64(..1 << 32);
        settings.out = self.common.out.join(&name);
        (name, settings)
    }

    fn combination(&self, dice: &mut Rng, number: usize) -> Option<(String, Settings)> {
        let workload = dice.choice(&self.workloads)?.clone();
        let mut nemeses = self.nemeses.clone();
        dice.shuffle(&mut nemeses);
        nemeses.truncate(dice.usize(TOGETHER));
        nemeses.sort_unstable();
        let (name, mut settings) = self.one(dice, &workload, nemeses, &format!("all-{number}"));
        settings.length = self.combination;
        settings.isolation = match dice.bool() {
            true => Isolation::Serializable,
            false => Isolation::Optimistic,
        };
        let protocols = [
            Protocol::Auto,
            Protocol::TwoPhase,
            Protocol::ThreePhase,
            Protocol::PaxosCommit,
            Protocol::FasterPaxosCommit,
        ];
        settings.protocol = protocols[dice.usize(..protocols.len())];
        Some((name, settings))
    }
}

/// All workloads.
pub fn all_workloads() -> Vec<String> {
    WORKLOADS.iter().map(|&workload| workload.to_owned()).collect()
}
