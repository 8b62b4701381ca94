//! What a rule is to `tc`: the leaf of a class.

use std::time::Duration;

use crate::links::rule::Rule;

/// So many datagrams may wait on a link.
const MOST_WAITING: u32 = 10_000;
/// For so long one is held back, so that others overtake it.
const HELD_BACK: Duration = Duration::from_millis(5);

/// The queueing discipline that obeys a rule, on a link that obeyed another one.
pub(super) fn leaf(before: &Rule, rule: &Rule) -> String {
    if rule.cut {
        return "pfifo limit 0".to_owned();
    }
    // One of another kind would take away what waits in the old one.
    match takes_netem(rule) || takes_netem(before) {
        true => netem(rule),
        false => format!("pfifo limit {MOST_WAITING}"),
    }
}

fn takes_netem(rule: &Rule) -> bool {
    !rule.cut && *rule != Rule::default()
}

/// As tc-netem(8) has it.
fn netem(rule: &Rule) -> String {
    let Rule { loss, duplicate, delay, mut jitter, reorder, cut: _ } = *rule;
    let mut text = format!("netem limit {MOST_WAITING}");
    let percent = |share: f64| format!("{:.4}%", share * 100.0);
    let us = |time: Duration| format!("{}us", time.as_micros());
    let late = !delay.is_zero() || !jitter.is_zero();
    if reorder > 0.0 && !late {
        // It delays all but a share; that share overtakes.
        text += &format!(" delay {} reorder {}", us(HELD_BACK), percent(1.0 - reorder));
    } else if late {
        if reorder > 0.0 {
            // Those that are at once would come without the delay. By jitter, too, some overtake.
            jitter = jitter.max(HELD_BACK);
        }
        // It takes a mean, and how far to go from there either way.
        text += &format!(" delay {}", us(delay + jitter / 2));
        if !jitter.is_zero() {
            text += &format!(" {}", us(jitter / 2));
        }
    }
    if loss > 0.0 {
        text += &format!(" loss random {}", percent(loss));
    }
    if duplicate > 0.0 {
        text += &format!(" duplicate {}", percent(duplicate));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rule =
        Rule { cut: false, loss: 0.0, duplicate: 0.0, delay: MS0, jitter: MS0, reorder: 0.0 };
    const MS0: Duration = Duration::ZERO;
    const MS: Duration = Duration::from_millis(1);

    fn of(rule: Rule) -> String {
        leaf(&PLAIN, &rule)
    }

    #[test]
    fn a_cut_drops_all_whatever_else_is_wanted() {
        assert_eq!(PLAIN, Rule::default());
        assert_eq!(of(PLAIN), "pfifo limit 10000");
        assert_eq!(of(Rule { cut: true, ..PLAIN }), "pfifo limit 0");
        assert_eq!(of(Rule { cut: true, delay: MS, loss: 0.5, ..PLAIN }), "pfifo limit 0");
    }

    #[test]
    fn netem_does_the_rest() {
        let netem = |rule| of(rule).strip_prefix("netem limit 10000").unwrap().to_owned();
        assert_eq!(netem(Rule { loss: 0.07, ..PLAIN }), " loss random 7.0000%");
        assert_eq!(netem(Rule { duplicate: 1.0, ..PLAIN }), " duplicate 100.0000%");
        assert_eq!(netem(Rule { delay: 20 * MS, ..PLAIN }), " delay 20000us");
        // From 20 to 24 milliseconds.
        let slow = Rule { delay: 20 * MS, jitter: 4 * MS, ..PLAIN };
        assert_eq!(netem(slow), " delay 22000us 2000us");
        let all = Rule { loss: 0.1, duplicate: 0.2, ..slow };
        assert_eq!(netem(all), " delay 22000us 2000us loss random 10.0000% duplicate 20.0000%");
    }

    /// It needs a delay, and is told how many are not delayed.
    #[test]
    fn who_is_held_back_is_overtaken() {
        let reorder = |reorder, delay| of(Rule { reorder, delay, ..PLAIN });
        assert_eq!(reorder(0.25, MS0), "netem limit 10000 delay 5000us reorder 75.0000%");
        assert_eq!(reorder(1.0, MS0), "netem limit 10000 delay 5000us reorder 0.0000%");
        assert_eq!(reorder(0.25, 20 * MS), "netem limit 10000 delay 22500us 2500us");
    }

    #[test]
    fn what_waits_is_not_lost_when_a_rule_ends() {
        let slow = Rule { delay: MS, ..PLAIN };
        assert_eq!(leaf(&slow, &PLAIN), "netem limit 10000");
        assert_eq!(leaf(&Rule { cut: true, ..slow }, &PLAIN), "pfifo limit 10000");
        assert_eq!(leaf(&slow, &Rule { cut: true, ..PLAIN }), "pfifo limit 0");
    }
}
