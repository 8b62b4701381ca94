//! The checkers, and what they find.

pub mod linear;
pub mod model;
pub mod txn;
pub mod values;

use std::path::Path;

use crate::budget::Budget;
use crate::history::edn::{Next, Reader};
use crate::history::{self, Event, Form, Format, Malformed, Sink, Tape};
use crate::level::Level;

/// What can be said of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what the level promises.
    Valid,
    /// It is not.
    Invalid,
    /// Neither could be shown.
    Unknown,
}

impl Verdict {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Invalid => "invalid",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// Its name in the literature: `G1a`, `G-single-item-realtime`, `lost-update`.
    pub name: String,
    /// What happened, in words: the operations, with their lines, and why it is wrong.
    pub words: String,
    /// The levels that it breaks, without those that contain them.
    pub breaks: Vec<Level>,
    /// An SVG picture of it, where there is something to draw.
    pub picture: Option<String>,
}

/// What a checker has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Whether the level holds that was asked for.
    pub verdict: Verdict,
    /// That level.
    pub level: Level,
    /// What is wrong, also where a weaker level was asked for that allows it.
    pub anomalies: Vec<Anomaly>,
    /// All levels that are broken.
    pub violated: Vec<Level>,
    /// How many operations there are: invocations, or transactions.
    pub ops: u64,
    /// Why it is unknown.
    pub reason: Option<String>,
}

impl Finding {
    /// The verdict on `level` by these anomalies; `unknown` says why the level cannot be
    /// judged if none of them breaks it.
    pub fn new(
        level: Level,
        anomalies: Vec<Anomaly>,
        ops: u64,
        unknown: Option<String>,
    ) -> Finding {
        let broken: Vec<Level> = anomalies.iter().flat_map(|found| found.breaks.clone()).collect();
        let violated = Level::violated(&broken);
        let (verdict, reason) = match (violated.contains(&level), unknown) {
            (true, _) => (Verdict::Invalid, None),
            (false, Some(reason)) => (Verdict::Unknown, Some(reason)),
            (false, None) => (Verdict::Valid, None),
        };
        Finding { verdict, level, anomalies, violated, ops, reason }
    }

    /// The names of what is wrong, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.anomalies.iter().map(|found| found.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Takes a history and judges it.
pub trait Checker: Sink {
    /// The verdict, when all events are there.
    fn finish(self: Box<Self>, budget: &mut Budget) -> Finding;
}

/// What a register's versions are assumed to be ordered by, beside what reads show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assume {
    /// Who reads a version and writes another one of that key writes a later one.
    pub wfr_keys: bool,
    /// A process writes its versions of a key one after the other.
    pub sequential_keys: bool,
    /// Each key is linearizable.
    pub linearizable_keys: bool,
}

/// How a history is to be judged.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the model.
    pub model: String,
    /// The level; the strongest that the model has if none is named.
    pub level: Option<Level>,
    /// The state before the first operation, as EDN; that of the model if none is named.
    pub initial: Option<String>,
    /// What may be assumed of versions.
    pub assume: Assume,
    /// Whether values may be read that nobody wrote: of a history that is only a part.
    pub allow_unwritten: bool,
    /// Whether the order of sessions counts at all levels, as in histories that are nothing
    /// but sessions.
    pub sessions: bool,
    /// Whether a compare-and-set that failed did not happen, in place of having seen
    /// another value.
    pub cas_drop: bool,
    /// Whether each value is `[key value]`, as `jepsen.independent` writes it: of an object
    /// of its own for each key.
    pub independent: bool,
}

impl Options {
    /// Those of a model of this name; none if there is none.
    pub fn new(model: &str) -> Option<Options> {
        MODELS.iter().any(|(name, _)| *name == model).then(|| Options {
            model: model.to_owned(),
            level: None,
            initial: None,
            assume: Assume::default(),
            allow_unwritten: false,
            sessions: false,
            cas_drop: false,
            independent: false,
        })
    }

