//! Small histories of each object, compared with a search that tries everything.
//!
//! An object is simulated: operations of a few processes begin, take effect, and end, or
//! are lost. Such a history is valid. Then something in it is changed, and whether it is
//! still valid is found by trying each order, with objects that are written a second time
//! here.

mod common;

use std::collections::HashSet;
use std::fmt::Write;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use common::Dice;
use synod_jepsen::{Budget, Level, Options, Verdict, check_text};

/// Numbers, and what kind of history they make.
struct Chance {
    dice: Dice,
    /// How many values operations have: with few some are often written twice, with many
    /// some are written and never read.
    values: usize,
    /// One in how many is lost, before or after it took effect.
    lost: usize,
}

impl Chance {
    fn value(&mut self) -> i64 {
        self.dice.below(self.values) as i64
    }

    fn loses(&mut self) -> bool {
        self.dice.one_in(self.lost)
    }
}

impl Deref for Chance {
    type Target = Dice;

    fn deref(&self) -> &Dice {
        &self.dice
    }
}

impl DerefMut for Chance {
    fn deref_mut(&mut self) -> &mut Dice {
        &mut self.dice
    }
}

/// An operation with its answer.
#[derive(Clone, Debug, PartialEq)]
enum What {
    Read(i64),
    Write(i64),
    Cas(i64, i64),
    /// It failed, because it saw another value.
    NotCas(i64, i64),
    /// Write or read, register, value.
    Txn(Vec<(bool, usize, i64)>),
    Acquire,
    Release,
    Get(usize, String),
    Put(usize, String),
    Append(usize, String),
    Add(i64),
    ReadAll(Vec<i64>),
    Enqueue(i64),
    Dequeue(i64),
}

/// Numbers or texts; what they mean the model says. In a register -1 is nil.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct State {
    numbers: Vec<i64>,
    texts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Ok,
    Fail,
    Info,
    /// Nothing is said.
    Nothing,
}

#[derive(Clone, Debug)]
struct Op {
    process: usize,
    what: What,
    end: End,
    /// Whether its begin is in the history.
    begins: bool,
    began: usize,
    ended: usize,
}

fn initial(model: &str) -> State {
    match model {
        "set" | "queue" | "fifo-queue" => State::default(),
        "kv" => State { texts: vec![String::new(); 2], ..State::default() },
        "counter" | "mutex" => State { numbers: vec![0], ..State::default() },
        _ => State { numbers: vec![-1; 2], ..State::default() },
    }
}

/// Whether it can happen, and what is then.
fn apply(model: &str, state: &State, what: &What) -> Option<State> {
    let mut next = state.clone();
    let numbers = &mut next.numbers;
    let happens = match what {
        What::Read(value) => numbers[0] == *value,
        What::Write(value) => {
            numbers[0] = *value;
            true
        }
        What::Cas(from, to) => {
            let same = numbers[0] == *from;
            numbers[0] = *to;
            same
        }
        What::NotCas(from, _) => numbers[0] != *from,
        What::Txn(mops) => mops.iter().all(|(write, key, value)| {
            if *write {
                numbers[*key] = *value;
            }
            numbers[*key] == *value
        }),
        What::Acquire => std::mem::replace(&mut numbers[0], 1) == 0,
        What::Release => std::mem::replace(&mut numbers[0], 0) == 1,
        What::Get(key, text) => next.texts[*key] == *text,
        What::Put(key, text) => {
            next.texts[*key] = text.clone();
            true
        }
        What::Append(key, text) => {
            next.texts[*key].push_str(text);
            true
        }
        What::Add(value) if model == "counter" => {
            numbers[0] += value;
            true
        }
        What::Add(value) => {
            if !numbers.contains(value) {
                numbers.push(*value);
                numbers.sort_unstable();
            }
            true
        }
        What::ReadAll(values) => numbers == values,
        What::Enqueue(value) => {
            numbers.push(*value);
            if model == "queue" {
                numbers.sort_unstable();
            }
            true
        }
        What::Dequeue(value) => {
            let place = numbers.iter().position(|number| number == value);
            let can = place.is_some_and(|place| place == 0 || model == "queue");
            if can {
                numbers.remove(place.unwrap());
            }
            can
        }
    };
    happens.then_some(next)
}

