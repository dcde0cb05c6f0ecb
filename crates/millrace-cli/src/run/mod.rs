//! `millrace run`: from a script to a job and its end.

mod notices;
mod options;
mod store;

use std::future::Future;
use std::io::{IsTerminal, stdout};
use std::pin::pin;

use indicatif::ProgressBar;
use millrace_core::seam::Seams;
use millrace_core::{ErrorKind, Result};
use millrace_runtime::{Job, JobReport, JobWatch, Outcome};
use millrace_sql::PlannedScript;
use tokio::sync::broadcast::error::RecvError;

use crate::args::RunArguments;
use crate::failure::Failure;
use crate::metrics::MetricsServer;
use crate::output::Screen;
use crate::progress::{Progress, TICK, progress_line};
use crate::script::Script;
use crate::stdout;
use crate::summary::summary;

use crate::signals::Signals;
use notices::Notices;

/// Runs the script as one job, until its input ends or a signal stops it.
pub(crate) async fn run(arguments: RunArguments) -> Result<(), Failure> {
    let seams = Seams::system();
    let script = Script::read(&arguments.script.file)?;
    let line = progress_line(arguments.quiet);
    let notices = Notices::new(line.clone(), arguments.quiet);
    // Rows and the line share a terminal, or have nothing to do with each other: a pipe that blocks
    // must not hold up the line, nor whoever waits for Ctrl-C.
    let shared = if stdout().is_terminal() { line.clone() } else { ProgressBar::hidden() };
    let screen = Screen::start(Box::new(stdout()), shared, &seams);
    let settings = options::settings_of(&arguments);
    let planned = script.plan(settings, &screen, arguments.output)?;
    for warning in &planned.warnings {
        notices.warn(warning);
    }
    for explanation in &planned.explained {
        stdout::print(&explanation.text)?;
    }
    if planned.graph.nodes.is_empty() && !planned.explained.is_empty() {
        return Ok(());
    }
    let ended = start(planned, &arguments, &notices, &seams, line.clone()).await;
    // Told to end at once: standard output may be what holds everything up.
    if let Err(failure) = &ended
        && failure.is_signal()
    {
        line.finish_and_clear();
        return ended.map(|_| ());
    }
    // What was selected is out before the summary, and before the process ends.
    let shown = screen.flush().await;
    line.finish_and_clear();
    if screen.closed() {
        return Err(Failure::quietly());
    }
    let (report, durable) = ended?;
    shown.map_err(|error| Failure::operation(&error))?;
    notices.note(&summary(&report, durable));
    if report.outcome == Outcome::AlreadyFinished {
        notices.note("nothing was left to do; run with --fresh to begin anew");
    }
    Ok(())
}

/// Runs the plan; says too whether its checkpoints outlive the process.
async fn start(
    planned: PlannedScript,
    arguments: &RunArguments,
    notices: &Notices,
    seams: &Seams,
    line: ProgressBar,
) -> Result<(JobReport, bool), Failure> {
    let wrong = |error| Failure::before_running(&error);
    let mut signals = Signals::listen().map_err(|error| Failure::operation(&error))?;
    let options = options::job_options(&planned.settings, arguments).map_err(wrong)?;
    let directory = planned.settings.get(options::CHECKPOINT_DIR).map(String::as_str);
    let own = store::open_own(directory, arguments, notices).await.map_err(wrong)?;
    let mut job =
        Job::new(planned.graph, options, own.store.clone(), seams.clone()).map_err(wrong)?;
    if let Some(uri) = &arguments.restore {
        let given = store::open_given(uri, &own.store, notices).await.map_err(wrong)?;
        if let Some((manifest, store)) = given {
            job = job.restore_from(manifest, store);
        }
    }
    let watch = job.watch();
    let _server = match &arguments.metrics {
        Some(address) => {
            let server =
                MetricsServer::start(address, watch.clone(), seams).await.map_err(wrong)?;
            notices.note(&format!("metrics at http://{}/metrics", server.address()));
            Some(server)
        }
        None => None,
    };
    let report = attend(job.run(), &watch, notices, &mut signals, seams, &line).await?;
    Ok((report, own.store.is_durable()))
}

/// Waits for the job's end, and meanwhile passes on what it tells and what the user wants.
async fn attend(
    running: impl Future<Output = Result<JobReport>>,
    watch: &JobWatch,
    notices: &Notices,
    signals: &mut Signals,
    seams: &Seams,
    line: &ProgressBar,
) -> Result<JobReport, Failure> {
    let mut running = pin!(running);
    let mut events = watch.events();
    let mut progress = Progress::default();
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            event = events.recv() => match event {
                Ok(event) => notices.tell(&event),
                Err(RecvError::Lagged(missed)) => notices.warn(&format!("{missed} messages were missed")),
                // The job holds the sender, and is still there.
                Err(RecvError::Closed) => {}
            },
            signal = signals.next() => {
                if stopping {
                    return Err(Failure::signal(signal));
                }
                stopping = true;
                notices.note("stopping with a last checkpoint; once more to stop at once");
                watch.stop();
            }
            () = seams.clock.sleep(TICK) => {
                line.set_message(progress.text(watch, seams.clock.elapsed()));
            }
        }
    };
    // What happened in the last moment is worth telling, too.
    while let Ok(event) = events.try_recv() {
        notices.tell(&event);
    }
    ended.map_err(|error| match error.kind() {
        // The rows of a table `print`. One of a connection is to be retried, and is an error.
        ErrorKind::FixInput if error.is_broken_pipe() => Failure::quietly(),
        _ => Failure::operation(&error),
    })
}
