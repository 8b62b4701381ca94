//! A finding as JSON, as text, and as one page that needs nothing else.

mod html;
#[cfg(feature = "runner")]
pub mod run;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::checker::Finding;
use crate::markup::escaped;

/// The finding as JSON.
pub fn json(finding: &Finding, model: &str) -> Value {
    json!({
        "verdict": finding.verdict.name(),
        "model": model,
        "level": finding.level.name(),
        "anomalies": finding.names(),
        "violated": violated(finding),
        "ops": finding.ops,
        "reason": finding.reason,
    })
}

fn violated(finding: &Finding) -> Vec<&'static str> {
    finding.violated.iter().map(|level| level.name()).collect()
}

/// The finding for people.
pub fn text(finding: &Finding, model: &str) -> String {
    let (verdict, level) = (finding.verdict.name(), finding.level);
    let mut text = format!("{verdict}: {} operations, {model}, {level}\n", finding.ops);
    if let Some(reason) = &finding.reason {
        let _ = writeln!(text, "  {reason}");
    }
    for found in &finding.anomalies {
        let _ = writeln!(text, "\n{}", found.name);
        for line in found.words.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    if !finding.violated.is_empty() {
        let _ = writeln!(text, "\nviolated: {}", violated(finding).join(" "));
    }
    text
}

/// The finding as a page. `history` is what was judged, `command` what repeats it.
pub fn page(finding: &Finding, model: &str, history: &str, command: &str) -> String {
    let verdict = finding.verdict.name();
    let mut page = html::begin(&format!("{verdict}: {history}"));
    let _ = writeln!(
        page,
        "<h1><span class=\"{verdict}\">{verdict}</span></h1>\n\
         <p><code>{history}</code>: {} operations, {model}, {}.</p>",
        finding.ops,
        finding.level,
        history = escaped(history),
    );
    if let Some(reason) = &finding.reason {
        let _ = writeln!(page, "<p>{}</p>", escaped(reason));
    }
    if !finding.violated.is_empty() {
        let _ = writeln!(page, "<p>Violated: {}.</p>", violated(finding).join(", "));
    }
    html::anomalies(&mut page, finding);
    html::repeat(&mut page, command);
    page.push_str(html::END);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Options, check_text};

    #[test]
    fn what_happened_is_told_line_by_line() {
        let history = "{:type :ok :process 0 :f :txn :value [[:append 1 1] [:r 2 nil]]}
                       {:type :ok :process 1 :f :txn :value [[:append 2 1] [:r 1 nil]]}
                       {:type :ok :process 2 :f :txn :value [[:r 1 [1]] [:r 2 [1]]]}";
        let options = Options::new("list-append").unwrap();
        let finding = check_text(history, &options, &mut Budget::unlimited()).unwrap();
        let page = page(&finding, "list-append", "h.edn", "check h.edn");
        let (_, told) = page.split_once("<pre>T1 = line ").expect("the cycle is told");
        assert!(told.lines().nth(1).unwrap().starts_with("T2 = line "), "{told}");
    }

    #[test]
    fn a_page_has_what_was_found_and_nothing_of_a_history_is_markup() {
        let history = "{:type :ok :process 0 :f :txn :value [[:append \"<b>\" 1]]}
                       {:type :ok :process 1 :f :txn :value [[:r \"<b>\" [1 2]]]}";
        let options = Options::new("list-append").unwrap();
        let finding = check_text(history, &options, &mut Budget::unlimited()).unwrap();
        let page = page(&finding, "list-append", "<i>.edn", "check '<i>.edn'");
        assert!(page.contains("<h2>garbage-read</h2>"), "{page}");
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>") && !page.contains("<i>"));
        let names = json(&finding, "list-append")["anomalies"].to_string();
        assert_eq!(names, r#"["empty-transaction-graph","garbage-read"]"#);
    }
}