/// What is answered in that state.
fn answered(dice: &mut Chance, state: &State, what: What) -> What {
    match what {
        What::Read(_) => What::Read(state.numbers[0]),
        What::ReadAll(_) => What::ReadAll(state.numbers.clone()),
        What::Get(key, _) => What::Get(key, state.texts[key].clone()),
        What::Dequeue(value) if state.numbers.is_empty() => What::Dequeue(value),
        // Any of a queue in no order; the oldest otherwise is what `apply` allows.
        What::Dequeue(_) => What::Dequeue(state.numbers[dice.below(state.numbers.len())]),
        What::Txn(mut mops) => {
            let mut numbers = state.numbers.clone();
            for (write, key, value) in &mut mops {
                if *write {
                    numbers[*key] = *value;
                }
                *value = numbers[*key];
            }
            What::Txn(mops)
        }
        other => other,
    }
}

fn any(dice: &mut Chance, model: &str) -> What {
    let value = dice.value();
    let text = |dice: &mut Chance| ["", "a", "b", "ab"][dice.below(4)].to_owned();
    match (model, dice.below(4)) {
        ("register" | "cas-register", 0) => What::Read(0),
        ("cas-register", 1 | 2) => What::Cas(value, dice.value()),
        ("register" | "cas-register", _) => What::Write(value),
        ("multi-register", _) => {
            let mops = 1 + dice.below(2);
            let mop = |_| (dice.one_in(2), dice.below(2), dice.value());
            What::Txn((0..mops).map(mop).collect())
        }
        ("mutex", 0 | 1) => What::Acquire,
        ("mutex", _) => What::Release,
        ("kv", 0) => What::Put(dice.below(2), text(dice)),
        ("kv", 1 | 2) => What::Append(dice.below(2), text(dice)),
        ("kv", _) => What::Get(dice.below(2), String::new()),
        ("set" | "counter", 0 | 1) => What::ReadAll(Vec::new()),
        // Half of the counters shrink now and then.
        ("counter", _) if dice.values > 3 => What::Add(2 * value - 4),
        ("set" | "counter", _) => What::Add(1 + value),
        (_, 0 | 1) => What::Enqueue(value),
        (_, _) => What::Dequeue(value),
    }
}

/// A history that is valid, since it is of an object.
fn simulate(dice: &mut Chance, model: &str, strict: bool) -> Vec<Op> {
    let (processes, length) = (2 + dice.below(3), 3 + dice.below(7));
    simulated(dice, model, strict, processes, length)
}

fn simulated(
    dice: &mut Chance,
    model: &str,
    strict: bool,
    processes: usize,
    length: usize,
) -> Vec<Op> {
    let mut state = initial(model);
    let mut ops: Vec<Op> = Vec::new();
    // Of each process the operation that is under way, and whether it took effect.
    let mut open: Vec<Option<(usize, bool)>> = vec![None; processes];
    let mut event = 0;
    while ops.len() < length || open.iter().any(Option::is_some) {
        event += 1;
        let process = dice.below(open.len());
        match open[process] {
            None if ops.len() < length => {
                open[process] = Some((ops.len(), false));
                let what = any(dice, model);
                let (end, begins) = (End::Ok, true);
                ops.push(Op { process, what, end, begins, began: event, ended: event });
            }
            None => {}
            Some((op, false)) => {
                let op = &mut ops[op];
                if dice.loses() {
                    // It never takes effect, and nobody knows.
                    op.end = if dice.one_in(3) { End::Nothing } else { End::Info };
                } else {
                    op.what = answered(dice, &state, op.what.clone());
                    match (apply(model, &state, &op.what), &op.what) {
                        (Some(next), _) => state = next,
                        (None, What::Cas(from, to)) if strict => {
                            op.what = What::NotCas(*from, *to);
                        }
                        (None, _) => op.end = End::Fail,
                    }
                    if op.end == End::Ok && dice.loses() {
                        op.end = if dice.one_in(3) { End::Nothing } else { End::Info };
                    }
                }
                open[process] = open[process].map(|(op, _)| (op, true));
            }
            Some((op, true)) => {
                ops[op].ended = event;
                ops[op].begins = ops[op].end != End::Ok || !dice.one_in(40);
                open[process] = None;
            }
        }
    }
    ops
}

