//! `millrace explain`: how a script would run.

use indicatif::ProgressBar;
use millrace_core::seam::Seams;

use crate::args::ExplainArguments;
use crate::failure::Failure;
use crate::output::{OutputFormat, Screen};
use crate::script::{self, Script};
use crate::stderr::say;
use crate::stdout;

/// Plans the script and prints the plan. Tables are opened as far as planning needs it; nothing is
/// read or written.
pub(crate) fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let script = Script::read(&arguments.script.file)?;
    let seams = Seams::system();
    let nowhere = Screen::start(Box::new(std::io::sink()), ProgressBar::hidden(), &seams);
    let settings = script::settings_of(&arguments.script);
    let planned = script.plan(settings, &nowhere, OutputFormat::Table)?;
    for warning in &planned.warnings {
        say!("warning: {warning}");
    }
    if arguments.json {
        return stdout::print(&format!("{:#}\n", planned.explain.json));
    }
    stdout::print(&planned.explain.text)
}
