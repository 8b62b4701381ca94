//! Small histories of each workload, compared with what its rule says, word for word.
//!
//! As in `linear.rs` an object is simulated and then some of what was read is changed. The
//! rules are written here a second time, as sentences over all pairs of operations.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use common::Dice;
use synod_jepsen::checker::Refused;
use synod_jepsen::{Budget, Finding, Level, Options, Verdict, check_text};

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nil,
    One(i64),
    List(Vec<i64>),
    /// Balances by account, or what is read by key, -1 being nil.
    Map(BTreeMap<i64, i64>),
    Mops(BTreeMap<i64, i64>),
    Transfer(i64, i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Ok,
    Fail,
    Info,
    Nothing,
}

#[derive(Clone, Debug)]
struct Op {
    process: usize,
    f: &'static str,
    asked: Value,
    answer: Value,
    end: End,
    began: usize,
    ended: usize,
}

impl Op {
    fn ok(&self, f: &str) -> bool {
        self.f == f && self.end == End::Ok
    }

    fn before(&self, other: &Op) -> bool {
        self.ended < other.began
    }

    fn one(&self) -> i64 {
        match (&self.asked, &self.answer) {
            (Value::One(value), _) | (Value::Nil, Value::One(value)) => *value,
            other => panic!("{other:?} is not one value"),
        }
    }

    fn list(&self) -> &[i64] {
        match &self.answer {
            Value::List(list) => list,
            other => panic!("{other:?} is no list"),
        }
    }

    fn map(&self) -> &BTreeMap<i64, i64> {
        match &self.answer {
            Value::Map(map) | Value::Mops(map) => map,
            other => panic!("{other:?} is no map"),
        }
    }
}

/// What objects are made of.
#[derive(Default)]
struct State {
    list: Vec<i64>,
    map: BTreeMap<i64, i64>,
    next: i64,
}

/// What is done next.
fn ask(dice: &mut Dice, model: &str, state: &mut State) -> (&'static str, Value) {
    state.next += 1;
    let (next, often) = (state.next, dice.one_in(2));
    match model {
        "counter" if often => ("add", Value::One(dice.below(5) as i64 - 1)),
        "set" | "set-full" if often => ("add", Value::One(next)),
        "queue" if often => ("enqueue", Value::One(dice.below(3) as i64)),
        "total-queue" if often => ("enqueue", Value::One(next)),
        "queue" | "total-queue" => ("dequeue", Value::Nil),
        "unique-ids" => ("generate", Value::Nil),
        "causal-reverse" if often => ("write", Value::One(next)),
        "monotonic" if often => ("inc", Value::Nil),
        "bank" if often => {
            let account = |dice: &mut Dice| dice.below(3) as i64;
            ("transfer", Value::Transfer(account(dice), account(dice), 1 + account(dice)))
        }
        "long-fork" if often && next < 4 => ("write", Value::Mops([(next, next)].into())),
        "long-fork" => ("read", Value::Mops([(1, -1), (2, -1), (3, -1)].into())),
        _ => ("read", Value::Nil),
    }
}

/// What is answered; nothing if it cannot be done.
fn answer(model: &str, state: &mut State, f: &str, asked: &Value) -> Option<Value> {
    match (f, asked) {
        ("add", Value::One(more)) if model == "counter" => state.next += 1_000 * more,
        ("add" | "write" | "enqueue", Value::One(value)) => state.list.push(*value),
        ("inc", _) => *state.map.entry(0).or_default() += 1,
        ("write", Value::Mops(writes)) => state.map.extend(writes),
        ("transfer", Value::Transfer(from, to, amount)) => {
            let left = state.map[from].checked_sub(*amount).filter(|left| *left >= 0)?;
            state.map.insert(*from, left);
            *state.map.get_mut(to)? += amount;
        }
        ("dequeue", _) => {
            return (!state.list.is_empty()).then(|| Value::One(state.list.remove(0)));
        }
        ("generate", _) => {
            state.next += 1;
            return Some(Value::One(state.next));
        }
        ("read", Value::Mops(keys)) => {
            let value = |key: &i64| (*key, *state.map.get(key).unwrap_or(&-1));
            return Some(Value::Mops(keys.keys().map(value).collect()));
        }
        ("read", _) => {
            return Some(match model {
                "counter" => Value::One(state.next.div_euclid(1_000)),
                "monotonic" => Value::One(*state.map.get(&0).unwrap_or(&0)),
                "bank" => Value::Map(state.map.clone()),
                _ => Value::List(state.list.clone()),
            });
        }
        other => panic!("{model} does not ask {other:?}"),
    }
    Some(asked.clone())
}

