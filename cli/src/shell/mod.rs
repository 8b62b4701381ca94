//! `synod shell`: transactions as they are typed, or from a script.
//!
//! ```text
//!   input ── a thread that reads lines: a terminal with history and completion,
//!     │      a pipe, or a file
//!     ▼
//!   command ── what a line says        session ── does it, in the open
//!                                                 transaction or one of its own
//! ```
//!
//! Reading has a thread of its own so that locks do not lapse while nobody
//! types. A script ends at its first error, with exit code 1.

mod command;
mod input;
mod session;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cmd::Global;
use crate::connect;

use command::Command;
use input::Input;
use session::Session;

/// What `help` prints.
const HELP: &str = r"begin [LEVEL] [auto|2pc|3pc|paxos|paxos-faster|3pc-classical]
                                  begin a transaction; without one, every command is its own;
                                  LEVEL is serializable, snapshot, read-committed, optimistic
get KEY                           read a key, within a transaction as its level says
get-for-update KEY                read a key, under an update lock: others may read it, too
put KEY VALUE                     write a key
delete KEY                        delete a key
add | min | max KEY N             add to an integer cell, or lower or raise it to N
append KEY BYTES                  put bytes behind the value of a key
scan A B [--limit N] [--reverse]  read the keys from A up to, not including, B
lock KEY [shared|update|exclusive] [nowait]
lock A B [shared|update|exclusive] [nowait]
                                  lock a key, or the keys from A up to B, without reading
savepoint NAME                    remember this place in the transaction
rollback-to NAME                  undo what was done since
commit | abort                    end the transaction
at TIMESTAMP | at now             read as of a past timestamp, or the present again
outcome TXN                       what became of a transaction
status                            how the cluster is
help | exit

\xNN stands for any byte, \\ for a backslash; put what has spaces between double quotes.
";

/// Runs the shell on a file, a pipe, or a terminal.
///
/// # Errors
/// If the file can not be read, the cluster not reached, or a script fails.
pub fn run(script: Option<&Path>, global: &Global) -> Result<ExitCode> {
    let input = Input::open(script)?;
    connect::with(global, async |db| {
        let mut session = Session::new(db, global.json);
        let result = converse(&mut session, input).await;
        session.close();
        result
    })
}

async fn converse(session: &mut Session, mut input: Input) -> Result<ExitCode> {
    while let Some(line) = input.next(session.prompt()).await? {
        let result = match Command::parse(&line.text) {
            Ok(None) => continue,
            Ok(Some(Command::Exit)) => break,
            Ok(Some(Command::Help)) => io::stdout().write_all(HELP.as_bytes()).map_err(Into::into),
            Ok(Some(command)) => session.execute(command).await,
            Err(error) => Err(error),
        };
        io::stdout().flush()?;
        if let Err(error) = result {
            if !input.is_terminal() {
                bail!("line {}: {error:#}", line.number);
            }
            eprintln!("synod: {error:#}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
