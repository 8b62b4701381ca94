//! A run as one page.

use std::fmt::Write as _;

use super::figures::{Figures, Of};
use super::plot::{Time, color};
use super::units::{count, moment, time as duration};
use super::{Fault, Run, faults, latency, throughput};
use crate::checker::Verdict;
use crate::level::Level;
use crate::markup::escaped;
use crate::report::html;

const BESIDE: &str = " Beside that, something went wrong.";

pub(super) fn page(run: &Run) -> String {
    let (figures, time) = (Figures::of(run), Time::of(run));
    let verdict = run.finding.verdict.name();
    let mut page = html::begin(&format!("{verdict}: {}, seed {}", run.workload, run.seed));
    head(&mut page, run);
    troubles(&mut page, run);
    html::anomalies(&mut page, &run.finding);
    around(&mut page, run);
    numbers(&mut page, &figures);
    charts(&mut page, run, time);
    all_faults(&mut page, run);
    gaps(&mut page, run, &figures);
    slowest(&mut page, run, &figures);
    html::repeat(&mut page, &run.command);
    settings(&mut page, run);
    page.push_str(html::END);
    page
}

fn head(page: &mut String, run: &Run) {
    let verdict = run.finding.verdict.name();
    let _ = writeln!(
        page,
        "<h1><span class=\"{verdict}\">{verdict}</span>: {}</h1>\n<p class=\"lead\">{}</p>",
        escaped(&run.workload),
        escaped(&sentence(run)) + if run.troubles.is_empty() { "" } else { BESIDE }
    );
    let nemeses = if run.nemeses.is_empty() { "none".to_owned() } else { run.nemeses.join(", ") };
    let rows = [
        ("began", run.began.clone()),
        ("length", duration(run.length_ns())),
        ("system", run.system.clone()),
        ("model", run.model.clone()),
        ("level claimed", run.finding.level.to_string()),
        ("levels broken", names(&run.finding.violated)),
        ("faults asked for", nemeses),
        ("seed", run.seed.to_string()),
        (
            "writes went on",
            format!("{:.2} s after all was healed", run.recovered_after.as_secs_f64()),
        ),
        ("outcomes asked for at the end", run.asked_for.to_string()),
    ];
    pairs(page, rows.iter().map(|(name, value)| (*name, value.as_str())));
}

/// What went wrong beside what the history shows.
fn troubles(page: &mut String, run: &Run) {
    if run.troubles.is_empty() {
        return;
    }
    page.push_str("<h2>Troubles</h2>\n<ul>\n");
    for trouble in &run.troubles {
        let _ = writeln!(page, "<li class=\"invalid\">{}</li>", escaped(trouble));
    }
    page.push_str("</ul>\n");
}

/// The verdict.
fn sentence(run: &Run) -> String {
    let finding = &run.finding;
    let (level, ops) = (finding.level, count(finding.ops));
    let anomalies = finding.names().join(", ");
    match finding.verdict {
        Verdict::Valid if finding.anomalies.is_empty() => {
            format!("Nothing that {level} forbids is in these {ops} operations.")
        }
        Verdict::Valid => format!(
            "Nothing that {level} forbids is in these {ops} operations; what stronger levels \
             forbid is: {anomalies}."
        ),
        Verdict::Invalid => {
            format!("{level} does not hold in these {ops} operations: {anomalies}.")
        }
        Verdict::Unknown => format!(
            "Whether {level} holds in these {ops} operations could not be said: {}.",
            finding.reason.as_deref().unwrap_or("no reason was given").trim_end_matches('.')
        ),
    }
}

fn names(levels: &[Level]) -> String {
    if levels.is_empty() {
        return "none".to_owned();
    }
    levels.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ")
}

fn pairs<'a>(page: &mut String, rows: impl Iterator<Item = (&'a str, &'a str)>) {
    page.push_str("<table>\n");
    for (name, value) in rows {
        let (name, value) = (escaped(name), escaped(value));
        let _ = writeln!(page, "<tr><td class=\"note\">{name}</td><td>{value}</td></tr>");
    }
    page.push_str("</table>\n");
}

/// The history about what was found.
fn around(page: &mut String, run: &Run) {
    if run.around.is_empty() {
        return;
    }
    page.push_str("<section><h2>The history around it</h2>\n<pre>");
    let mut next = None;
    for line in &run.around {
        if next.is_some_and(|next| next != line.number) {
            page.push_str("⋮\n");
        }
        next = Some(line.number + 1);
        let text = format!("{:>8}  {}", line.number, escaped(&line.text));
        let _ = match line.named {
            true => writeln!(page, "<mark>{text}</mark>"),
            false => writeln!(page, "{text}"),
        };
    }
    page.push_str("</pre></section>\n");
}

fn numbers(page: &mut String, figures: &Figures) {
    page.push_str("<section><h2>Operations</h2>\n<div class=\"wide\"><table>\n<tr><th></th>");
    let heads = ["all", "ok", "fail", "info", "ok/s", "p50", "p95", "p99", "longest"];
    for head in heads {
        let _ = write!(page, "<th class=\"n\">{head}</th>");
    }
    page.push_str("</tr>\n");
    number_row(page, "all", &figures.all);
    for (f, of) in &figures.by_f {
        number_row(page, f, of);
    }
    page.push_str(
        "</table></div>\n<p class=\"note\">ok: it happened. fail: it did not. info: nobody \
         knows. Times are of what succeeded.</p></section>\n",
    );
}

