//! Text of a history, in pages and pictures.

/// As it may stand in HTML and XML, between tags and in attributes: nothing of it is any, and
/// no letter is one that XML does not allow. Lines stay lines.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(letter),
            '\u{fffe}' | '\u{ffff}' => safe.push(' '),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines_and_nothing_is_markup() {
        assert_eq!(
            escaped("a\n\t<b c=\"&\">\u{0}\r\u{85}\u{ffff}"),
            "a\n\t&lt;b c=&quot;&amp;&quot;&gt;    "
        );
    }
}
