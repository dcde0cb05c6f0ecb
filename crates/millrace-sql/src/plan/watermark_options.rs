//! Options of any table that is read: how its watermarks go with those of others.

use std::time::Duration;

use millrace_core::{Error, Result};
use millrace_runtime::graph::WatermarkAlignment;

use crate::planner::Table;
use crate::settings;

/// What the `scan.watermark.…` options of a table say. Unknown ones are left to the connector, which
/// refuses what it does not know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WatermarkOptions {
    /// Instead of `table.exec.source.idle-timeout`; zero means never.
    pub idle_timeout: Option<Duration>,
    pub alignment: Option<WatermarkAlignment>,
}

const ALIGNMENT: &str = "scan.watermark.alignment.";
const GROUP: &str = "scan.watermark.alignment.group";
const MAX_DRIFT: &str = "scan.watermark.alignment.max-drift";
const UPDATE_INTERVAL: &str = "scan.watermark.alignment.update-interval";
const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";

impl WatermarkOptions {
    /// # Errors
    /// `FixInput` for a value that cannot be, an alignment without its group or drift, and for a
    /// table that has no watermarks.
    pub fn of(table: &Table) -> Result<Self> {
        let options = &table.spec.options;
        let given = options.names_under("scan.watermark.");
        let has = |name: &str| given.iter().any(|given| given == name);
        let mut found = WatermarkOptions::default();
        if has(IDLE_TIMEOUT) {
            found.idle_timeout = Some(duration(options, IDLE_TIMEOUT)?);
        }
        if given.iter().any(|name| name.starts_with(ALIGNMENT)) {
            let group = options.required::<String>(GROUP)?;
            if !has(MAX_DRIFT) {
                return Err(Error::fix_input(format!("option `{MAX_DRIFT}` is missing"))
                    .hint("say how far a split may be ahead in event time, such as `30 s`"));
            }
            let max_drift = duration(options, MAX_DRIFT)?;
            if has(UPDATE_INTERVAL) {
                // Members of a group see each other at once; there is nothing to be updated.
                duration(options, UPDATE_INTERVAL)?;
            }
            found.alignment = Some(WatermarkAlignment { group, max_drift });
        }
        if found != WatermarkOptions::default() && table.watermark.is_none() {
            let name = given.first().map_or(ALIGNMENT, String::as_str);
            return Err(Error::fix_input(format!(
                "option `{name}` needs a watermark, and table `{}` has none",
                table.name
            ))
            .hint("declare `WATERMARK FOR …`, or leave the option out"));
        }
        Ok(found)
    }
}

fn duration(options: &millrace_connect::Options, name: &str) -> Result<Duration> {
    let text = options.required::<String>(name)?;
    settings::duration(&text).ok_or_else(|| {
        Error::fix_input(format!("option `{name}` cannot be `{text}`"))
            .hint("use a number and a unit, such as `30 s` or `5 min`")
    })
}
