//! `millrace log serve`.

use std::path::PathBuf;

use clap::Args;
use millrace_log::{FsyncPolicy, SaslMechanism};

use super::values::{fsync_policy, limit, partitions, size};
use crate::args::positive;

#[derive(Args, Debug)]
pub(crate) struct ServeArguments {
    /// Listen here; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9092")]
    pub(crate) listen: String,

    /// Keep topics here; made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".millrace/log")]
    pub(crate) data: PathBuf,

    /// The host that clients are told to connect to [default: that of --listen]
    #[arg(long, value_name = "HOST")]
    pub(crate) advertised_host: Option<String>,

    /// When records are forced to the disk: `always` before they are acknowledged, `never` leaves
    /// it to the system, `1s` at most that long after
    #[arg(long, value_name = "POLICY", default_value = "1s", value_parser = fsync_policy)]
    pub(crate) fsync: FsyncPolicy,

    /// Refuse topics that nobody created
    #[arg(long)]
    pub(crate) no_auto_create: bool,

    /// Partitions of a topic whose creator names no number
    #[arg(long, value_name = "N", value_parser = partitions, default_value_t = 1)]
    pub(crate) partitions: i32,

    /// Connections beyond this number are closed at once
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) max_connections: Option<usize>,

    /// A larger request closes its connection, such as `100MiB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_request: Option<usize>,

    /// Requests and responses in work take no more memory than this, such as `512MiB`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_in_flight: Option<usize>,

    /// A limit of groups or transactions under Kafka's name, such as `group.max.size=100`; may be
    /// repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = limit)]
    pub(crate) configs: Vec<(String, String)>,

    /// Let nobody in who has not proved who they are, by one of these mechanisms [default: all];
    /// see `millrace log user`
    #[arg(long, value_name = "MECHANISMS", value_delimiter = ',', require_equals = true,
        num_args = 0.., default_missing_value = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512")]
    pub(crate) sasl: Vec<SaslMechanism>,

    /// Encrypt connections, with the certificates of this file (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Let clients do only what access control lists allow, which `kafka-acls` changes
    #[arg(long)]
    pub(crate) acls: bool,

    /// A user who may do everything, whatever the lists say; may be repeated
    #[arg(long = "super-user", value_name = "NAME", requires = "acls")]
    pub(crate) super_users: Vec<String>,
}
