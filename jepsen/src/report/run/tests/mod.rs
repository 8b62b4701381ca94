mod charts;

use proptest::prelude::*;
use roxmltree::Document;

use super::plot::Time;
use super::*;
use crate::{Anomaly, Level};

const SECOND: u64 = 1_000_000_000;
/// What a text may be that somebody else wrote.
const HOSTILE: &str = "<b>&\"'</pre>]]>\u{1}\u{ffff}é";

fn run(seconds: u64, ops: Vec<Op>, faults: Vec<Fault>) -> Run {
    Run {
        workload: "list-append".to_owned(),
        model: "list-append".to_owned(),
        command: "synod-jepsen run list-append --seed 7".to_owned(),
        seed: 7,
        system: "synod 0.1.0".to_owned(),
        nemeses: vec!["kill".to_owned(), "pause".to_owned()],
        settings: vec![("shards".to_owned(), "3".to_owned())],
        began: "2026-01-02T03:04:05Z".to_owned(),
        length: Duration::from_secs(seconds),
        finding: Finding::new(Level::StrictSerializable, Vec::new(), ops.len() as u64, None),
        ops,
        faults,
        recovered_after: Duration::ZERO,
        asked_for: 0,
        troubles: Vec::new(),
        around: Vec::new(),
    }
}

fn op(f: &'static str, kind: Kind, from_ns: u64, latency_ns: u64) -> Op {
    Op { process: 3, f, from_ns, until_ns: from_ns + latency_ns, kind }
}

fn fault(name: &str, from_ns: u64, until_ns: Option<u64>) -> Fault {
    let (name, target, effect) = (name.to_owned(), "s2".to_owned(), "gone for 3 s".to_owned());
    Fault { name, target, from_ns, until_ns, effect }
}

fn broken(words: &str) -> Finding {
    let anomaly = Anomaly {
        name: "G2-item".to_owned(),
        words: words.to_owned(),
        breaks: vec![Level::Serializable],
        picture: None,
    };
    Finding::new(Level::StrictSerializable, vec![anomaly], 2, None)
}

fn unknown() -> Finding {
    Finding::new(Level::StrictSerializable, Vec::new(), 2, Some("not decided within 1 s".into()))
}

/// The charts of a page, by name.
fn charts(page: &str) -> Vec<(String, String)> {
    let charts = page.split("<svg ").skip(1).map(|rest| {
        let (svg, _) = rest.split_once("</svg>").expect("it ends");
        let svg = format!("<svg {svg}</svg>");
        let document = Document::parse(&svg).unwrap();
        let name = document.root_element().attribute("aria-label").unwrap().to_owned();
        drop(document);
        (name, svg)
    });
    charts.collect()
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Ok, Kind::Fail, Kind::Info])
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let names = prop::sample::select(vec!["read", "txn", "transfer"]);
    let one = (names, kinds(), 0..60 * SECOND, prop_oneof![Just(0), 0..5 * SECOND]);
    prop::collection::vec(one.prop_map(|(f, kind, from, took)| op(f, kind, from, took)), 0..80)
}

proptest! {
    #[test]
    fn counts_add_up(ops in ops()) {
        let run = run(60, ops, Vec::new());
        let figures = Figures::of(&run);
        let count = |kind| run.ops.iter().filter(|op| op.kind == kind).count() as u64;
        let all = Counts {
            ops: run.ops.len() as u64,
            ok: count(Kind::Ok),
            fail: count(Kind::Fail),
            info: count(Kind::Info),
        };
        let sum = |counts: Vec<Counts>| counts.into_iter().fold(Counts::default(), |sum, next| Counts {
            ops: sum.ops + next.ops,
            ok: sum.ok + next.ok,
            fail: sum.fail + next.fail,
            info: sum.info + next.info,
        });
        prop_assert_eq!(figures.all.counts, all);
        prop_assert_eq!(sum(figures.by_f.values().map(|of| of.counts).collect()), all);
        prop_assert_eq!(sum(throughput::intervals(&run, Time::of(&run))), all);
    }

    #[test]
    fn so_many_took_at_most_so_long(ops in ops()) {
        let figures = Figures::of(&run(60, ops.clone(), Vec::new()));
        let took = || ops.iter().filter(|op| op.kind == Kind::Ok).map(|op| op.latency_ns().div_ceil(1_000));
        let Some(latency) = figures.all.latency else {
            prop_assert_eq!(took().count(), 0);
            return Ok(());
        };
        for (us, part) in [(latency.p50_us, 50), (latency.p95_us, 95), (latency.p99_us, 99), (latency.max_us, 100)] {
            let (within, below) = (took().filter(|took| *took <= us).count(), took().filter(|took| *took < us).count());
            prop_assert!(100 * within >= part * took().count(), "{} of {}", within, took().count());
            prop_assert!(100 * below < part * took().count(), "a smaller one would do");
        }
    }

    #[test]
    fn in_a_gap_nothing_succeeds(ops in ops()) {
        let run = run(60, ops, Vec::new());
        let gaps = Figures::of(&run).gaps;
        let ended = || run.ops.iter().filter(|op| op.kind == Kind::Ok).map(|op| op.until_ns);
        for gap in &gaps {
            prop_assert!(ended().all(|ended| ended <= gap.from_ns || ended >= gap.until_ns));
        }
        prop_assert!(gaps.iter().all(|gap| gap.from_ns < 60 * SECOND), "then the run was over");
        // Each success, and the begin, is followed by another or by the end.
        let next = |from: u64| ended().chain([60 * SECOND]).filter(|next| *next > from).min();
        let longest = ended().chain([0]).filter(|from| *from < 60 * SECOND)
            .filter_map(|from| Some(next(from)? - from)).max();
        prop_assert_eq!(gaps.first().map(Gap::length_ns), longest);
    }
}