fn simulate(dice: &mut Dice, model: &str) -> Vec<Op> {
    let mut state = State::default();
    if model == "bank" {
        state.map = [(0, 5), (1, 3), (2, 2)].into();
    }
    let mut ops: Vec<Op> = Vec::new();
    let mut open: Vec<Option<(usize, bool)>> = vec![None; 2 + dice.below(3)];
    let (length, mut event) = (3 + dice.below(9), 0);
    while ops.len() < length || open.iter().any(Option::is_some) {
        event += 1;
        let process = dice.below(open.len());
        match open[process] {
            None if ops.len() < length => {
                let (f, asked) = ask(dice, model, &mut state);
                open[process] = Some((ops.len(), false));
                let (answer, end) = (Value::Nil, End::Ok);
                ops.push(Op { process, f, asked, answer, end, began: event, ended: event });
            }
            None => {}
            Some((place, false)) => {
                let op = &mut ops[place];
                let lost = [End::Info, End::Nothing][dice.below(2)];
                if dice.one_in(8) {
                    op.end = lost;
                } else {
                    match answer(model, &mut state, op.f, &op.asked) {
                        Some(answer) => op.answer = answer,
                        None => op.end = End::Fail,
                    }
                    if op.end == End::Ok && dice.one_in(8) {
                        op.end = lost;
                    }
                }
                open[process] = Some((place, true));
            }
            Some((place, true)) => {
                ops[place].ended = event;
                open[process] = None;
            }
        }
    }
    ops
}

fn mutate(dice: &mut Dice, ops: &mut [Op]) {
    let reads: Vec<usize> = (0..ops.len())
        .filter(|place| ops[*place].end == End::Ok && ops[*place].answer != ops[*place].asked)
        .collect();
    if reads.is_empty() || dice.one_in(6) {
        let place = dice.below(ops.len());
        if ops[place].answer != Value::Nil {
            ops[place].end = [End::Ok, End::Info, End::Fail, End::Nothing][dice.below(4)];
        }
        return;
    }
    let other = ops[reads[dice.below(reads.len())]].answer.clone();
    let answer = &mut ops[reads[dice.below(reads.len())]].answer;
    let (less, place) = (dice.one_in(2), dice.below(4));
    match answer {
        _ if dice.one_in(3) => *answer = other,
        Value::One(value) => *value += if less { -1 } else { 1 },
        Value::List(list) if less && !list.is_empty() => drop(list.remove(place % list.len())),
        Value::List(list) => list.push(1 + dice.below(12) as i64),
        Value::Mops(map) if place > 0 => {
            for (key, value) in map {
                *value = if dice.one_in(2) { -1 } else { *key };
            }
        }
        Value::Map(map) | Value::Mops(map) => {
            let key = *map.keys().nth(place % map.len()).expect("one of them");
            let value = map[&key];
            map.insert(key, if value == -1 { key } else { [-1, value + 1, value - 1][place % 3] });
        }
        Value::Nil | Value::Transfer(..) => {}
    }
}

fn edn(value: &Value) -> String {
    let nil = |value: i64| if value == -1 { "nil".to_owned() } else { value.to_string() };
    match value {
        Value::Nil => "nil".to_owned(),
        Value::One(value) => value.to_string(),
        Value::List(list) => format!("{list:?}"),
        Value::Map(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k} {v}")).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        Value::Mops(map) => {
            let mops = map.iter().map(|(k, v)| format!("[:r {k} {}]", nil(*v)));
            format!("[{}]", mops.collect::<Vec<_>>().join(" "))
        }
        Value::Transfer(from, to, amount) => {
            format!("{{:from {from} :to {to} :amount {amount}}}")
        }
    }
}

