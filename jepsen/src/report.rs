//! A finding as JSON, as text, and as one page that needs nothing else.

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

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
    padding:0 1rem;color:#223}h1 .valid{color:#276b27}h1 .invalid{color:#a82020}\
    h1 .unknown{color:#8a6100}pre{background:#f4f5f8;padding:.8rem;overflow-x:auto;\
    white-space:pre-wrap}section{border-top:1px solid #ccd;margin-top:2rem}\
    svg{max-width:100%;height:auto}code{background:#f4f5f8;padding:.1rem .3rem}";

/// The finding as a page. `history` is what was judged, `command` what repeats it.
pub fn page(finding: &Finding, model: &str, history: &str, command: &str) -> String {
    let verdict = finding.verdict.name();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <title>{verdict}: {history}</title>\n<style>{STYLE}</style>\n\
         <h1><span class=\"{verdict}\">{verdict}</span></h1>\n\
         <p><code>{history}</code>: {} operations, {model}, {}.</p>\n",
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
    for found in &finding.anomalies {
        let (name, words) = (escaped(&found.name), escaped(&found.words));
        let _ = writeln!(page, "<section><h2>{name}</h2>\n<pre>{words}</pre>");
        if let Some(picture) = &found.picture {
            page.push_str(picture);
        }
        page.push_str("</section>\n");
    }
    let _ = writeln!(page, "<section><p>Repeat it:</p><pre>{}</pre></section>", escaped(command));
    page.push_str("</html>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, Options, check_text};

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