#[test]
fn a_run_of_nothing_and_of_little_has_a_page() {
    let one = |kind| vec![op("read", kind, 5, 0)];
    let runs = [
        run(0, Vec::new(), Vec::new()),
        run(10, Vec::new(), vec![fault("kill", 0, None)]),
        run(0, one(Kind::Ok), Vec::new()),
        run(10, one(Kind::Ok), Vec::new()),
        run(10, one(Kind::Info), Vec::new()),
        run(10, (0..100).map(|at| op("txn", Kind::Info, at, 10 * SECOND)).collect(), Vec::new()),
    ];
    for run in runs {
        let page = run.page();
        assert!(!page.contains("NaN") && !page.contains("inf<"), "{page}");
        assert!(charts(&page).len() >= 2);
        let json = run.json();
        assert_eq!(json["counts"]["ops"], run.ops.len());
        assert_eq!(json["latency"].is_null(), run.ops.iter().all(|op| op.kind != Kind::Ok));
    }
    let gaps = Figures::of(&run(10, Vec::new(), Vec::new())).gaps;
    assert_eq!(gaps, [Gap { from_ns: 0, until_ns: 10 * SECOND }], "nothing succeeded at all");
}

#[test]
fn nothing_of_a_run_is_markup() {
    let hostile = HOSTILE.to_owned();
    let mut run = run(10, vec![op("read", Kind::Ok, 0, 1)], vec![fault(HOSTILE, 0, None)]);
    run.faults[0].target.clone_from(&hostile);
    run.faults[0].effect.clone_from(&hostile);
    run.nemeses = vec![hostile.clone()];
    run.troubles = vec![hostile.clone()];
    run.settings = vec![(hostile.clone(), hostile.clone())];
    run.around = vec![Line { number: 1, text: hostile.clone(), named: true }];
    for text in
        [&mut run.workload, &mut run.model, &mut run.command, &mut run.system, &mut run.began]
    {
        text.clone_from(&hostile);
    }
    for finding in [broken(HOSTILE), unknown(), Finding { reason: Some(hostile), ..unknown() }] {
        run.finding = finding;
        let page = run.page();
        assert!(!page.contains("<b>&") && !page.contains("\"'<"), "{page}");
        assert!(page.contains("&lt;b&gt;&amp;&quot;'&lt;/pre&gt;"), "{page}");
        assert_eq!(charts(&page).len(), 3, "which are sound");
        let xml = junit(&[Case::of(&run)]);
        let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
        let told = document.descendants().find(|node| node.has_tag_name("system-out")).unwrap();
        assert_eq!(
            told.text(),
            Some("<b>&\"'</pre>]]>  é"),
            "as it was, but for what XML cannot have"
        );
    }
}

#[test]
fn ci_sees_what_was_judged_and_how() {
    let mut runs = [
        run(10, Vec::new(), Vec::new()),
        run(20, Vec::new(), Vec::new()),
        run(30, Vec::new(), Vec::new()),
    ];
    runs[1].finding = broken("T1 = line 1: …\nT2 = line 2: …");
    runs[2].finding = unknown();
    let xml = junit(&runs.each_ref().map(Case::of));
    let document = Document::parse(&xml).unwrap();
    for suite in
        document.descendants().filter(|node| node.tag_name().name().starts_with("testsuite"))
    {
        let numbers = ["tests", "failures", "errors", "skipped", "time"]
            .map(|name| suite.attribute(name).unwrap());
        assert_eq!(numbers, ["3", "1", "1", "0", "60.000"]);
    }
    let cases: Vec<_> =
        document.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(cases[0].attribute("name"), Some("list-append with kill, pause, seed 7"));
    assert_eq!(cases[1].attribute("time"), Some("20.000"));
    let said =
        |case: usize, name: &str| cases[case].children().find(|node| node.has_tag_name(name));
    assert!(said(0, "failure").is_none() && said(0, "error").is_none());
    let failure = said(1, "failure").unwrap();
    assert_eq!(failure.attribute("message"), Some("strict-serializable: G2-item"));
    assert!(failure.text().unwrap().contains("T1 = line 1: …\n  T2 = line 2: …"), "{xml}");
    assert_eq!(said(2, "error").unwrap().attribute("message"), Some("not decided within 1 s"));
    assert!(said(2, "system-out").unwrap().text().unwrap().ends_with("--seed 7"));
}