fn text(ops: &[Op]) -> String {
    let mut lines = Vec::new();
    for op in ops {
        let line = |kind: &str, value: &Value| {
            let value = if op.f == "write" { edn(value).replace(":r", ":w") } else { edn(value) };
            let (process, f) = (op.process, op.f);
            format!("{{:type :{kind} :process {process} :f :{f} :value {value}}}")
        };
        lines.push((op.began, line("invoke", &op.asked)));
        match op.end {
            End::Ok => lines.push((op.ended, line("ok", &op.answer))),
            End::Fail => lines.push((op.ended, line("fail", &op.asked))),
            End::Info => lines.push((op.ended, line("info", &Value::Nil))),
            End::Nothing => {}
        }
    }
    lines.sort();
    let mut text = String::new();
    for (_, line) in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// What is wrong, by the rule.
fn judge(model: &str, ops: &[Op]) -> (Verdict, Vec<&'static str>) {
    let reads: Vec<&Op> = ops.iter().filter(|op| op.ok("read")).collect();
    let mut wrong: Vec<&'static str> = Vec::new();
    let mut found = |name: &'static str, is: bool| {
        if is && !wrong.contains(&name) {
            wrong.push(name);
        }
    };
    let mut told = true;
    match model {
        "counter" => {
            for read in reads {
                let (mut low, mut high) = (0, 0);
                for add in ops.iter().filter(|op| op.f == "add" && op.end != End::Fail) {
                    let sure = add.end == End::Ok && add.before(read);
                    let may = add.began < read.ended;
                    low += if sure || may && add.one() < 0 { add.one() } else { 0 };
                    high += if sure || may && add.one() > 0 { add.one() } else { 0 };
                }
                let Value::One(value) = read.answer else { panic!("a number was read") };
                found("read-out-of-bounds", value < low || value > high);
            }
        }
        "set" => match reads.iter().max_by_key(|read| read.ended) {
            None => told = false,
            Some(read) => {
                for add in ops.iter().filter(|op| op.ok("add") && op.before(read)) {
                    found("lost", !read.list().contains(&add.one()));
                }
                for element in read.list() {
                    let added = ops.iter().any(|op| op.f == "add" && op.one() == *element);
                    found("unexpected", !added);
                }
            }
        },
        "set-full" | "set-full linearizable" => {
            told = false;
            for element in ops.iter().filter(|op| op.f == "add").map(Op::one) {
                let has = |read: &&&Op| read.list().contains(&element);
                let added = ops.iter().filter(|op| op.ok("add") && op.one() == element);
                let known = added.chain(reads.iter().filter(has).copied()).map(|op| op.ended);
                let known = known.min();
                let tried = ops.iter().find(|op| op.f == "add" && op.one() == element);
                let tried = tried.map_or(0, |op| op.began);
                let lack = || reads.iter().filter(|read| read.ended > tried && !has(read));
                let missed = |read: &&Op| known.is_some_and(|known| known < read.began);
                let lost = lack().any(|read| {
                    missed(read) && !reads.iter().filter(has).any(|had| had.began > read.began)
                });
                let stable = reads
                    .iter()
                    .filter(has)
                    .any(|read| !lack().any(|lacked| lacked.began > read.began));
                found("lost", lost);
                found("stale", stable && lack().any(missed));
                told |= stable;
            }
            for read in &reads {
                for element in read.list() {
                    let times = read.list().iter().filter(|other| *other == element).count();
                    found("duplicated", times > 1);
                    let added = ops.iter().any(|op| op.f == "add" && op.one() == *element);
                    found("unexpected", !added);
                }
            }
        }
        "queue" => {
            for taken in ops.iter().filter(|op| op.ok("dequeue")) {
                let same = |op: &&Op| op.one() == taken.one();
                let came = ops.iter().filter(|op| op.f == "enqueue" && op.end != End::Fail);
                let came = came.filter(same).filter(|op| op.began < taken.ended).count();
                let went = ops.iter().filter(|op| op.ok("dequeue") && op.ended <= taken.ended);
                let went = went.filter(same).count();
                found(if came == 0 { "unexpected" } else { "duplicated" }, went > came);
            }
        }
        "total-queue" => {
            for value in -3..20 {
                let count = |f: &str, ok: bool| {
                    let of = |op: &&Op| op.f == f && (!ok || op.end == End::Ok);
                    let all = ops.iter().filter(of);
                    all.filter(|op| op.answer != Value::Nil || op.asked != Value::Nil)
                        .filter(|op| op.one() == value)
                        .count()
                };
                let (tried, came, went) =
                    (count("enqueue", false), count("enqueue", true), count("dequeue", true));
                found("lost", came > went);
                found("unexpected", went > 0 && tried == 0);
                found("duplicated", tried > 0 && went > tried);
            }
        }
        "unique-ids" => {
            let ids: Vec<i64> = ops.iter().filter(|op| op.ok("generate")).map(Op::one).collect();
            for id in &ids {
                found("duplicated", ids.iter().filter(|other| *other == id).count() > 1);
            }
        }
        "causal-reverse" => {
            for (read, later) in reads.iter().flat_map(|read| ops.iter().map(move |op| (read, op)))
            {
                let seen = |op: &Op| read.list().contains(&op.one());
                if later.f == "write" && seen(later) {
                    for write in ops.iter().filter(|op| op.ok("write")) {
                        found("causal-reverse", write.before(later) && !seen(write));
                    }
                }
            }
        }
        "monotonic" => {
            for (first, then) in reads.iter().flat_map(|a| reads.iter().map(move |b| (a, b))) {
                found("nonmonotonic", first.before(then) && then.one() < first.one());
            }
        }
        "bank" => {
            let first = reads.iter().min_by_key(|read| read.ended);
            for (read, first) in reads.iter().zip(first.into_iter().cycle()) {
                let total = |read: &Op| read.map().values().sum::<i64>();
                found("wrong-total", total(read) != total(first));
                found("negative-value", read.map().values().any(|balance| *balance < 0));
            }
        }
        "long-fork" => {
            let mut values: BTreeMap<i64, i64> = BTreeMap::new();
            for (key, value) in reads.iter().flat_map(|read| read.map()) {
                told &= *value == -1 || *values.entry(*key).or_insert(*value) == *value;
            }
            for (one, two) in reads.iter().flat_map(|a| reads.iter().map(move |b| (a, b))) {
                let more = |a: &Op, b: &Op| {
                    a.map().iter().any(|(key, value)| *value != -1 && b.map()[key] == -1)
                };
                found("long-fork", told && more(one, two) && more(two, one));
            }
        }
        other => panic!("no rule for {other}"),
    }
    let broken = wrong.iter().any(|name| match *name {
        "duplicated" => model != "total-queue",
        "stale" => model == "set-full linearizable",
        _ => true,
    });
    let verdict = match (broken, told) {
        (true, _) => Verdict::Invalid,
        (false, false) => Verdict::Unknown,
        (false, true) => Verdict::Valid,
    };
    (verdict, wrong)
}

