//! What partitions need from time to time, beside their clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Broker;
use crate::config::FsyncPolicy;
use crate::error::Result;
use crate::storage::PartitionLog;
