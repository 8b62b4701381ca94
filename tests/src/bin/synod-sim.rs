//! The simulator's command line.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use synod_common::commit::{Protocol, Rule};
use synod_tests::diagrams::{self, Transitions};
use synod_tests::exhaust::{Exhausted, State, exhaust};
use synod_tests::explore::{Bug, Schedule, explore, trace};
use synod_tests::parallel::in_order;
use synod_tests::sim::mutation::Mutation;
use synod_tests::sim::reached::Reached;
use synod_tests::sim::run::{Report, quiet_panics, run};
use synod_tests::{core, group, paxos, two_phase};

/// A schedule is a few hundred small blocks, which all go with it: millions of schedules are a
/// test of the allocator, too.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs the cores of Synod in a simulated world.
#[derive(Parser)]
#[command(name = "synod-sim", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds and checks the invariants.
    Run {
        /// One seed.
        #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
        seed: Option<u64>,
        /// Seeds `A..B`, without B.
        #[arg(long, value_parser = parse_seeds)]
        seeds: Option<Range<u64>>,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
        /// A deliberate bug, as `synod-sim mutants` names it.
        #[arg(long, value_parser = parse_mutant)]
        mutant: Option<Mutation>,
        /// Runs at once; one per processor if not given.
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Runs seeds against deliberately broken servers; each must be caught.
    Mutants {
        /// Mutants at once; one per processor if not given.
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Runs schedules of one transaction, without servers: the commit protocol alone.
    Core {
        /// Which: 2pc, 3pc, paxos or 3pc-classical. The last runs until a schedule decides both ways.
        #[arg(long)]
        protocol: Protocol,
        /// Instead, search all schedules of two participants, in which messages are lost,
        /// late and doubled without limit.
        #[arg(long)]
        exhaustive: bool,
        /// Instead, show step by step what the protocol makes of a partition.
        #[arg(long, conflicts_with = "exhaustive")]
        demonstrate: bool,
        /// The most crashes in one of these.
        #[arg(long, default_value_t = 1, requires = "exhaustive")]
        crashes: u32,
        /// The most elections in one of these.
        #[arg(long, default_value_t = 1, requires = "exhaustive")]
        elections: u32,
        /// The most times that somebody has waited long in one of these, under 2pc.
        #[arg(long, default_value_t = 0, requires = "exhaustive")]
        wakes: u32,
        #[command(flatten)]
        schedules: Schedules,
    },
    /// Runs schedules of a group of coordinators, without what they coordinate: who leads,
    /// and what is in their log.
    Group {
        #[command(flatten)]
        schedules: Schedules,
    },
    /// Draws the state diagrams of the protocols, as they are seen in some seeds.
    Diagrams {
        /// Put them into the pages of this folder.
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
        /// Fail if the pages of this folder show others.
        #[arg(long, value_name = "FOLDER", conflicts_with = "write")]
        check: Option<PathBuf>,
        /// How many seeds, from 0 on; the pages are written with as many as this is by itself.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// Seeds at once; one per processor if not given.
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
    /// Not available in this version.
    #[command(disable_help_flag = true)]
    Faults {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
}

/// Which schedules an explorer runs.
#[derive(clap::Args)]
struct Schedules {
    /// How many schedules.
    #[arg(long, default_value_t = 1_000_000)]
    schedules: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Print what happens in the first schedule, and run no other.
    #[arg(long)]
    trace: bool,
    /// A deliberate bug, as `--mutants` names it.
    #[arg(long)]
    mutant: Option<String>,
    /// Run all deliberate bugs; each must be caught.
    #[arg(long)]
    mutants: bool,
    /// Schedules at once; one per processor if not given.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("seeds look like 0..1000")?;
    let number = |part: &str| part.parse::<u64>().map_err(|error| format!("'{part}': {error}"));
    Ok(number(from)?..number(to)?)
}

fn parse_mutant(text: &str) -> Result<Mutation, String> {
    let all = Mutation::all().into_iter().map(|(mutation, _)| mutation);
    #[cfg(feature = "mutants")]
    let all = all.chain(Mutation::elsewhere().into_iter().map(|(mutation, _)| mutation));
    let mut found = all.filter(|mutation| format!("{mutation:?}") == text);
    found.next().ok_or_else(|| "there is no such mutant".to_owned())
}

fn parse_bug<B: Bug>(text: &str) -> Result<B, String> {
    let found = B::all().into_iter().find(|(bug, _)| format!("{bug:?}") == text);
    found.map(|(bug, _)| bug).ok_or_else(|| format!("there is no such mutant as '{text}'"))
}

/// From so many schedules on, what was never reached counts as a failure.
const MANY: u64 = 100_000;
/// From so many seeds on.
const MANY_SEEDS: u64 = 500;

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Run { seed, seeds, trace, mutant, threads } => {
            let seeds = seeds.or_else(|| seed.map(|seed| seed..seed + 1)).unwrap_or(0..0);
            run_seeds(seeds, trace, mutant, threads)
        }
        Command::Mutants { threads } => mutants(threads),
        Command::Core {
            protocol,
            exhaustive,
            demonstrate,
            crashes,
            elections,
            wakes,
            schedules,
        } => {
            let bounds = core::Bounds { crashes, elections };
            match protocol {
                Protocol::ThreePhase if demonstrate => print_demonstration(Rule::Quorum),
                Protocol::ThreePhase if exhaustive => {
                    schedules.exhaust(|bug| core::State::new(bounds, bug))
                }
                Protocol::ThreePhase => schedules.run::<core::World>("core --protocol 3pc"),
                Protocol::ClassicalThreePhase if demonstrate => print_demonstration(Rule::TimeOut),
                Protocol::ClassicalThreePhase if exhaustive => {
                    let classical = Some(core::Bug::Classical);
                    schedules.exhaust(|bug| core::State::new(bounds, bug.or(classical)))
                }
                Protocol::ClassicalThreePhase => {
                    let command = "core --protocol 3pc-classical";
                    schedules.contradict::<core::World>(command, core::Bug::Classical)
                }
                Protocol::PaxosCommit | Protocol::FasterPaxosCommit if exhaustive => {
                    let faster = protocol == Protocol::FasterPaxosCommit;
                    let bounds = paxos::Bounds { crashes, elections, faster };
                    schedules.exhaust(|bug| paxos::State::new(bounds, bug))
                }
                Protocol::PaxosCommit | Protocol::FasterPaxosCommit if !demonstrate => {
                    schedules.run::<paxos::World>("core --protocol paxos")
                }
                Protocol::TwoPhase if exhaustive => {
                    let bounds = two_phase::Bounds { crashes, wakes };
                    schedules.exhaust(|bug| two_phase::State::new(bounds, bug))
                }
                Protocol::TwoPhase if !exhaustive && !demonstrate => {
                    schedules.run::<two_phase::World>("core --protocol 2pc")
                }
                Protocol::Auto
                | Protocol::TwoPhase
                | Protocol::PaxosCommit
                | Protocol::FasterPaxosCommit => {
                    eprintln!(
                        "there is no such core of {protocol}; there are 2pc, 3pc, paxos and 3pc-classical"
                    );
                    ExitCode::from(2)
                }
            }
        }
        Command::Diagrams { write, check, seeds, threads } => {
            draw_diagrams(write.as_deref(), check.as_deref(), seeds, threads)
        }
        Command::Group { schedules } => schedules.run::<group::World>("group"),
        Command::Faults { .. } => {
            eprintln!("not available in this version");
            ExitCode::from(2)
        }
    }
}

fn threads_or_all(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    }
}