/// Changes something.
fn mutate(dice: &mut Chance, ops: &mut [Op]) {
    let place = dice.below(ops.len());
    let value = dice.below(4) as i64 - 1;
    let other = dice.below(ops.len());
    match &mut ops[place].what {
        What::Read(read) => *read = value,
        What::ReadAll(read) if !read.is_empty() => {
            let last = read.len() - 1;
            if read.len() == 1 || dice.one_in(2) {
                read[last] += 1;
            } else {
                read.truncate(last);
            }
        }
        What::Get(_, text) => {
            if text.pop().is_none() {
                text.push('b');
            }
        }
        What::Txn(mops) => mops[0].2 = value,
        What::Cas(from, _) | What::NotCas(from, _) => *from = value.max(0),
        What::Write(written) | What::Enqueue(written) | What::Dequeue(written) => {
            *written = value.max(0);
        }
        What::Put(_, text) | What::Append(_, text) => *text = "ba".to_owned(),
        What::ReadAll(_) | What::Add(_) | What::Acquire | What::Release => {
            let end = [End::Ok, End::Info, End::Nothing, End::Fail][dice.below(4)];
            if !matches!(ops[place].what, What::ReadAll(_)) {
                ops[place].end = end;
            }
        }
    }
    if dice.one_in(3) && place != other {
        let what = ops[place].what.clone();
        ops[place].what = std::mem::replace(&mut ops[other].what, what);
        let end = ops[place].end;
        ops[place].end = std::mem::replace(&mut ops[other].end, end);
    }
}

fn edn(value: i64) -> String {
    if value < 0 { "nil".to_owned() } else { value.to_string() }
}

/// Function, arguments, answer, and the key beside them.
fn said(model: &str, what: &What) -> (&'static str, String, String, String) {
    let nothing = || "nil".to_owned();
    let key = |key: &usize| format!(":key \"{key}\"");
    let no_key = String::new();
    match what {
        What::Read(value) => ("read", nothing(), edn(*value), no_key),
        What::Write(value) => ("write", edn(*value), edn(*value), no_key),
        What::Cas(from, to) | What::NotCas(from, to) => {
            let pair = format!("[{from} {to}]");
            ("cas", pair.clone(), pair, no_key)
        }
        What::Txn(mops) => {
            let form = |answer: bool| {
                let mops = mops.iter().map(|(write, key, value)| match (write, answer) {
                    (true, _) => format!("[:write :k{key} {}]", edn(*value)),
                    (false, true) => format!("[:read :k{key} {}]", edn(*value)),
                    (false, false) => format!("[:read :k{key} nil]"),
                });
                format!("[{}]", mops.collect::<Vec<_>>().join(" "))
            };
            ("txn", form(false), form(true), no_key)
        }
        What::Acquire => ("acquire", nothing(), nothing(), no_key),
        What::Release => ("release", nothing(), nothing(), no_key),
        What::Get(of, text) => ("get", nothing(), format!("{text:?}"), key(of)),
        What::Put(of, text) => ("put", format!("{text:?}"), format!("{text:?}"), key(of)),
        What::Append(of, text) => ("append", format!("{text:?}"), format!("{text:?}"), key(of)),
        What::Add(value) => ("add", value.to_string(), value.to_string(), no_key),
        What::ReadAll(values) if model == "counter" => {
            ("read", nothing(), values.first().unwrap_or(&0).to_string(), no_key)
        }
        What::ReadAll(values) => {
            let values: Vec<String> = values.iter().rev().map(i64::to_string).collect();
            ("read", nothing(), format!("#{{{}}}", values.join(" ")), no_key)
        }
        What::Enqueue(value) => ("enqueue", edn(*value), edn(*value), no_key),
        What::Dequeue(value) => ("dequeue", nothing(), edn(*value), no_key),
    }
}

