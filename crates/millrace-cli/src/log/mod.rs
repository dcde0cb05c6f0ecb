//! `millrace log`: topics, records and consumer groups of the embedded log, of Kafka, and of what
//! else speaks its protocol.

mod args;
mod attend;
mod client;
mod cluster;
mod columns;
mod confirm;
mod consume;
mod embedded;
mod groups;
mod mirror;
mod patience;
mod position;
mod produce;
mod reader;
mod record;
mod serve;
mod topic;
mod user;

use millrace_core::seam::Seams;

use crate::failure::Failure;
use args::ClusterArguments;
use cluster::Cluster;
use embedded::Making;

pub(crate) use args::LogCommand;

/// Runs the command; data goes to standard output.
pub(crate) async fn log(command: LogCommand) -> Result<(), Failure> {
    let seams = &Seams::system();
    match command {
        LogCommand::Serve(arguments) => serve::serve(&arguments, seams).await,
        LogCommand::Topic(command) => {
            let (log, making) = topic::log_of(&command);
            let run = async |cluster: &Cluster| topic::topic(command, cluster).await;
            with_log(log, making, seams, run).await
        }
        LogCommand::Produce(arguments) => {
            let (log, input) = (arguments.cluster.clone(), produce::check(&arguments)?);
            let run =
                async |cluster: &Cluster| produce::produce(arguments, input, cluster, seams).await;
            with_log(log, Making::Allowed, seams, run).await
        }
        LogCommand::Consume(arguments) => {
            consume::check(&arguments)?;
            let log = arguments.cluster.clone();
            let run = async |cluster: &Cluster| consume::consume(arguments, cluster, seams).await;
            with_log(log, Making::Refused, seams, run).await
        }
        LogCommand::Groups(command) => {
            let log = groups::log_of(&command);
            let run = async |cluster: &Cluster| groups::groups(command, cluster, seams).await;
            with_log(log, Making::Refused, seams, run).await
        }
        LogCommand::User(command) => user::user(command),
        LogCommand::Mirror(arguments) => mirror::mirror(arguments, seams).await,
    }
}

/// Runs a command against the log that the command line names. An embedded one that nobody serves
/// is served here while the command runs.
async fn with_log(
    arguments: ClusterArguments,
    making: Making,
    seams: &Seams,
    run: impl AsyncFnOnce(&Cluster) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ClusterArguments { bootstrap, data, properties } = arguments;
    let Some(data) = data else {
        let bootstrap = bootstrap.unwrap_or_else(cluster::default_bootstrap);
        return run(&Cluster::reach(bootstrap, properties, seams).await?).await;
    };
    let (server, address) = embedded::open(&data, making, seams).await?;
    let ended = run(&Cluster::reach(address, properties, seams).await?).await;
    match (server, &ended) {
        // Told to end at once: the next one to open the log recovers what is to be recovered.
        (Some(_), Err(failure)) if failure.is_signal() => ended,
        (Some(server), _) => {
            let closed = server.shutdown().await;
            ended?;
            closed.map_err(|error| embedded::failure(&data, error))
        }
        (None, _) => ended,
    }
}
