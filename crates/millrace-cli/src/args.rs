//! The command line's grammar.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::duration::parse_duration;
use crate::output::OutputFormat;

/// A stream processor: Flink's SQL and semantics, one binary.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, max_term_width = 100)]
#[command(after_help = "Data goes to standard output, everything else to standard error.\n\
    Exit codes: 0 success, 1 the operation failed, 2 wrong arguments or a wrong script.\n\
    Environment: NO_COLOR turns colour off; MILLRACE_LOG=debug shows what the engine does;\n\
    MILLRACE_BOOTSTRAP is the address of the log that `millrace log` talks to.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a script as one job, until its input ends or it is stopped
    Run(RunArguments),
    /// Show how a script would run, without running it
    Explain(ExplainArguments),
    /// Look at the checkpoints of a job
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Serve and use the embedded log, or any Kafka: topics, records, consumer groups
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Log(crate::log::LogCommand),
}

/// What `run` and `explain` know of a script.
#[derive(Args, Debug)]
pub(crate) struct ScriptArguments {
    /// The script, in Flink SQL; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Subtasks of each operator [default: what the script SETs, or 1]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) parallelism: Option<usize>,

    /// Set an option as the script's SET does, over what it says; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) script: ScriptArguments,

    /// Keep checkpoints here, and go on from the newest complete one: a directory or `s3://…`
    #[arg(long, value_name = "URI")]
    pub(crate) checkpoint_dir: Option<String>,

    /// The time from one checkpoint to the next, such as `500ms`, `10s` or `1min` [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) checkpoint_interval: Option<Duration>,

    /// Begin from a checkpoint of another directory: the newest one there, or the one whose
    /// manifest is named. Once --checkpoint-dir has a checkpoint of its own, that one counts
    #[arg(long, value_name = "URI", conflicts_with = "fresh")]
    pub(crate) restore: Option<String>,

    /// Begin anew: delete the checkpoints in --checkpoint-dir
    #[arg(long, requires = "checkpoint_dir")]
    pub(crate) fresh: bool,

    /// Delete without asking
    #[arg(long, requires = "fresh")]
    pub(crate) yes: bool,

    /// How the rows of SELECTs are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,

    /// Rows a batch; small ones are slow
    #[arg(long, value_name = "N", value_parser = positive, default_value_t = 4_096)]
    pub(crate) batch_rows: usize,

    /// Serve /metrics (Prometheus), /ledger and /health here, such as `127.0.0.1:9090`
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,

    /// Nothing on standard error but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) script: ScriptArguments,

    /// The plan as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    /// List the checkpoints of a directory
    List(CheckpointArguments),
    /// Show what a checkpoint holds, and check that all its files are whole
    Inspect(CheckpointArguments),
}

#[derive(Args, Debug)]
pub(crate) struct CheckpointArguments {
    /// A checkpoint directory or `s3://…`; `inspect` takes its newest whole checkpoint, or the one
    /// whose manifest is named
    #[arg(value_name = "URI")]
    pub(crate) uri: String,

    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is not a whole number".to_owned()),
    }
}

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("it is not of the form KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn numbers_and_settings_are_checked_where_they_are_given() {
        assert_eq!(positive("0"), Err("it must be at least 1".to_owned()));
        assert!(positive("-1").is_err() && positive("x").is_err());
        assert_eq!(key_value("a.b = c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert!(key_value("a").is_err() && key_value("=b").is_err());
    }

    #[test]
    fn what_only_makes_sense_together_is_asked_for_together() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).map(|_| ());
        parse("millrace run a.sql --checkpoint-dir c --fresh --yes").unwrap();
        for line in [
            "millrace run a.sql --fresh",
            "millrace run a.sql --checkpoint-dir c --yes",
            "millrace run a.sql --checkpoint-dir c --fresh --restore d",
            "millrace run",
            "millrace run a.sql --output xml",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
