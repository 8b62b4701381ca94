//! What is asked of the system, through `ip` and `tc`.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::leaf::leaf;
use super::plan::{class_with, root};
use crate::links::rule::Rule;
use crate::ports;

/// Runs commands of `ip`, one a line, as if in a namespace.
pub(super) fn ip(namespace: Option<&str>, script: &str) -> Result<String> {
    let inside = namespace.map_or(vec![], |namespace| vec!["-netns", namespace]);
    run("ip", &[&inside[..], &["-batch", "-"]].concat(), script)
}

/// Runs all of them, whether or not one fails, which is an error in the end.
pub(super) fn ip_all(script: &str) -> Result<String> {
    run("ip", &["-force", "-batch", "-"], script)
}

/// Runs commands of `tc`, one a line, as if in a namespace.
pub(super) fn tc(namespace: &str, script: &str) -> Result<String> {
    run("tc", &["-netns", namespace, "-statistics", "-batch", "-"], script)
}

fn run(program: &str, args: &[&str], script: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("'{program}' of iproute2 can not be started; it is mostly in /usr/sbin")
        })?;
    let mut stdin = child.stdin.take().context("a process without stdin")?;
    // It answers little before it has read all. One that ends early says why.
    let _ = stdin.write_all(script.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let reason = said.split("Command failed").next().unwrap_or_default().trim();
    anyhow::bail!("{program}{}: {reason}", blamed(script, &said))
}

/// The first command that failed.
fn blamed(script: &str, said: &str) -> String {
    let number = said.split_once("Command failed -:").map(|(_, rest)| rest.trim_start());
    let digits = number.map(|rest| rest.chars().take_while(char::is_ascii_digit));
    let number: Option<usize> = digits.and_then(|digits| digits.collect::<String>().parse().ok());
    let line = number.and_then(|number| script.lines().nth(number.checked_sub(1)?));
    line.map_or_else(String::new, |line| format!(" {line}"))
}

/// Makes a namespace of that name; false if there is one.
pub(super) fn claim(namespace: &str) -> Result<bool> {
    match ip(None, &format!("netns add {namespace}\n")) {
        Ok(_) => Ok(true),
        Err(error) if format!("{error:#}").contains("File exists") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes sure that there can be links of the kernel's that obey such a rule.
///
/// # Errors
/// What is missing: Linux, root, `ip`, `tc`, or what the kernel has to have.
pub fn probe(rule: &Rule) -> Result<()> {
    anyhow::ensure!(cfg!(target_os = "linux"), "only Linux has network namespaces");
    anyhow::ensure!(is_root(), "network namespaces take root");
    let scratch = format!("synod-probe-{:08x}", ports::seed() as u32);
    anyhow::ensure!(claim(&scratch)?, "there is a namespace {scratch}");
    let plain = Rule::default();
    // Not every kernel has netem, and some have it once in a tree only.
    let (first, second) = (leaf(&plain, &plain), leaf(&plain, rule));
    let script = [
        root("lo"),
        class_with("lo", 1, &first),
        class_with("lo", 2, &second),
        class_with("lo", 3, &second),
    ];
    let tried = tc(&scratch, &script.concat());
    let removed = ip(None, &format!("netns delete {scratch}\n"));
    tried.and(removed)?;
    Ok(())
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_command() {
        let script = "link add name a\nlink set dev b up\n";
        let said = "Cannot find device \"b\"\nCommand failed -:2\n";
        assert_eq!(blamed(script, said), " link set dev b up");
        assert_eq!(blamed(script, "Error: odd.\nCommand failed -:0\n"), "");
        assert_eq!(blamed(script, "Error: odd.\n"), "");
    }

    #[test]
    fn a_tool_that_is_missing_is_named() {
        let error = run("synod-no-such-tool", &[], "").unwrap_err().to_string();
        let expected =
            "'synod-no-such-tool' of iproute2 can not be started; it is mostly in /usr/sbin";
        assert_eq!(error, expected);
    }
}
