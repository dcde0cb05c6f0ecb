//! `millrace checkpoint list` and `millrace checkpoint inspect`.

mod inspect;
mod list;

use millrace_checkpoint::CheckpointKind;

use crate::args::CheckpointCommand;
use crate::failure::Failure;

/// Runs the command; its output goes to standard output.
pub(crate) async fn checkpoint(command: CheckpointCommand) -> Result<(), Failure> {
    match command {
        CheckpointCommand::List(arguments) => list::list(&arguments).await,
        CheckpointCommand::Inspect(arguments) => inspect::inspect(&arguments).await,
    }
}

fn kind_name(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Periodic => "periodic",
        CheckpointKind::Stop => "stop",
        CheckpointKind::Final => "final",
    }
}
