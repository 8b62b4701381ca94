use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::super::plot::{self, LEFT, RIGHT, WIDTH};
use super::*;

fn chart<'a>(charts: &'a [(String, String)], name: &str) -> Document<'a> {
    let (_, svg) = charts.iter().find(|(known, _)| known == name).expect("it is there");
    Document::parse(svg).unwrap()
}

fn of_class<'a, 'b>(svg: &'a Document<'b>, class: &str) -> Vec<Node<'a, 'b>> {
    let has = |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|all| all.split(' ').any(|one| one == class))
    };
    svg.descendants().filter(has).collect()
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

/// The places of a path's marks.
fn marks(path: Node<'_, '_>) -> Vec<(f64, f64)> {
    let places = path.attribute("d").unwrap().split('M').skip(1).map(|mark| {
        let end = mark.find(|letter: char| letter.is_alphabetic()).unwrap();
        let (x, y) = mark[..end].split_once(' ').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    });
    places.collect()
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let names = prop::sample::select(vec!["kill", "pause", "partition", "clock"]);
    let one = (names, 0..70 * SECOND, prop::option::of(0..20 * SECOND));
    let one = one.prop_map(|(name, from, took)| fault(name, from, took.map(|took| from + took)));
    prop::collection::vec(one, 0..30)
}

proptest! {
    #[test]
    fn everything_is_inside_the_charts(ops in ops(), faults in faults()) {
        let page = run(60, ops, faults).page();
        for (name, svg) in charts(&page) {
            let svg = Document::parse(&svg).unwrap();
            let height = number(svg.root_element(), "height");
            for node in svg.descendants().filter(|node| node.has_attribute("x")) {
                let (x, y) = (number(node, "x"), number(node, "y"));
                prop_assert!((0.0..=WIDTH).contains(&x) && (0.0..=height).contains(&y), "{name}");
                let said = node.attribute("class") == Some("said");
                let letters = if said { node.text().unwrap_or("").chars().count() } else { 0 };
                prop_assert!(x + plot::LETTER * letters as f64 <= RIGHT + 0.1, "{name}");
            }
            for node in of_class(&svg, "dots") {
                for (x, y) in marks(node) {
                    prop_assert!((LEFT - 4.0..=RIGHT + 4.0).contains(&x), "{name}: {x}");
                    prop_assert!((0.0..=height).contains(&y), "{name}: {y}");
                }
            }
        }
    }

    #[test]
    fn names_of_faults_do_not_cover_each_other(faults in faults()) {
        let page = run(60, Vec::new(), faults).page();
        let charts = charts(&page);
        let svg = chart(&charts, "Latency over time");
        let names = of_class(&svg, "said");
        let place = |node: &Node<'_, '_>| (number(*node, "x"), number(*node, "y"), node.text().unwrap().len());
        let places: Vec<(f64, f64, usize)> = names.iter().map(place).collect();
        for (at, (x, y, letters)) in places.iter().enumerate() {
            let end = x + plot::LETTER * *letters as f64;
            let covers = |(other, line, _): &(f64, f64, usize)| y == line && (*x..end).contains(other);
            prop_assert!(!places[at + 1..].iter().any(covers), "{:?}", places);
        }
    }
}

#[test]
fn a_fault_is_shaded_from_when_it_struck_until_it_was_healed() {
    let faults = vec![
        fault("pause", 50 * SECOND, None),
        fault("kill", 25 * SECOND, Some(30 * SECOND)),
        fault("kill", 60 * SECOND, Some(60 * SECOND)),
    ];
    let page = run(100, vec![op("read", Kind::Ok, 0, 1)], faults).page();
    let charts = charts(&page);
    let x = |second: f64| LEFT + (RIGHT - LEFT) * second / 100.0;
    for (name, class) in [
        ("Latency over time", "shade"),
        ("Throughput over time", "shade"),
        ("Faults over time", "bar"),
    ] {
        let svg = chart(&charts, name);
        let drawn = of_class(&svg, class).into_iter();
        let drawn: Vec<(f64, f64, &str)> = drawn
            .map(|node| {
                let from = number(node, "x");
                (from, from + number(node, "width"), node.attribute("class").unwrap())
            })
            .collect();
        let expected =
            [(x(25.0), x(30.0), "f0"), (x(50.0), RIGHT, "f1"), (x(60.0), x(60.0) + 3.0, "f0")];
        assert_eq!(drawn.len(), 3, "{name}");
        for ((from, until, color), drawn) in expected.into_iter().zip(drawn) {
            assert!(
                (from - drawn.0).abs() < 0.2 && (until - drawn.1).abs() < 0.2,
                "{name}: {drawn:?}"
            );
            assert_eq!(drawn.2, format!("{class} {color}"), "a kind has one colour");
        }
    }
    assert!(page.contains("pause s2: gone for 3 s, not healed"), "{page}");
}