    /// Reads the initial state, if one is named, and gives it to `take`. A remark may stand
    /// behind it. Words such as `each key starts as the empty string` name none: they
    /// describe what the model has of its own.
    pub(crate) fn initial<T>(
        &self,
        take: impl FnOnce(Option<Form<'_>>) -> Result<T, String>,
    ) -> Result<T, String> {
        let Some(text) = &self.initial else { return take(None) };
        // What is a vector would be taken for the history's.
        let wrapped = format!("#{{{text}\n}}");
        let mut tape = Tape::new();
        let mark = match Reader::new(wrapped.as_bytes()).next(&mut tape) {
            Ok(Next::Form(mark, _)) => mark,
            Ok(_) => return Err(format!("{text:?} is no value")),
            Err(malformed) => return Err(format!("{text:?}: {}", malformed.reason)),
        };
        let forms: Vec<Form<'_>> = tape.form(mark).items().into_iter().flatten().collect();
        let word = |form: &&Form<'_>| form.as_text() == Some(&form.to_string());
        let words = forms.iter().filter(word).count();
        match forms[..] {
            [form] => take(Some(form)),
            [form, remark] if remark.is_list() => take(Some(form)),
            _ if words > 1 => take(None),
            _ => Err(format!("{text:?} is not one value")),
        }
    }
}

type Build = fn(&Options) -> Result<Box<dyn Checker>, String>;

/// The models, by name.
pub const MODELS: &[(&str, Build)] = &[
    ("list-append", txn::list_append),
    ("rw-register", txn::rw_register),
    ("register", linear::register),
    ("cas-register", linear::cas_register),
    ("multi-register", linear::multi_register),
    ("mutex", linear::mutex),
    ("kv", linear::kv),
    ("fifo-queue", linear::fifo_queue),
    ("bank", model::bank),
    ("counter", model::counter),
    ("set", model::set),
    ("set-full", model::set_full),
    ("queue", model::queue),
    ("total-queue", model::total_queue),
    ("unique-ids", model::unique_ids),
    ("long-fork", model::long_fork),
    ("causal-reverse", model::causal_reverse),
    ("monotonic", model::monotonic),
];

/// The checker that the options ask for.
///
/// # Errors
///
/// What the model cannot do: a level that it does not know, an initial state that it
/// cannot have.
pub fn checker(options: &Options) -> Result<Box<dyn Checker>, String> {
    let build = MODELS.iter().find(|(name, _)| *name == options.model).map(|(_, build)| build);
    build.ok_or_else(|| format!("no model is called {:?}", options.model))?(options)
}

/// The level that is meant where none is named.
fn strongest(model: &str) -> Level {
    match model {
        "list-append" | "rw-register" => Level::StrictSerializable,
        "register" | "cas-register" | "multi-register" | "mutex" | "kv" | "fifo-queue" => {
            Level::Linearizable
        }
        _ => Level::Model,
    }
}

/// Why a history was not judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The options are not those of the model.
    #[error("{0}")]
    Options(String),
}

/// Judges the history at `path`.
///
/// # Errors
///
/// Nothing is concluded from a history that cannot be read.
pub fn check(
    path: &Path,
    format: Format,
    options: &Options,
    budget: &mut Budget,
) -> Result<Finding, Refused> {
    let mut options = options.clone();
    if format.begins_with_zero() && options.initial(|form| Ok(form.is_none())) == Ok(true) {
        options.initial = Some("0".to_owned());
    }
    options.sessions |= format.is_sessions();
    judge(&options, budget, |sink| history::read(path, format, sink))
}

/// Reads a history to the end, or until the budget is spent.
fn judge(
    options: &Options,
    budget: &mut Budget,
    read: impl FnOnce(&mut dyn Sink) -> Result<(), Malformed>,
) -> Result<Finding, Refused> {
    let mut checker = checker(options).map_err(Refused::Options)?;
    let mut events = 0;
    let mut sink = |event: &Event<'_>| {
        events += 1;
        match budget.step() {
            true if options.independent => checker.event(&of_its_key(event)?),
            true => checker.event(event),
            false => Err(Malformed::new(event.line, "the budget is spent")),
        }
    };
    let result = read(&mut sink);
    if let Some(reason) = budget.spent().map(str::to_owned) {
        let level = options.level.unwrap_or_else(|| strongest(&options.model));
        return Ok(Finding::new(level, Vec::new(), events, Some(reason)));
    }
    result?;
    Ok(checker.finish(budget))
}

/// The event, of the object that the first of its two values names.
fn of_its_key<'a>(event: &Event<'a>) -> Result<Event<'a>, Malformed> {
    let parts: Vec<Form<'a>> = event.value.items().into_iter().flatten().take(3).collect();
    match parts[..] {
        [key, value] => Ok(Event { key: Some(key), value, ..*event }),
        _ => {
            let reason = format!("{} is not [key value]", event.value);
            Err(Malformed::new(event.line, reason))
        }
    }
}

/// Judges a history that is EDN.
///
/// # Errors
///
/// As [`check`].
pub fn check_text(text: &str, options: &Options, budget: &mut Budget) -> Result<Finding, Refused> {
    judge(options, budget, |sink| history::read_text(text, sink))
}
