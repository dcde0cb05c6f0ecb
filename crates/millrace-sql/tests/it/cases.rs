//! Data-driven cases: a script, `----`, and what comes of it; cases are divided by a line of `=`.
//!
//! With `UPDATE_CASES=1` in the environment the files are rewritten with what comes now; read the
//! difference before committing it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support;

const DIVIDER: &str = "\n================\n";
const ARROW: &str = "\n----\n";

/// What comes of a script, as the files have it.
fn planned(script: &str) -> String {
    match support::plan(script) {
        // Which connectors there are depends on who else is built along: with the whole workspace
        // those of topics come in.
        Err(error) => format!("{}\n", error.render()).replace(
            "known here: blackhole, datagen, filesystem, kafka, print, upsert-kafka",
            "known here: blackhole, datagen, filesystem, print",
        ),
        Ok(planned) => {
            let mut text = String::new();
            for explained in &planned.explained {
                let _ = write!(text, "explained:\n{}", explained.text);
            }
            text.push_str(&planned.explain.text);
            for (key, value) in &planned.settings {
                let _ = writeln!(text, "setting: {key} = {value}");
            }
            for warning in &planned.warnings {
                let _ = writeln!(text, "warning: {warning}");
            }
            text
        }
    }
}

fn check(path: &Path) -> Result<(), String> {
    let file = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let (mut rewritten, mut failures) = (Vec::new(), String::new());
    for case in file.trim_end().split(DIVIDER) {
        let (script, expected) =
            case.split_once(ARROW).unwrap_or((case.trim_end_matches("\n----"), ""));
        let found = planned(script);
        if found.trim_end() != expected.trim_end() && !update {
            let _ = writeln!(
                failures,
                "{}:\n{script}\nexpected:\n{expected}\nfound:\n{found}",
                path.display()
            );
        }
        rewritten.push(format!("{script}{ARROW}{}", found.trim_end()));
    }
    if update {
        fs::write(path, rewritten.join(DIVIDER) + "\n").map_err(|error| error.to_string())?;
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn check_all(folder: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    let failures: Vec<String> = paths.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn scripts_are_planned_as_their_cases_say() {
    check_all("plans");
}

#[test]
fn scripts_are_refused_as_their_cases_say() {
    check_all("errors");
}

#[test]
fn the_examples_are_planned_without_a_warning() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
    let scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    for script in scripts {
        let text = fs::read_to_string(&script).expect("a script");
        let planned = support::plan(&text)
            .unwrap_or_else(|error| panic!("{}: {}", script.display(), error.render()));
        assert_eq!(planned.warnings, Vec::<String>::new(), "{}", script.display());
        planned.graph.validate().unwrap_or_else(|error| panic!("{}", error.full_report()));
    }
}

#[test]
fn deep_expressions_are_planned_or_refused_but_never_overflow_the_stack() {
    let table = "CREATE TABLE t (a INT, b BOOLEAN) WITH ('connector' = 'datagen', 'number-of-rows' = '1');\n";
    let chain =
        |operators: usize| format!("{table}SELECT a{} AS c FROM t;", " + a".repeat(operators));
    support::plan(&chain(200)).unwrap_or_else(|error| panic!("{}", error.render()));
    for script in [
        chain(400),
        chain(100_000),
        format!("{table}SELECT {}b AS c FROM t;", "NOT ".repeat(50_000)),
        format!("{table}SELECT {}a{} AS c FROM t;", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{table}SELECT {}a AS c FROM t;", "- ".repeat(50_000)),
    ] {
        match support::plan(&script) {
            Ok(_) => {}
            Err(error) => assert!(error.message().contains("nested"), "{}", error.message()),
        }
    }
}