#[test]
fn a_target_is_named_once() {
    let words = |target: &str, effect: &str| {
        let (target, effect) = (target.to_owned(), effect.to_owned());
        Fault { target, effect, ..fault("kill", 0, None) }.words()
    };
    assert_eq!(words("s2", "gone"), "kill s2: gone");
    assert_eq!(words("s2", "s2 had ended"), "kill: s2 had ended");
    assert_eq!(words("", "gone"), "kill: gone");
    assert_eq!(words("s2", ""), "kill s2: not verified");
}

#[test]
fn an_operation_stands_where_it_began_as_high_as_it_took() {
    let ops = vec![
        op("read", Kind::Ok, 0, SECOND / 1_000),
        op("read", Kind::Ok, 50 * SECOND, SECOND / 10),
        op("read", Kind::Info, 100 * SECOND, SECOND),
    ];
    let mut run = run(100, ops, Vec::new());
    run.length = Duration::from_secs(101);
    let charts = charts(&run.page());
    let svg = chart(&charts, "Latency over time");
    let path = |class| {
        marks(*of_class(&svg, class).iter().find(|node| node.tag_name().name() == "path").unwrap())
    };
    let ok = path("ok");
    let third = 260.0 / 3.0;
    assert_eq!(ok.len(), 2);
    assert_eq!((ok[0].0, ok[0].1), (LEFT, 266.0), "1 ms is the lowest line");
    assert!((ok[1].0 - (LEFT + (RIGHT - LEFT) * 50.0 / 101.0)).abs() <= 0.5, "{ok:?}");
    assert!((ok[1].1 - (266.0 - 2.0 * third)).abs() <= 0.5, "100 ms is two thirds higher: {ok:?}");
    assert_eq!(path("info").len(), 1);
}

#[test]
fn of_many_operations_a_chart_has_ranges_and_all_that_are_unknown() {
    let many = 50_000;
    let mut ops: Vec<Op> = (0..many)
        .map(|at| op("txn", Kind::Ok, at * 60 * SECOND / many, (1 + at * at % 1_000) * 100_000))
        .collect();
    let usual = run(60, ops.clone(), Vec::new()).page();
    ops.extend((0..40).map(|at| op("txn", Kind::Info, at * SECOND, 5 * SECOND)));
    ops.extend((0..many).map(|at| op("txn", Kind::Fail, at * 60 * SECOND / many, SECOND)));
    let page = run(60, ops, Vec::new()).page();
    let charts = charts(&page);
    let svg = chart(&charts, "Latency over time");
    let of = |class| marks(of_class(&svg, class)[0]);
    assert_eq!(of("info").len(), 40);
    assert!(of("half").len() > 860, "a range for each column, but for the last second");
    assert!(of_class(&svg, "ok").is_empty());
    let failed = of("many");
    assert!(failed.len() <= 2 * (RIGHT - LEFT) as usize + 1, "{} marks", failed.len());
    assert!(page.contains("Successes are drawn as ranges") && page.contains("they are points"));
    assert!(usual.len() < 150_000, "{} bytes", usual.len());
    assert!(!usual.contains("they are points"));
}

#[test]
fn a_range_goes_from_the_fastest_to_the_slowest() {
    let ops = (1..=6_000).map(|us| op("txn", Kind::Ok, 0, 1_000 * us)).collect();
    let charts = charts(&run(60, ops, Vec::new()).page());
    let svg = chart(&charts, "Latency over time");
    let ranges = of_class(&svg, "range");
    // From 1 µs at the bottom to 10 ms at the top are 260 pixels.
    let y = |us: f64| 266.0 - 260.0 * us.log10() / 4.0;
    for (range, from, until) in [(0, 1.0, 6_000.0), (1, 3_000.0, 5_940.0)] {
        let drawn = ranges[range].attribute("d").unwrap();
        assert_eq!(drawn, format!("M64.5 {:.1}V{:.1}", y(from), y(until)));
    }
    assert_eq!(
        of_class(&svg, "half")[0].attribute("d").unwrap(),
        format!("M64.5 {:.1}h0", y(3_000.0))
    );
}