fn text(model: &str, ops: &[Op]) -> String {
    let mut lines = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        let (f, asked, answer, key) = said(model, &op.what);
        let orphan = !op.begins && op.end == End::Ok;
        // What is still open of a process would seem to be what ended.
        let process = if orphan { 100 + place } else { op.process };
        let line = |kind: &str, value: &str| {
            format!("{{:type :{kind} :process {process} :f :{f} :value {value} {key}}}")
        };
        if !orphan {
            lines.push((op.began, line("invoke", &asked)));
        }
        match (op.end, &op.what) {
            (End::Ok, What::NotCas(..)) => lines.push((op.ended, line("fail", &asked))),
            (End::Ok, _) => lines.push((op.ended, line("ok", &answer))),
            (End::Fail, _) => lines.push((op.ended, line("fail", ":not-now"))),
            (End::Info, _) => lines.push((op.ended, line("info", "nil"))),
            (End::Nothing, _) => {}
        }
    }
    lines.sort();
    let mut text = String::new();
    for (_, line) in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Tries all orders of what ended until then, and of others.
fn has_an_order(model: &str, ops: &[Op], until: usize) -> bool {
    let mut needed: Vec<(What, usize, usize, bool)> = Vec::new();
    for op in ops {
        let lost = matches!(op.end, End::Info | End::Nothing);
        let what = match &op.what {
            _ if op.end == End::Fail => continue,
            What::Read(_) | What::ReadAll(_) | What::Get(..) if lost => continue,
            What::NotCas(from, to) if lost => What::Cas(*from, *to),
            // It takes what there is, if anything; of a queue in no order that allows less.
            What::Dequeue(_) if lost && model == "queue" => continue,
            What::Dequeue(_) if lost => What::Dequeue(i64::MIN),
            What::Txn(mops) if lost => {
                What::Txn(mops.iter().filter(|(write, ..)| *write).copied().collect())
            }
            what => what.clone(),
        };
        let orphan = !op.begins && op.end == End::Ok;
        let began = if orphan { 0 } else { op.began };
        if began <= until {
            let later = lost || op.ended > until;
            let ended = if later { usize::MAX } else { op.ended };
            needed.push((what, began, ended, !later));
        }
    }
    let mut seen = HashSet::new();
    let mut stack = vec![(0_u32, initial(model))];
    while let Some((done, state)) = stack.pop() {
        if !seen.insert((done, state.clone())) {
            continue;
        }
        let left = |place: &usize| done & (1 << place) == 0;
        if (0..needed.len()).filter(left).all(|place| !needed[place].3) {
            return true;
        }
        for place in (0..needed.len()).filter(left) {
            let (what, began, ..) = &needed[place];
            let too_early = (0..needed.len())
                .filter(left)
                .any(|other| needed[other].3 && needed[other].2 < *began);
            if too_early {
                continue;
            }
            let what = match what {
                What::Dequeue(i64::MIN) if state.numbers.is_empty() => continue,
                What::Dequeue(i64::MIN) => &What::Dequeue(state.numbers[0]),
                what => what,
            };
            if let Some(next) = apply(model, &state, what) {
                stack.push((done | 1 << place, next));
            }
        }
    }
    false
}