#[test]
fn a_run_with_troubles_has_failed() {
    for (finding, why) in [
        (Finding::new(Level::Model, Vec::new(), 0, None), "s2 ended by itself; lost"),
        (unknown(), "not decided within 1 s; s2 ended by itself; lost"),
        (broken("it"), "strict-serializable: G2-item; s2 ended by itself; lost"),
    ] {
        let mut run = run(10, Vec::new(), Vec::new());
        run.finding = finding;
        run.troubles = vec!["s2 ended by itself".to_owned(), "lost".to_owned()];
        let xml = junit(&[Case::of(&run)]);
        let document = Document::parse(&xml).unwrap();
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
        assert_eq!(failure.attribute("message"), Some(why));
        assert!(failure.text().unwrap().starts_with("s2 ended by itself\nlost\n"), "{xml}");
        assert_eq!(document.root_element().attribute("failures"), Some("1"));
        assert_eq!(run.json()["troubles"][1], "lost");
    }
}

#[test]
fn results_have_what_a_check_has_and_more() {
    let ops = vec![op("read", Kind::Ok, 0, 2_000_000), op("txn", Kind::Fail, SECOND, 1)];
    let mut run = run(10, ops, vec![fault("kill", SECOND, None)]);
    run.finding = broken("it");
    let json = run.json();
    for (name, value) in super::super::json(&run.finding, &run.model).as_object().unwrap() {
        assert_eq!(json[name], *value);
    }
    let expected = serde_json::json!({
        "workload": "list-append",
        "model": "list-append",
        "verdict": "invalid",
        "anomalies": ["G2-item"],
        "seed": 7,
        "seconds": 10.0,
        "nemeses": ["kill", "pause"],
        "counts": { "ops": 2, "ok": 1, "fail": 1, "info": 0 },
        "ok_per_s": 0.1,
        "latency": { "p50_us": 2_000, "p95_us": 2_000, "p99_us": 2_000, "max_us": 2_000 },
        "faults": [{
            "name": "kill",
            "target": "s2",
            "from_ns": SECOND,
            "until_ns": null,
            "effect": "gone for 3 s",
        }],
        "settings": { "shards": "3" },
        "recovered_after_s": 0.0,
        "outcomes_asked_for": 0,
        "troubles": [],
        "command": "synod-jepsen run list-append --seed 7",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(json[name], *value, "{name}");
    }
    assert_eq!(json["by_f"]["read"]["latency"]["p50_us"], 2_000);
    assert_eq!(json["by_f"]["txn"]["latency"], serde_json::Value::Null);
    assert_eq!(json["without_success"][0]["until_ns"], 10 * SECOND);
}

#[test]
fn a_page_tells_all_of_it_in_words() {
    let ops = vec![op("read", Kind::Ok, SECOND, 2 * SECOND), op("txn", Kind::Info, 0, SECOND)];
    let mut run = run(
        10,
        ops,
        vec![fault("kill", 2 * SECOND, Some(4 * SECOND)), fault("pause", 9 * SECOND, None)],
    );
    run.faults[1].effect.clear();
    let valid = run.page();
    run.finding = unknown();
    let doubtful = run.page();
    run.finding = broken("T1 = line 1\nT2 = line 2");
    run.troubles = vec!["s2 ended by itself".to_owned()];
    run.around = [(1, true), (2, true), (9, false)]
        .map(|(number, named)| Line { number, text: format!("op {number}"), named })
        .into();
    let page = run.page();
    assert!(!valid.contains("went wrong"));
    assert!(valid.contains("Nothing that strict-serializable forbids is in these 2 operations."));
    assert!(doubtful.contains("could not be said: not decided within 1 s."));
    for told in [
        "<h1><span class=\"invalid\">invalid</span>: list-append</h1>",
        "strict-serializable does not hold in these 2 operations: G2-item.",
        "<pre>T1 = line 1\nT2 = line 2</pre>",
        "<mark>       1  op 1</mark>\n<mark>       2  op 2</mark>\n⋮\n       9  op 9\n",
        "<td class=\"n\">7 s</td><td class=\"n\">3.000 s</td><td class=\"n\">10.000 s</td>\
         <td>kill s2, pause s2</td>",
        "<td class=\"n\">2 s</td><td class=\"n\">1.000 s</td><td class=\"n\">3.000 s</td>\
         <td class=\"n\">3</td><td>read</td><td>kill s2</td>",
        "<td>not verified</td>",
        "G2-item. Beside that, something went wrong.</p>",
        "<li class=\"invalid\">s2 ended by itself</li>",
        "<pre>synod-jepsen run list-append --seed 7</pre>",
        "<td class=\"note\">shards</td><td>3</td>",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    assert!(
        !page.contains("<script") && !page.contains("url(") && !page.contains("href"),
        "{page}"
    );
}
