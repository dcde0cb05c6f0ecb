//! `millrace log serve`: the embedded log for other processes.

use millrace_core::Error;
use millrace_core::seam::Seams;
use millrace_log::{Broker, BrokerConfig, LogError, Server, TlsFiles};

use super::args::ServeArguments;
use super::embedded;
use crate::failure::Failure;
use crate::numbers::{bytes, counted, lasting};
use crate::signals::Signals;
use crate::stderr::say;

/// Serves until a signal comes; a second one ends it at once.
pub(super) async fn serve(arguments: &ServeArguments, seams: &Seams) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::operation(&error))?;
    let began = seams.clock.elapsed();
    let data = &arguments.data;
    let config = config(arguments)?;
    if let Some(files) = &config.tls {
        files.check().map_err(|error| {
            Failure::operation(&Error::fix_input(error.to_string()).hint(
                "--tls-certificate and --tls-key take PEM files: the server's certificate with \
                 those that signed it behind it, and its private key",
            ))
        })?;
    }
    let broker =
        Broker::open(config, seams.clone()).map_err(|error| embedded::failure(data, error))?;
    say!(
        "opened `{}` in {}: {}",
        data.display(),
        lasting(seams.clock.elapsed().saturating_sub(began)),
        holds(&broker)
    );
    let server = Server::start(broker).await.map_err(|error| listen_failure(arguments, error))?;
    say!("listening on {}", server.address());
    let first = signals.next().await;
    say!("stopping; once more to stop at once");
    tokio::select! {
        closed = server.shutdown() => closed.map_err(|error| embedded::failure(data, error))?,
        _ = signals.next() => return Err(Failure::signal(first)),
    }
    say!("stopped");
    Ok(())
}

/// What the directory holds, and what was cut off it.
fn holds(broker: &Broker) -> String {
    let topics = broker.topics().list();
    let own: Vec<_> = topics.iter().filter(|topic| !topic.internal).collect();
    let partitions = own.iter().map(|topic| topic.partitions().len() as u64);
    let mut text = format!(
        "{}, {}",
        counted(own.len() as u64, "topic"),
        counted(partitions.sum(), "partition")
    );
    let logs = topics.iter().flat_map(|topic| topic.partitions());
    match logs.map(|log| log.recovery().truncated_bytes).sum() {
        0 => {}
        torn => text
            .push_str(&format!("; cut off {} of writes that were never acknowledged", bytes(torn))),
    }
    text
}

fn config(arguments: &ServeArguments) -> Result<BrokerConfig, Failure> {
    let mut config = BrokerConfig::new(&arguments.data);
    config.listen.clone_from(&arguments.listen);
    config.advertised_host.clone_from(&arguments.advertised_host);
    config.fsync = arguments.fsync;
    config.auto_create_topics = !arguments.no_auto_create;
    config.default_partitions = arguments.partitions;
    config.sasl_mechanisms.clone_from(&arguments.sasl);
    config.acls = arguments.acls;
    config.super_users.clone_from(&arguments.super_users);
    let files = arguments.tls_certificate.clone().zip(arguments.tls_key.clone());
    config.tls = files.map(|(certificate, key)| TlsFiles { certificate, key });
    if let Some(connections) = arguments.max_connections {
        config.max_connections = connections;
    }
    if let Some(bytes) = arguments.max_request {
        config.max_request_bytes = bytes;
    }
    if let Some(bytes) = arguments.max_in_flight {
        config.max_in_flight_bytes = bytes;
    }
    let mut configs = arguments.configs.iter();
    configs
        .try_for_each(|(name, value)| config.limits.set(name, value))
        .and_then(|()| config.limits.check())
        .map_err(|error| Failure::operation(&Error::fix_input(format!("--config: {error}"))))?;
    Ok(config)
}

fn listen_failure(arguments: &ServeArguments, error: LogError) -> Failure {
    match error {
        LogError::Config(reason) => Failure::operation(
            &Error::fix_input(reason)
                .hint("give --listen an address of this machine and a free port; 0 takes one"),
        ),
        error => embedded::failure(&arguments.data, error),
    }
}