fn number_row(page: &mut String, name: &str, of: &Of) {
    let times = of.latency.map(|of| [of.p50_us, of.p95_us, of.p99_us, of.max_us]);
    let times = match times {
        Some(times) => times.map(|us| duration(1_000 * us)),
        None => [(); 4].map(|()| "–".to_owned()),
    };
    let counts = [of.counts.ops, of.counts.ok, of.counts.fail, of.counts.info].map(count);
    let rate = super::units::three(of.ok_per_s);
    let _ = write!(page, "<tr><td>{}</td>", escaped(name));
    for cell in counts.iter().chain([&rate]).chain(&times) {
        let _ = write!(page, "<td class=\"n\">{cell}</td>");
    }
    page.push_str("</tr>\n");
}

fn charts(page: &mut String, run: &Run, time: Time) {
    page.push_str("<section><h2>Latency</h2>\n");
    legend(page, run, true);
    page.push_str(&latency::draw(run, time));
    let caption = latency::caption(run, time);
    let _ = writeln!(page, "<p class=\"note\">{caption}</p></section>");
    page.push_str("<section><h2>Throughput</h2>\n");
    legend(page, run, false);
    page.push_str(&throughput::draw(run, time));
    let _ = writeln!(
        page,
        "<p class=\"note\">Operations stand where they ended, one interval is {}.</p></section>",
        duration(throughput::interval_ns(time))
    );
    if run.faults.is_empty() {
        return;
    }
    page.push_str("<section><h2>Faults</h2>\n");
    page.push_str(&faults::draw(run, time));
    if run.faults.len() > faults::MOST {
        let _ = writeln!(page, "<p class=\"note\">The first {} are drawn.</p>", faults::MOST);
    }
}

fn legend(page: &mut String, run: &Run, marks: bool) {
    let marks = if marks { ["● ", "× ", "▲ "] } else { ["– "; 3] };
    page.push_str("<p class=\"note legend\">");
    for (mark, kind) in marks.iter().zip(["ok", "fail", "info"]) {
        let _ = write!(page, "<span><b class=\"{kind}\">{mark}</b>{kind}</span>");
    }
    let kinds = run.kinds_of_faults();
    for kind in &kinds {
        let (color, kind) = (color(&kinds, kind), escaped(kind));
        let _ = write!(page, "<span><i class=\"{color}\"></i>{kind}</span>");
    }
    page.push_str("</p>\n");
}

/// Ends the section of their drawing.
fn all_faults(page: &mut String, run: &Run) {
    if run.faults.is_empty() {
        return;
    }
    page.push_str(
        "<details><summary class=\"note\">All of them in words</summary><div class=\"wide\"><table>\n\
         <tr><th>fault</th><th>target</th><th class=\"n\">from</th><th class=\"n\">until</th>\
         <th>what was seen of it</th></tr>\n",
    );
    for fault in run.faults_in_order() {
        let until = fault.until_ns.map_or_else(|| "not healed".to_owned(), moment);
        let effect = if fault.effect.is_empty() { "not verified" } else { &fault.effect };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{until}</td>\
             <td>{}</td></tr>",
            escaped(&fault.name),
            escaped(&fault.target),
            moment(fault.from_ns),
            escaped(effect)
        );
    }
    page.push_str("</table></div></details></section>\n");
}

fn gaps(page: &mut String, run: &Run, figures: &Figures) {
    if figures.gaps.is_empty() {
        return;
    }
    page.push_str(
        "<section><h2>Longest without any success</h2>\n<div class=\"wide\"><table>\n<tr>\
         <th class=\"n\">length</th><th class=\"n\">from</th><th class=\"n\">until</th>\
         <th>faults then</th></tr>\n",
    );
    for gap in &figures.gaps {
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td>{}</td></tr>",
            duration(gap.length_ns()),
            moment(gap.from_ns),
            moment(gap.until_ns),
            escaped(&on(&run.faults_during(gap.from_ns, gap.until_ns)))
        );
    }
    page.push_str("</table></div></section>\n");
}

fn slowest(page: &mut String, run: &Run, figures: &Figures) {
    if figures.slowest.is_empty() {
        return;
    }
    page.push_str(
        "<section><h2>Slowest of what succeeded</h2>\n<div class=\"wide\"><table>\n<tr>\
         <th class=\"n\">took</th><th class=\"n\">from</th><th class=\"n\">until</th>\
         <th class=\"n\">process</th><th>operation</th><th>faults then</th></tr>\n",
    );
    for op in &figures.slowest {
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>",
            duration(op.latency_ns()),
            moment(op.from_ns),
            moment(op.until_ns),
            op.process,
            escaped(op.f),
            escaped(&on(&run.faults_during(op.from_ns, op.until_ns)))
        );
    }
    page.push_str("</table></div></section>\n");
}

/// The names of faults, and of how many each.
fn on(faults: &[&Fault]) -> String {
    let mut said: Vec<(String, usize)> = Vec::new();
    for fault in faults {
        let name = format!("{} {}", fault.name, fault.target);
        let name = name.trim_end();
        match said.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => *times += 1,
            None => said.push((name.to_owned(), 1)),
        }
    }
    let words = said.into_iter().map(|(name, times)| match times {
        1 => name,
        times => format!("{name} ({times} times)"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn settings(page: &mut String, run: &Run) {
    if run.settings.is_empty() {
        return;
    }
    page.push_str("<section><h2>Settings</h2>\n");
    pairs(page, run.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    page.push_str("</section>\n");
}