/// How many of those that ended can be put in order, with others that had begun.
fn longest(model: &str, ops: &[Op]) -> usize {
    let said = |op: &&Op| op.end == End::Ok;
    let mut ends: Vec<usize> = ops.iter().filter(said).map(|op| op.ended).collect();
    ends.sort_unstable();
    let bad = ends.iter().position(|end| !has_an_order(model, ops, *end));
    bad.expect("the whole has no order")
}

/// At least so many that are valid, and so many that are not.
const ENOUGH: u32 = 1_000;

fn agrees(model: &str, strict: bool) {
    let mut options = Options::new(model).expect("a model that is known");
    options.level = Some(Level::Linearizable);
    options.cas_drop = !strict;
    let (mut valid, mut invalid) = (0, 0);
    let mut dice = Chance { dice: Dice(7), values: 0, lost: 0 };
    while valid < ENOUGH || invalid < ENOUGH {
        dice.values = [3, 3, 8][dice.below(3)];
        dice.lost = [8, 8, 3][dice.below(3)];
        let mut ops = simulate(&mut dice, model, strict);
        for round in 0..4 {
            let expected = has_an_order(model, &ops, usize::MAX);
            assert!(expected || round > 0, "what an object does is valid");
            let count = if expected { &mut valid } else { &mut invalid };
            if *count >= ENOUGH {
                mutate(&mut dice, &mut ops);
                continue;
            }
            *count += 1;
            let history = text(model, &ops);
            let finding = check_text(&history, &options, &mut Budget::unlimited());
            let finding = finding.unwrap_or_else(|refused| panic!("{refused}\n{history}"));
            let verdict = if expected { Verdict::Valid } else { Verdict::Invalid };
            assert_eq!(finding.verdict, verdict, "{model}: {finding:#?}\n{history}");
            if !expected {
                let found = &finding.anomalies[0];
                assert!(found.picture.as_ref().is_some_and(|svg| svg.len() > 100));
                let parts = matches!(model, "kv" | "queue");
                if !parts && ops.iter().all(|op| op.begins || op.end != End::Ok) {
                    let can = format!("All {} that ended", longest(model, &ops));
                    assert!(found.words.contains(&can), "{can}: {}\n{history}", found.words);
                }
            }
            mutate(&mut dice, &mut ops);
        }
    }
    println!("{model}: {valid} valid, {invalid} invalid, all as found by trying everything");
}

#[test]
fn registers() {
    agrees("register", true);
}

#[test]
fn registers_that_compare() {
    agrees("cas-register", true);
    agrees("cas-register", false);
}

#[test]
fn registers_together() {
    agrees("multi-register", true);
}

#[test]
fn mutexes() {
    agrees("mutex", true);
}

#[test]
fn texts() {
    agrees("kv", true);
}

#[test]
fn sets() {
    agrees("set", true);
}

#[test]
fn queues() {
    agrees("queue", true);
    agrees("fifo-queue", true);
}

#[test]
fn counters() {
    agrees("counter", true);
}

/// Ten elements that came in no order have many: the budget ends before all are tried.
#[test]
fn a_verdict_is_not_guessed() {
    let mut history = String::new();
    let mut line = |process: usize, kind: &str, f: &str, value: usize| {
        let _ = writeln!(history, "{{:type :{kind} :process {process} :f :{f} :value {value}}}");
    };
    for kind in ["invoke", "ok"] {
        (0..10).for_each(|process| line(process, kind, "enqueue", process));
    }
    for process in 0..10 {
        line(process, "invoke", "dequeue", 0);
        line(process, "ok", "dequeue", if process < 9 { process } else { 0 });
    }
    let options = Options::new("fifo-queue").expect("a model that is known");
    let mut budget = Budget::new(Some(Duration::ZERO), None);
    let finding = check_text(&history, &options, &mut budget).expect("a history");
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert_eq!(finding.reason.as_deref(), Some("not decided within 0 s"));
}

