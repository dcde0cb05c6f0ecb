//! Reading a script, and planning it with what the command line says about it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use millrace_core::{Error, KeyGroups};
use millrace_sql::{PlannedScript, SqlEnvironment, plan_script};

use crate::args::ScriptArguments;
use crate::failure::Failure;
use crate::output::{OutputFormat, Screen, SelectSink};

/// A script's text, and its name in messages.
pub(crate) struct Script {
    name: String,
    text: String,
}

impl Script {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> Result<Script, Failure> {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|cause| {
                Failure::before_running(
                    &Error::fix_input("cannot read a script from standard input").caused_by(cause),
                )
            })?;
            return Ok(Script { name: "<stdin>".to_owned(), text });
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Failure::before_running(
                &Error::fix_input(format!("cannot read the script `{name}`"))
                    .caused_by(cause)
                    .hint("paths are relative to the working directory"),
            )
        })?;
        Ok(Script { name, text })
    }

    /// Plans the script as one job. Rows of bare SELECTs go to `screen`; `settings` hold over the
    /// script's own.
    pub(crate) fn plan(
        &self,
        settings: Vec<(String, String)>,
        screen: &Screen,
        format: OutputFormat,
    ) -> Result<PlannedScript, Failure> {
        let (screen, selects) = (screen.clone(), AtomicUsize::new(0));
        let environment = SqlEnvironment {
            default_parallelism: 1,
            key_groups: KeyGroups::default(),
            settings,
            output: Arc::new(move |output| {
                let select = selects.fetch_add(1, Relaxed);
                Arc::new(SelectSink::new(screen.clone(), select, format, output))
            }),
        };
        plan_script(&self.text, &self.name, &environment)
            .map_err(|error| Failure::before_running(&error.into()))
    }
}

/// The settings that the command line gives, to hold over the script's own.
pub(crate) fn settings_of(arguments: &ScriptArguments) -> Vec<(String, String)> {
    let mut settings = arguments.settings.clone();
    if let Some(parallelism) = arguments.parallelism {
        settings.push(("parallelism.default".to_owned(), parallelism.to_string()));
    }
    settings
}
