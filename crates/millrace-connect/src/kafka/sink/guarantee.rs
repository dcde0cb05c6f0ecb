//! How surely each row arrives.

use std::str::FromStr;

use millrace_core::{Error, Result};

/// The option `sink.delivery-guarantee`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryGuarantee {
    /// Rows are queued and forgotten: those in the queue are lost when the process dies, and rows
    /// since the last checkpoint are written again.
    None,
    /// A checkpoint waits until all rows before it are delivered. Rows since the last checkpoint
    /// are written again after a crash.
    #[default]
    AtLeastOnce,
    /// The rows of a checkpoint are one transaction. Readers with `read_committed` see each once.
    ExactlyOnce,
}

impl FromStr for DeliveryGuarantee {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "none" => Ok(Self::None),
            "at-least-once" => Ok(Self::AtLeastOnce),
            "exactly-once" => Ok(Self::ExactlyOnce),
            other => Err(Error::fix_input(format!("`{other}` is not a delivery guarantee"))
                .hint("use `exactly-once`, `at-least-once` or `none`")),
        }
    }
}
