use std::time::Duration;

use millrace_core::ErrorKind;
use millrace_core::seam::Seams;
use millrace_runtime::*;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_midway_restarts_and_neither_loses_nor_doubles_a_row() {
    for (calls, panic) in [(1, false), (20, false), (60, true), (90, false)] {
        let (source, target) = (ListSource::even(3, 400), Target::default());
        let fuse = Fuse::after(calls, panic);
        let job = job(graph(source.clone(), &target, [2, 2, 1], Some(fuse)), &memory());
        let report = job.run().await.unwrap();
        assert_eq!((report.outcome, report.restarts), (Outcome::Finished, 1));
        assert_eq!(target.rows(), source.rows(), "failed at call {calls}");
        let sink = &report.ledger.lines[2].counts;
        assert_eq!((sink.rows_in, sink.passed), (1_200, 1_200), "the ledger counts each row once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_cut_short_at_once_is_resumed_by_another() {
    let (source, target, store) = (ListSource::even(2, 5_000), Target::default(), memory());
    let mut cut = 0;
    loop {
        let job = job(graph(source.clone(), &target, [2, 3, 2], None), &store);
        let watch = job.watch();
        let mut events = watch.events();
        let canceller = async {
            let mut completed = 0;
            while let Ok(event) = events.recv().await {
                completed += usize::from(matches!(event, JobEvent::CheckpointCompleted { .. }));
                if completed == 2 {
                    watch.cancel();
                }
            }
        };
        let report = tokio::select! { report = job.run() => report.unwrap(), () = canceller => unreachable!() };
        if report.outcome != Outcome::Cancelled {
            break;
        }
        cut += 1;
    }
    assert!(cut > 0, "the job was never caught running");
    assert_eq!(target.rows(), source.rows());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_restarts_the_first_failure_is_told_with_the_operator_that_failed() {
    let graph =
        graph(ListSource::even(1, 100), &Target::default(), [1, 2, 1], Some(Fuse::after(3, false)));
    let options = JobOptions { restart: RestartStrategy::Never, ..options() };
    let error =
        Job::new(graph, options, memory(), Seams::system()).unwrap().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    let text = error.message();
    assert!(text.starts_with("`hold (") && text.ends_with("the fuse blew"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bug_that_is_met_again_ends_the_job_and_what_may_pass_is_tried_to_the_end() {
    for (panic, kind, restarts) in [(true, ErrorKind::Report, 1), (false, ErrorKind::Retry, 3)] {
        let fuse = Fuse::always(panic);
        let graph = graph(ListSource::even(1, 100), &Target::default(), [1, 1, 1], Some(fuse));
        let delay = Duration::from_millis(1);
        let mut options =
            JobOptions { restart: RestartStrategy::FixedDelay { attempts: 3, delay }, ..options() };
        options.checkpoints.interval = Duration::from_secs(600);
        let job = Job::new(graph, options, memory(), Seams::system()).unwrap();
        let watch = job.watch();
        let error = job.run().await.unwrap_err();
        assert_eq!((error.kind(), watch.restarts()), (kind, restarts), "{error}");
    }
}

#[tokio::test]
async fn a_changed_job_is_not_given_the_state_of_another() {
    let (source, target, store) = (ListSource::even(1, 10), Target::default(), memory());
    job(graph(source.clone(), &target, [1, 1, 1], None), &store).run().await.unwrap();
    let mut changed = graph(source, &target, [1, 1, 1], None);
    changed.nodes[1].id = millrace_core::OperatorId::new("other");
    let error = job(changed, &store).run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.message().contains("holds `hold`, which the job no longer has"), "{error}");
}

/// A source that asks somebody who never answers.
struct Unanswered;

#[async_trait::async_trait]
impl millrace_core::Source for Unanswered {
    fn boundedness(&self) -> millrace_core::Boundedness {
        millrace_core::Boundedness::Bounded
    }

    async fn discover(&self) -> millrace_core::Result<Vec<millrace_core::Split>> {
        std::future::pending().await
    }

    async fn open(
        &self,
        split: &millrace_core::Split,
        _: &millrace_core::ReaderContext,
    ) -> millrace_core::Result<Box<dyn millrace_core::SplitReader>> {
        Err(millrace_core::Error::report(format!("{} was never found", split.id)))
    }
}

#[tokio::test]
async fn a_job_whose_source_still_looks_for_its_splits_can_be_stopped() {
    for (cancel, outcome) in [(false, Outcome::Stopped), (true, Outcome::Cancelled)] {
        let mut graph = graph(ListSource::even(1, 10), &Target::default(), [1, 1, 1], None);
        if let NodeKind::Source(source) = &mut graph.nodes[0].kind {
            source.source = std::sync::Arc::new(Unanswered);
        }
        let job = job(graph, &memory());
        let watch = job.watch();
        let stopping = async {
            Seams::system().clock.sleep(Duration::from_millis(10)).await;
            if cancel { watch.cancel() } else { watch.stop() }
        };
        let (report, ()) = tokio::join!(job.run(), stopping);
        assert_eq!(report.unwrap().outcome, outcome);
    }
}
