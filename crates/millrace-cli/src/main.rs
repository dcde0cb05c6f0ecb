//! The `millrace` binary: run, explain and inspect streaming jobs.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 success, 1 the
//! operation failed, 2 wrong arguments or a wrong script. A reader that closes the pipe ends the
//! command quietly (code 0), and a standard error that can't be written ends nothing.

#![warn(clippy::print_stderr, clippy::print_stdout)]

mod args;
mod checkpoint;
mod duration;
mod explain;
mod failure;
#[cfg(feature = "kafka")]
mod log;
mod metrics;
mod numbers;
mod output;
mod progress;
mod run;
mod script;
mod signals;
mod stderr;
mod stdout;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use millrace_core::Error;
use tracing_subscriber::filter::LevelFilter;

use args::{Arguments, Command};
use failure::Failure;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(other) => return told_by_clap(&other),
    };
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// What was asked for instead of a command (`--help`), or what is wrong with the arguments.
fn told_by_clap(told: &clap::Error) -> ExitCode {
    match told.print() {
        Err(cause) if !told.use_stderr() => stdout::failure(cause).tell(),
        _ => ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(2)),
    }
}

fn start(arguments: Arguments) -> Result<(), Failure> {
    log_to_stderr()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|cause| {
            Failure::operation(&Error::retry("cannot start the worker threads").caused_by(cause))
        })?;
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Explain(arguments) => explain::explain(&arguments),
            Command::Checkpoint(command) => checkpoint::checkpoint(command).await,
            #[cfg(feature = "kafka")]
            Command::Log(command) => log::log(command).await,
        }
    });
    // The end of the process ends the worker threads, even one that is blocked in a write to a pipe
    // that nobody reads. Shutting them down first would let a task panic that is about to sleep.
    std::mem::forget(runtime);
    ended
}

/// What the engine logs; warnings unless `MILLRACE_LOG` says otherwise.
fn log_to_stderr() -> Result<(), Failure> {
    let level = match std::env::var("MILLRACE_LOG") {
        Ok(level) => level.parse().map_err(|_| {
            Failure::misuse(format!(
                "MILLRACE_LOG cannot be `{level}`\n  hint: use error, warn, info, debug, trace or off"
            ))
        })?,
        Err(_) => LevelFilter::WARN,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| stderr::Unfailing)
        .with_ansi(false)
        .without_time()
        .init();
    Ok(())
}
