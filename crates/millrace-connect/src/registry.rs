//! All connectors by name.

use millrace_core::{Error, Result};

use crate::Connector;
use crate::blackhole::Blackhole;
use crate::datagen::Datagen;
use crate::filesystem::Filesystem;
#[cfg(feature = "kafka")]
use crate::kafka::{Kafka, UpsertKafka};
use crate::print::Print;

/// One line for each.
const CONNECTORS: &[&dyn Connector] = &[
    &Blackhole,
    &Datagen,
    &Filesystem,
    #[cfg(feature = "kafka")]
    &Kafka,
    &Print,
    #[cfg(feature = "kafka")]
    &UpsertKafka,
];

/// The connector called `name`.
///
/// ```
/// use millrace_connect::registry::connector;
///
/// assert_eq!(connector("datagen").unwrap().name(), "datagen");
/// let error = connector("kafak").err().unwrap();
/// assert_eq!(error.message(), "connector `kafak` is not known");
/// ```
///
/// # Errors
/// `FixInput` with the known names as a hint.
pub fn connector(name: &str) -> Result<&'static dyn Connector> {
    CONNECTORS.iter().find(|connector| connector.name() == name).copied().ok_or_else(|| {
        let known: Vec<&str> = CONNECTORS.iter().map(|connector| connector.name()).collect();
        Error::fix_input(format!("connector `{name}` is not known"))
            .hint(format!("known here: {}", known.join(", ")))
    })
}
