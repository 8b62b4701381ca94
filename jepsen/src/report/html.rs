//! What pages have in common. They need nothing else: no script, no font, no picture from
//! outside, and are readable in light and in dark.

use std::fmt::Write as _;

use crate::checker::Finding;
use crate::markup::escaped;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const END: &str = "</html>\n";

pub(super) fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n",
        escaped(title)
    )
}

/// What was found, each in words, and drawn where it can be. Pictures are dark on white.
pub(super) fn anomalies(page: &mut String, finding: &Finding) {
    for found in &finding.anomalies {
        let (name, words) = (escaped(&found.name), escaped(&found.words));
        let _ = writeln!(page, "<section><h2>{name}</h2>\n<pre>{words}</pre>");
        if let Some(picture) = &found.picture {
            let _ = write!(page, "<div class=\"picture\">{picture}</div>");
        }
        page.push_str("</section>\n");
    }
}

pub(super) fn repeat(page: &mut String, command: &str) {
    let _ = writeln!(page, "<section><p>Repeat it:</p><pre>{}</pre></section>", escaped(command));
}
