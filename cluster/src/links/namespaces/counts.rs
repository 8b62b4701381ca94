//! What links have done, from what `tc` tells of their classes.
//!
//! What a class has dropped, the cut has. One that is open drops only what comes when as many
//! wait already as it has room for, and at 10 Gbit/s hardly any ever do.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::plan::Plan;
use crate::links::party::Ends;
use crate::links::rule::Counts;

/// Of all links, from what `tc -s class show` says.
pub(super) fn counts(plan: &Plan, text: &str) -> Result<BTreeMap<Ends, Counts>> {
    let shown = parse(text)?;
    let of = |ends: Ends| {
        let counts = shown.get(&plan.class(ends));
        Ok((ends, *counts.with_context(|| format!("{} → {}: no class", ends.0, ends.1))?))
    };
    plan.ends().into_iter().map(of).collect()
}

/// Of classes, by their number.
fn parse(text: &str) -> Result<BTreeMap<u16, Counts>> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(class) = lines.find(|line| line.starts_with("class")) {
        let sent = lines.next().unwrap_or_default();
        let read = number(class).zip(sums(sent));
        let not_understood = || format!("tc says '{class}' and '{sent}', which is not understood");
        let (number, counts) = read.with_context(not_understood)?;
        found.insert(number, counts);
    }
    Ok(found)
}

/// The part after the colon.
fn number(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("class htb 1:")?;
    u16::from_str_radix(rest.split(' ').next()?, 16).ok()
}

fn sums(line: &str) -> Option<Counts> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["Sent", _, "bytes", sent, "pkt", "(dropped", dropped, ..] = words[..] else {
        return None;
    };
    let (passed, dropped): (u64, u64) =
        (sent.parse().ok()?, dropped.strip_suffix(',')?.parse().ok()?);
    Some(Counts { arrived: passed + dropped, passed, dropped, ..Counts::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::party::Party;
    use crate::node::NodeName;

    /// From iproute2 6.1 and Linux 6.18.
    const TEXT: &str = "\
class htb 1:102 root leaf 8004: prio 0 rate 10Gbit ceil 10Gbit burst 10483750b cburst 10483750b 
 Sent 10420 bytes 10 pkt (dropped 15, overlimits 0 requeues 0) 
 backlog 0b 0p requeues 0
 lended: 10 borrowed: 0 giants: 0
 tokens: 131048 ctokens: 131048

class htb 1:201 root leaf 8005: prio 0 rate 10Gbit ceil 10Gbit burst 10483750b cburst 10483750b 
 Sent 1221 bytes 3 pkt (dropped 0, overlimits 0 requeues 0) 
 backlog 0b 0p requeues 0
 lended: 3 borrowed: 0 giants: 0
 tokens: 131048 ctokens: 131048

";
    const C1: NodeName = NodeName::Coordinator(1);

    fn read(text: &str) -> Result<BTreeMap<Ends, Counts>> {
        counts(&Plan::new(1, &[C1]), text)
    }

    #[test]
    fn what_tc_tells_is_read() {
        let cut = Counts { arrived: 25, passed: 10, dropped: 15, ..Counts::default() };
        let open = Counts { arrived: 3, passed: 3, ..Counts::default() };
        let expected =
            [((C1.into(), Party::Client), cut), ((Party::Client, C1.into()), open)].into();
        assert_eq!(read(TEXT).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_no_zero() {
        let refused = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(refused(""), "c1 → client: no class");
        assert_eq!(refused(&TEXT.replace("1:102", "1:103")), "c1 → client: no class");
        // Missing, the last one too, or of another shape.
        let [first, second] = [" Sent 10420", " Sent 1221"]
            .map(|start| TEXT.lines().find(|line| line.starts_with(start)).unwrap());
        for line in [first, second] {
            let said = refused(&TEXT.replace(&format!("{line}\n"), ""));
            assert!(said.contains("' backlog 0b 0p requeues 0', which is not"), "{said}");
        }
        let said = refused(TEXT.split_once(second).unwrap().0);
        assert!(said.contains("and '', which is not"), "{said}");
        for (old, new) in [
            ("10 pkt", "many pkt"),
            ("10 pkt", "-1 pkt"),
            ("dropped 15,", "dropped 15"),
            ("dropped 15,", "dropped some,"),
            ("dropped", "lost"),
            ("bytes", "octets"),
            ("Sent", "sent"),
            ("htb 1:201", "htb 2:201"),
            ("htb 1:201", "htb 1:x"),
            ("htb 1:201", "htb 1:"),
            ("class htb", "class hfsc"),
        ] {
            assert!(TEXT.contains(old), "{old}");
            let said = refused(&TEXT.replace(old, new));
            assert!(said.starts_with("tc says 'class "), "{old} → {new}: {said}");
        }
    }
}
