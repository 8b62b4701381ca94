//! What is asked of the system, through `ip` and `tc`.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

/// Runs commands of `ip`, one a line, as if in a namespace.
pub(super) fn ip(namespace: Option<&str>, script: &str) -> Result<String> {
    let inside = namespace.map_or(vec![], |namespace| vec!["-netns", namespace]);
    run("ip", &[&inside[..], &["-batch", "-"]].concat(), script)
}

/// Runs commands of `ip` that take something away, all of them, whether or not one fails.
/// Fails if something is left.
pub(super) fn remove(script: &str) -> Result<()> {
    let output = feed("ip", &["-force", "-batch", "-"], script)?;
    let left = left(&complaint(&output));
    anyhow::ensure!(output.status.success() || left.is_empty(), "{left}");
    Ok(())
}

/// Runs commands of `tc`, one a line, as if in a namespace.
pub(super) fn tc(namespace: &str, script: &str) -> Result<String> {
    run("tc", &["-netns", namespace, "-statistics", "-batch", "-"], script)
}

/// Runs them all as far as that goes.
pub(super) fn tc_all(namespace: &str, script: &str) {
    let _ = feed("tc", &["-netns", namespace, "-force", "-batch", "-"], script);
}

/// Makes a namespace of that name; false if there is one.
pub(super) fn claim(namespace: &str) -> Result<bool> {
    match ip(None, &format!("netns add {namespace}\n")) {
        Ok(_) => Ok(true),
        Err(error) if format!("{error:#}").contains("File exists") => Ok(false),
        Err(error) => Err(error),
    }
}

fn run(program: &str, args: &[&str], script: &str) -> Result<String> {
    let output = feed(program, args, script)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = complaint(&output);
    let reason = said.split("Command failed").next().unwrap_or_default().trim();
    anyhow::bail!("{program}{}: {reason}", blamed(script, &said))
}

fn feed(program: &str, args: &[&str], script: &str) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for us, and not for what takes away what we made.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().with_context(|| {
        format!("'{program}' of iproute2 can not be started; it is mostly in /usr/sbin")
    })?;
    let mut stdin = child.stdin.take().context("a process without stdin")?;
    // It answers little before it has read all. One that ends early says why.
    let _ = stdin.write_all(script.as_bytes());
    drop(stdin);
    Ok(child.wait_with_output()?)
}

/// What it says. Who is killed says nothing.
fn complaint(output: &Output) -> String {
    match output.stderr.is_empty() {
        true => output.status.to_string(),
        false => String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The first command that failed.
fn blamed(script: &str, said: &str) -> String {
    let number = said.split_once("Command failed -:").map(|(_, rest)| rest.trim_start());
    let digits = number.map(|rest| rest.chars().take_while(char::is_ascii_digit));
    let number: Option<usize> = digits.and_then(|digits| digits.collect::<String>().parse().ok());
    let line = number.and_then(|number| script.lines().nth(number.checked_sub(1)?));
    line.map_or_else(String::new, |line| format!(" {line}"))
}

/// What was said of things that are still there.
fn left(said: &str) -> String {
    let is_gone = |line: &str| {
        line.starts_with("Cannot find device") || line.ends_with("No such file or directory")
    };
    let lines = said.lines().filter(|line| !is_gone(line) && !line.starts_with("Command failed"));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(unix)]
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub(super) fn is_root() -> bool {
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

    #[test]
    #[cfg(unix)]
    fn one_that_is_killed_is_told() {
        // Not by SIGINT: who runs the tests may have had it ignored.
        let error = run("sh", &["-c", "kill -KILL $$"], "").unwrap_err().to_string();
        assert_eq!(error, "sh: signal: 9 (SIGKILL)");
    }

    #[test]
    fn what_is_left_is_told_and_what_is_gone_is_not() {
        let gone = "Cannot find device \"client\"\nCommand failed -:1\n\
                    Cannot remove namespace file \"/run/netns/a\": No such file or directory\n\
                    Command failed -:2\n";
        assert_eq!(left(gone), "");
        let one = "Cannot remove namespace file \"/run/netns/b\": Device or resource busy";
        let other = "RTNETLINK answers: Operation not permitted";
        let said = format!("{gone}{one}\nCommand failed -:3\n{other}\nCommand failed -:4\n");
        assert_eq!(left(&said), format!("{one}; {other}"));
    }
}
