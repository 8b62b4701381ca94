//! Numbers as people read them.

/// `12345` as `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with three digits: `840 µs`, `1.23 ms`, `12.3 s`.
pub(super) fn time(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        ns if ns < 999_500 => format!("{} µs", three(ns as f64 / 1e3)),
        ns if ns < 999_500_000 => format!("{} ms", three(ns as f64 / 1e6)),
        ns => format!("{} s", three(ns as f64 / 1e9)),
    }
}

/// Seconds since the run began, with three places.
pub(super) fn moment(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

/// A number with three digits, as far as they are behind the point.
pub(super) fn three(number: f64) -> String {
    let places = match number.abs() {
        number if number < 9.995 => 2,
        number if number < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{number:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// At most so many letters of a text.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let times =
            [0, 1_000, 999_499, 999_500, 1_234_567, 10_000_000, 123_456_789, 61_000_000_000];
        let words = ["0", "1 µs", "999 µs", "1 ms", "1.23 ms", "10 ms", "123 ms", "61 s"];
        assert_eq!(times.map(time), words);
        assert_eq!([0.0, 0.5, 9.999, 99.96, 1234.5].map(three), ["0", "0.5", "10", "100", "1234"]);
        assert_eq!(moment(1_234_567_890), "1.235 s");
        assert_eq!((cut("épée", 4), cut("épées", 4)), ("épée".to_owned(), "épé…".to_owned()));
    }
}