const ENOUGH: u32 = 1_000;

fn agrees(rule: &str) {
    let (model, level) = match rule.split_once(' ') {
        Some((model, _)) => (model, Level::Linearizable),
        None => (rule, Level::Model),
    };
    let mut options = Options::new(model).expect("a model that is known");
    options.level = Some(level);
    let (mut valid, mut invalid, mut unknown) = (0, 0, 0);
    let mut dice = Dice(11);
    while valid < ENOUGH || invalid < ENOUGH {
        let mut ops = simulate(&mut dice, model);
        for round in 0..4 {
            let (verdict, wrong) = judge(rule, &ops);
            // Crashed dequeues may have taken what then seems lost.
            let whole = ops.iter().all(|op| op.f != "dequeue" || op.end == End::Ok);
            let drained = model != "total-queue" || whole && !wrong.contains(&"lost");
            assert!(round > 0 || !drained || verdict != Verdict::Invalid, "{ops:#?}");
            let count = match verdict {
                Verdict::Valid => &mut valid,
                Verdict::Invalid => &mut invalid,
                Verdict::Unknown => &mut unknown,
            };
            if *count >= ENOUGH {
                mutate(&mut dice, &mut ops);
                continue;
            }
            *count += 1;
            let history = text(&ops);
            let finding = check_text(&history, &options, &mut Budget::unlimited());
            let finding = finding.unwrap_or_else(|refused| panic!("{refused}\n{history}"));
            assert_eq!(finding.verdict, verdict, "{rule}: {wrong:?} {finding:#?}\n{history}");
            for name in wrong {
                assert!(finding.names().contains(&name), "{name}: {finding:#?}\n{history}");
            }
            mutate(&mut dice, &mut ops);
        }
    }
    println!("{rule}: {valid} valid, {invalid} invalid, {unknown} unknown, all as the rule says");
}

#[test]
fn verdicts_are_those_of_the_rules() {
    for rule in [
        "bank",
        "causal-reverse",
        "counter",
        "long-fork",
        "monotonic",
        "queue",
        "set",
        "set-full",
        "set-full linearizable",
        "total-queue",
        "unique-ids",
    ] {
        agrees(rule);
    }
}

fn finding(model: &str, initial: Option<&str>, lines: &[&str]) -> Result<Finding, Refused> {
    let mut options = Options::new(model).expect("a model that is known");
    options.initial = initial.map(str::to_owned);
    let lines: Vec<String> = lines.iter().map(|line| format!("{{{line}}}\n")).collect();
    check_text(&lines.concat(), &options, &mut Budget::unlimited())
}

fn verdict(model: &str, initial: Option<&str>, lines: &[&str]) -> Verdict {
    finding(model, initial, lines).unwrap_or_else(|refused| panic!("{refused}")).verdict
}