impl Schedules {
    /// Runs them; `command` is what repeats one.
    fn run<S: Schedule>(&self, command: &str) -> ExitCode {
        let bug = match self.bug() {
            Ok(bug) => bug,
            Err(code) => return code,
        };
        if self.mutants {
            self.run_mutants::<S>()
        } else if self.trace {
            print_trace(trace::<S>(self.from, bug))
        } else {
            self.run_all::<S>(command, bug)
        }
    }

    fn bug<B: Bug>(&self) -> Result<Option<B>, ExitCode> {
        self.mutant.as_deref().map(parse_bug).transpose().map_err(|error| {
            eprintln!("{error}");
            ExitCode::from(2)
        })
    }

    /// Runs all that there are from here.
    fn exhaust<B: Bug, S: State>(&self, start: impl Fn(Option<B>) -> S + Sync) -> ExitCode {
        let bug = match self.bug() {
            Ok(bug) => bug,
            Err(code) => return code,
        };
        if self.mutants {
            return self.exhaust_mutants(start);
        }
        let clock = Instant::now();
        let Exhausted { states, transitions, depth, calm, violation } = exhaust(&start(bug));
        let violations = u32::from(violation.is_some());
        if let Some((events, violation)) = violation {
            events.iter().for_each(|event| println!("{event}"));
            println!("{violation}");
        }
        println!("{calm} ends without faults");
        println!(
            "{states} states, {transitions} transitions, the furthest after {depth} events, {violations} violations in {:.1} s",
            clock.elapsed().as_secs_f64()
        );
        if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Runs all that there are for each deliberate bug, until it is caught.
    fn exhaust_mutants<B: Bug, S: State>(&self, start: impl Fn(Option<B>) -> S + Sync) -> ExitCode {
        let list: Vec<B> =
            B::all().into_iter().map(|(bug, _)| bug).filter(|b| b.is_small()).collect();
        if list.is_empty() {
            eprintln!("no mutant must show in schedules that are so small");
            return ExitCode::from(2);
        }
        let find = |number: u64| exhaust(&start(Some(list[number as usize]))).violation;
        let mut escaped = 0;
        in_order(0..list.len() as u64, threads_or_all(self.threads), find, |number, violation| {
            let bug = list[number as usize];
            match violation {
                Some((events, violation)) => {
                    println!("{bug:?}: caught after {} events: {violation}", events.len());
                }
                None => {
                    escaped += 1;
                    println!("{bug:?}: ESCAPED all schedules");
                }
            }
        });
        println!("{} mutants, {} caught, {escaped} escaped", list.len(), list.len() - escaped);
        if escaped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn run_all<S: Schedule>(&self, command: &str, bug: Option<S::Bug>) -> ExitCode {
        quiet_panics();
        let start = Instant::now();
        let seeds = self.from..self.from.saturating_add(self.schedules);
        let many = self.schedules >= MANY && bug.is_none();
        let explored = explore::<S>(seeds, bug, threads_or_all(self.threads));
        for (seed, violation) in &explored.violations {
            println!("seed {seed}: {violation}");
            let bug = bug.map_or(String::new(), |bug| format!(" --mutant '{bug:?}'"));
            println!("  repeat it with: synod-sim {command} --from {seed} --trace{bug}");
        }
        let all_reached = print_reached(&explored.reached, many);
        let (count, violations) = (explored.schedules, explored.violations.len());
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{count} schedules, {} events, {violations} violations in {seconds:.1} s ({:.0} a second)",
            explored.events,
            count as f64 / seconds
        );
        if violations == 0 && all_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Runs them under a protocol that is wrong, until one shows it.
    fn contradict<S: Schedule>(&self, command: &str, wrong: S::Bug) -> ExitCode {
        if self.mutants || self.mutant.is_some() {
            eprintln!("it is wrong without a mutant");
            return ExitCode::from(2);
        }
        if self.trace {
            return print_trace(trace::<S>(self.from, Some(wrong)));
        }
        quiet_panics();
        let seeds = self.from..self.from.saturating_add(self.schedules);
        let explored = explore::<S>(seeds, Some(wrong), threads_or_all(self.threads));
        match explored.violations.first() {
            Some((seed, violation)) => {
                println!("seed {seed}: {violation}");
                println!("  repeat it with: synod-sim {command} --from {seed} --trace");
                println!("the first contradiction after {} schedules", seed - self.from + 1);
                ExitCode::SUCCESS
            }
            None => {
                println!("no contradiction in {} schedules", explored.schedules);
                ExitCode::FAILURE
            }
        }
    }

    fn run_mutants<S: Schedule>(&self) -> ExitCode {
        quiet_panics();
        let mut escaped = 0;
        let list = S::Bug::all();
        for &(bug, within) in &list {
            let explored = explore::<S>(0..within, Some(bug), threads_or_all(self.threads));
            match explored.violations.first() {
                Some((seed, violation)) => {
                    println!("{bug:?}: caught by schedule {seed} of 0..{within}: {violation}");
                }
                None => {
                    escaped += 1;
                    println!("{bug:?}: ESCAPED schedules 0..{within}");
                }
            }
        }
        println!("{} mutants, {} caught, {escaped} escaped", list.len(), list.len() - escaped);
        if escaped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Succeeds if it shows what is promised: by quorums all agree, by time-outs they do not.
fn print_demonstration(rule: Rule) -> ExitCode {
    let core::Demonstration { lines, contradiction } = core::demonstrate(rule);
    lines.iter().for_each(|line| println!("{line}"));
    match (rule, contradiction) {
        (Rule::Quorum, false) | (Rule::TimeOut, true) => ExitCode::SUCCESS,
        (Rule::Quorum, true) | (Rule::TimeOut, false) => ExitCode::FAILURE,
    }
}

fn print_trace((lines, result): (Vec<String>, Result<(), String>)) -> ExitCode {
    for line in lines {
        println!("{line}");
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was reached, if that can be asked for of so many.
fn print_reached(seen: &[(&str, u64)], many: bool) -> bool {
    let reached: Vec<_> = seen.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("{}", reached.join(", "));
    let missed = seen.iter().filter(|(_, count)| many && *count == 0);
    let missed: Vec<&str> = missed.map(|(what, _)| *what).collect();
    if !missed.is_empty() {
        println!("never reached: {}", missed.join(", "));
    }
    missed.is_empty()
}

fn run_seeds(seeds: Range<u64>, trace: bool, mutant: Option<Mutation>, threads: usize) -> ExitCode {
    quiet_panics();
    let start = Instant::now();
    let threads = threads_or_all(threads);
    let many = seeds.end.saturating_sub(seeds.start) >= MANY_SEEDS && mutant.is_none();
    let mut reports = Vec::new();
    in_order(
        seeds,
        threads,
        |seed| run(seed, mutant, trace),
        |seed, report| {
            if let Some(violation) = &report.violation {
                println!("seed {seed}: {violation}");
                println!("  repeat it with: synod-sim run --seed {seed} --trace");
            }
            reports.push(Report { lines: Vec::new(), ..show(report, trace) });
        },
    );
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let violations = reports.iter().filter(|report| report.violation.is_some()).count();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} transactions, {} committed, {} snapshots, {} crashes in {seconds:.1} s",
        sum(|r| r.txns),
        sum(|r| r.committed),
        sum(|r| r.snapshots),
        sum(|r| r.crashes)
    );
    let mut reached = Reached::default();
    reports.iter().for_each(|report| reached.add(&report.reached));
    let all_reached = print_reached(&reached.all(), many);
    println!("{} seeds, {} events, {violations} violations", reports.len(), sum(|r| r.events));
    if violations == 0 && all_reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(report: Report, trace: bool) -> Report {
    if trace {
        for line in &report.lines {
            println!("{line}");
        }
        if let Some(violation) = &report.violation {
            println!("{violation}");
        }
        println!("seed {} trace {:016x}", report.seed, report.hash);
    }
    report
}

fn mutants(threads: usize) -> ExitCode {
    quiet_panics();
    let mut escaped = 0;
    let list = Mutation::all();
    let find = |number: u64| {
        let (mutation, within) = list[number as usize];
        (0..within).map(|seed| run(seed, Some(mutation), false)).find_map(caught)
    };
    in_order(0..list.len() as u64, threads_or_all(threads), find, |number, found| {
        let (mutation, within) = list[number as usize];
        match found {
            Some((seed, violation)) => {
                let violation: String = violation.chars().take(100).collect();
                println!("{mutation:?}: caught by seed {seed} of 0..{within}: {violation}");
            }
            None => {
                escaped += 1;
                println!("{mutation:?}: ESCAPED seeds 0..{within}");
            }
        }
    });
    #[cfg(feature = "mutants")]
    for (mutation, by) in Mutation::elsewhere() {
        println!("{mutation:?}: not looked for here; caught by {by}");
    }
    println!("{} mutants, {} caught, {escaped} escaped", list.len(), list.len() - escaped);
    if escaped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn draw_diagrams(
    write: Option<&Path>,
    check: Option<&Path>,
    seeds: u64,
    threads: usize,
) -> ExitCode {
    let seen = Transitions::of_seeds(seeds, threads_or_all(threads));
    let done = match (write, check) {
        (Some(folder), _) => diagrams::write(&seen, folder).map(|()| Vec::new()),
        (None, Some(folder)) => diagrams::check(&seen, folder),
        (None, None) => {
            print!("{}", diagrams::show(&seen));
            Ok(Vec::new())
        }
    };
    match done {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            wrong.iter().for_each(|line| println!("{line}"));
            println!("the pages show other diagrams; synod-sim diagrams --write docs mends them");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn caught(report: Report) -> Option<(u64, String)> {
    Some((report.seed, report.violation?))
}