/// What the search keeps is not kept on the stack.
#[test]
fn histories_may_be_long() {
    let mut history = String::new();
    for value in 0..20_000 {
        for kind in ["invoke", "ok"] {
            let _ = writeln!(history, "{{:type :{kind} :process 0 :f :write :value {value}}}");
        }
    }
    let options = Options::new("register").expect("a model that is known");
    let finding = check_text(&history, &options, &mut Budget::unlimited()).expect("a history");
    assert_eq!(finding.verdict, Verdict::Valid);
}

/// More are open, and more are lost, than a word has bits.
#[test]
fn many_may_be_open() {
    for model in ["register", "cas-register", "mutex", "queue", "set"] {
        let mut options = Options::new(model).expect("a model that is known");
        options.level = Some(Level::Linearizable);
        let mut dice = Chance { dice: Dice(3), values: 5, lost: 4 };
        for _ in 0..5 {
            let ops = simulated(&mut dice, model, true, 100, 400);
            let history = text(model, &ops);
            let finding = check_text(&history, &options, &mut Budget::unlimited());
            let finding = finding.unwrap_or_else(|refused| panic!("{refused}\n{history}"));
            assert_eq!(finding.verdict, Verdict::Valid, "{model}: {finding:#?}\n{history}");
        }
    }
}

/// Few small histories show what these do.
#[test]
fn what_is_rare_is_valid() {
    // No put brings back what was read, but an append does.
    let back = "{:type :invoke :process 0 :f :append :value \"a\"}
        {:type :invoke :process 1 :f :put :value \"ab\"}
        {:type :ok :process 0 :f :append}
        {:type :ok :process 1 :f :put}
        {:type :invoke :process 1 :f :get}
        {:type :ok :process 1 :f :get :value \"ab\"}
        {:type :invoke :process 0 :f :append :value \"b\"}
        {:type :invoke :process 1 :f :put :value \"a\"}
        {:type :ok :process 0 :f :append}
        {:type :invoke :process 0 :f :get}
        {:type :info :process 1 :f :put}
        {:type :ok :process 0 :f :get :value \"ab\"}";
    // Two that were lost lead where one does, and the other is needed later.
    let spared = "{:type :invoke :process 0 :f :txn :value [[:write :x 2]]}
        {:type :invoke :process 2 :f :txn :value [[:write :y 1] [:write :x 0]]}
        {:type :info :process 2 :f :txn}
        {:type :info :process 0 :f :txn}
        {:type :invoke :process 1 :f :txn :value [[:write :y 0] [:write :x 0]]}
        {:type :invoke :process 0 :f :txn :value [[:read :x nil] [:read :y nil]]}
        {:type :info :process 1 :f :txn}
        {:type :invoke :process 2 :f :txn :value [[:write :y 2]]}
        {:type :invoke :process 1 :f :txn :value [[:read :x nil]]}
        {:type :ok :process 0 :f :txn :value [[:read :x 0] [:read :y 1]]}
        {:type :invoke :process 0 :f :txn :value [[:read :y nil]]}
        {:type :ok :process 1 :f :txn :value [[:read :x 0]]}
        {:type :info :process 2 :f :txn}
        {:type :ok :process 0 :f :txn :value [[:read :y 0]]}";
    for (model, history) in [("kv", back), ("multi-register", spared)] {
        let options = Options::new(model).expect("a model that is known");
        let finding = check_text(history, &options, &mut Budget::unlimited()).expect("a history");
        assert_eq!(finding.verdict, Verdict::Valid, "{finding:#?}");
    }
}

/// Who only ends had ended all the same.
#[test]
fn an_end_without_a_begin_is_an_end() {
    let history = "{:type :ok :process 0 :f :write :value 1}
        {:type :invoke :process 1 :f :read}
        {:type :ok :process 1 :f :read :value nil}";
    let options = Options::new("register").expect("a model that is known");
    let finding = check_text(history, &options, &mut Budget::unlimited()).expect("a history");
    assert_eq!(finding.verdict, Verdict::Invalid, "{finding:#?}");
}
