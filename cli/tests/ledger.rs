//! The example `ledger`: a small made-up file always, and the bank's own file
//! where `SYNOD_LEDGER` says where it is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Cargo builds the examples along with the tests, beside the binaries.
fn ledger(path: &Path, flags: &[&str]) -> Output {
    let bin = Path::new(env!("CARGO_BIN_EXE_synod"));
    let name = format!("ledger{}", std::env::consts::EXE_SUFFIX);
    let example = bin.with_file_name("examples").join(name);
    let mut command = Command::new(&example);
    command.arg(path).args(flags).env("SYNOD_BIN", bin);
    command.output().unwrap_or_else(|error| panic!("{}: {error}", example.display()))
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

#[test]
fn replays_the_banks_file_through_a_kill() {
    let Some(path) = std::env::var_os("SYNOD_LEDGER").map(PathBuf::from) else {
        eprintln!("SKIPPED: the bank's file is not part of the repository;");
        eprintln!("SKIPPED: SYNOD_LEDGER=PATH names it, and then this test replays it");
        return;
    };
    assert!(path.is_file(), "SYNOD_LEDGER: {} is no file", path.display());
    let output = ledger(&path, &["--clients", "64", "--kill"]);
    println!("{}", text(&output));
    assert!(output.status.success(), "{}", text(&output));
}

/// A file in the bank's form, with rows of a day out of order and a rounding.
fn made_up(wrong: i64) -> String {
    let mut file = String::from(
        "\"trans_id\";\"account_id\";\"date\";\"type\";\"operation\";\"amount\";\"balance\";\
         \"k_symbol\";\"bank\";\"account\"\r\n",
    );
    for (day, date) in (1..).zip(930_101..930_111) {
        for account in 1..=40 {
            let id = day * 1000 + account * 2;
            let before = (day - 1) * 60;
            // The balances are those of the other order: first out, then in.
            let mut row = |id, kind, operation, amount, balance, symbol| {
                let _ = write!(
                    file,
                    "{id};{account};{date};\"{kind}\";\"{operation}\";{amount}.00;{balance}.10;\
                     \"{symbol}\";;\r\n"
                );
            };
            row(id, "PRIJEM", "VKLAD", 100, before + 60, "");
            let odd = if day == 5 && account == 7 { wrong } else { 0 };
            row(id + 1, "VYDAJ", "VYBER", 40 + odd, before - 40, "SLUZBY");
        }
    }
    file
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn replays_a_made_up_file_through_a_kill() {
    let path = write("ledger-right.asc", &made_up(0));
    let output = ledger(&path, &["--clients", "16", "--kill"]);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("every balance of every day is the bank's (400;"), "{text}");
}

#[test]
fn notices_a_wrong_balance() {
    let path = write("ledger-wrong.asc", &made_up(1));
    let output = ledger(&path, &["--clients", "16"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("account 7 ends 930105"), "{text}");
}
