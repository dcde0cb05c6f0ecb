//! SQL jobs over topics of an embedded log: whole outputs.

mod dead_letters;
mod joined;
mod metadata;
mod unreachable;
mod upserts;
mod watermarks;

use crate::harness::{Ended, run_script};
use crate::log::Log;

/// The script with the options that reach the log in the place of each `@`.
fn with_log(log: &Log, script: &str) -> String {
    let options =
        format!("'connector' = 'kafka', 'properties.bootstrap.servers' = '{}'", log.address);
    script.replace('@', &options)
}

/// Runs a script in which `@` stands for the options that reach the log.
fn job(log: &Log, script: &str, arguments: &str) -> Ended {
    run_script(log.directory.path(), &with_log(log, script), arguments)
}

/// What reads a topic from its first record to the last that is there.
const ALL: &str = "'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'";
