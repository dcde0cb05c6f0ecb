use millrace_core::seam::Seams;
use millrace_runtime::*;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_arrives_once_at_any_parallelism_and_batch_size() {
    for parallelism in [[1, 1, 1], [2, 1, 2], [1, 3, 1], [4, 3, 3], [3, 3, 3]] {
        for (batch_rows, chaining) in [(1, true), (7, false), (4_096, true)] {
            let source = ListSource::even(3, 200);
            let target = Target::default();
            let graph = graph(source.clone(), &target, parallelism, None);
            let options = JobOptions { batch_rows, chaining, ..options() };
            let job = Job::new(graph, options, memory(), Seams::system()).unwrap();
            let report = job.run().await.unwrap();
            assert_eq!(report.outcome, Outcome::Finished);
            assert_eq!(target.rows(), source.rows(), "{parallelism:?}, {batch_rows}");
            assert_eq!(report.rows_read, 600);
            let sink = &report.ledger.lines[2].counts;
            assert_eq!((sink.rows_in, sink.passed, sink.absorbed), (600, 600, 0));
        }
    }
}

#[tokio::test]
async fn a_source_without_splits_ends_at_once() {
    let target = Target::default();
    let report = job(graph(ListSource::bounded(Vec::new()), &target, [2, 2, 1], None), &memory())
        .run()
        .await
        .unwrap();
    assert_eq!((report.outcome, report.rows_read), (Outcome::Finished, 0));
    assert!(report.checkpoint.is_some(), "the final checkpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_that_is_run_again_says_so_and_writes_nothing() {
    let (source, target, store) = (ListSource::even(2, 50), Target::default(), memory());
    job(graph(source.clone(), &target, [1, 2, 1], None), &store).run().await.unwrap();
    let again = job(graph(source.clone(), &target, [2, 1, 1], None), &store).run().await.unwrap();
    assert_eq!((again.outcome, again.rows_read), (Outcome::AlreadyFinished, 0));
    assert_eq!(target.rows(), source.rows());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_job_goes_on_where_it_stopped_at_another_parallelism() {
    let (source, target, store) = (ListSource::even(3, 2_000), Target::default(), memory());
    let mut stops = 0;
    for parallelism in [[1, 1, 1], [2, 3, 1], [3, 2, 2], [1, 4, 4]].into_iter().cycle() {
        let job = job(graph(source.clone(), &target, parallelism, None), &store);
        let watch = job.watch();
        let mut events = watch.events();
        let stopper = async {
            while let Ok(event) = events.recv().await {
                if matches!(event, JobEvent::CheckpointCompleted { .. }) && stops < 6 {
                    watch.stop();
                }
            }
        };
        let report = tokio::select! { report = job.run() => report.unwrap(), () = stopper => unreachable!() };
        if report.outcome != Outcome::Stopped {
            break;
        }
        stops += 1;
        let sink = &report.ledger.lines[2].counts;
        assert_eq!(sink.absorbed, 0, "all that was written is committed");
        assert!(target.rows().len() as u64 == sink.passed);
    }
    assert!(stops > 0, "the job was never caught running");
    assert_eq!(target.rows(), source.rows());
}

#[tokio::test]
async fn a_graph_with_one_id_twice_is_refused() {
    let mut graph = graph(ListSource::even(1, 1), &Target::default(), [1, 1, 1], None);
    graph.nodes[1].id = graph.nodes[0].id.clone();
    let error = Job::new(graph, options(), memory(), Seams::system()).err().unwrap();
    assert_eq!(error.message(), "two operators of job `test` have the id `rows`");
}