#[test]
fn of_nothing_nothing_is_wrong() {
    for model in ["bank", "causal-reverse", "counter", "long-fork", "queue", "unique-ids"] {
        assert_eq!(verdict(model, None, &[]), Verdict::Valid, "{model}");
    }
    for model in ["set", "set-full"] {
        assert_eq!(verdict(model, None, &[]), Verdict::Unknown, "{model}");
    }
}

#[test]
fn who_only_ends_has_read_too() {
    let lines =
        [":type :ok :process 0 :f :add :value 0", ":type :ok :process 1 :f :read :value [0]"];
    assert_eq!(verdict("set-full", None, &lines), Verdict::Valid);
}

#[test]
fn a_read_before_the_add_tells_nothing() {
    let lines = [
        ":type :invoke :process 1 :f :read",
        ":type :invoke :process 2 :f :read",
        ":type :ok :process 2 :f :read :value []",
        ":type :invoke :process 0 :f :add :value 0",
        ":type :ok :process 0 :f :add :value 0",
        ":type :ok :process 1 :f :read :value [0]",
    ];
    assert_eq!(verdict("set-full", None, &lines), Verdict::Valid);
}

#[test]
fn a_counter_that_is_nil_was_never_added_to() {
    let mut lines = vec![
        ":type :invoke :process 0 :f :read",
        ":type :ok :process 0 :f :read :value nil",
        ":type :invoke :process 0 :f :add :value 2",
        ":type :ok :process 0 :f :add :value 2",
    ];
    assert_eq!(verdict("counter", None, &lines), Verdict::Valid);
    lines.extend_from_within(..2);
    assert_eq!(verdict("counter", None, &lines), Verdict::Invalid);
}

#[test]
fn who_writes_sees_its_own_before_others_do() {
    let lines = [
        ":type :ok :process 0 :f :txn :value [[:w 1 1] [:r 1 1] [:r 2 nil]]",
        ":type :ok :process 1 :f :txn :value [[:w 2 1] [:r 1 nil] [:r 2 1]]",
    ];
    assert_eq!(verdict("long-fork", None, &lines), Verdict::Valid);
}

#[test]
fn keys_that_are_written_twice_tell_of_no_fork() {
    let mut lines = vec![
        ":type :invoke :process 0 :f :write :value [[:w 1 1]]",
        ":type :ok :process 0 :f :write :value [[:w 1 1]]",
        ":type :ok :process 1 :f :read :value [[:r 1 1] [:r 2 nil]]",
        ":type :ok :process 2 :f :read :value [[:r 1 nil] [:r 2 1]]",
    ];
    assert_eq!(verdict("long-fork", None, &lines), Verdict::Invalid);
    lines.extend_from_within(..1);
    assert_eq!(verdict("long-fork", None, &lines), Verdict::Unknown);
}

#[test]
fn the_initial_state_may_be_told_in_words() {
    let read = [":type :ok :process 0 :f :read :value {\"0\" 60 \"1\" 40}"];
    for initial in ["10 accounts, total 100", "100", "{0 60, 1 40}", "nil (nothing is known)"] {
        assert_eq!(verdict("bank", Some(initial), &read), Verdict::Valid, "{initial}");
    }
    for initial in ["10 accounts, total 90", "90", "{0 100}"] {
        assert_eq!(verdict("bank", Some(initial), &read), Verdict::Invalid, "{initial}");
    }
    let told = [
        ("kv", "each key starts as the empty string"),
        ("register", "nil; what nobody wrote"),
        ("cas-register", "0 (nil too)"),
        ("set", "#{}"),
        ("rw-register", "reads of value 0 are of the initial state"),
    ];
    for (model, initial) in told {
        assert!(finding(model, Some(initial), &[]).is_ok(), "{model}: {initial}");
    }
    for initial in ["1 2", "[", ":a :b", ""] {
        let refused = finding("register", Some(initial), &[]);
        assert!(matches!(refused, Err(Refused::Options(_))), "{initial}: {refused:?}");
    }
}

#[test]
fn keys_are_the_same_in_every_spelling() {
    let reads = [
        ":type :ok :process 0 :f :txn :value [[\"read\" \"x\" 0] [\"read\" \"y\" nil]]",
        ":type :ok :process 1 :f :txn :value [[:read :x nil]]",
    ];
    assert_eq!(verdict("multi-register", Some("{x 0, y 0}"), &reads), Verdict::Valid);
    assert_eq!(verdict("multi-register", Some("{x 1, y 0}"), &reads), Verdict::Invalid);
}
