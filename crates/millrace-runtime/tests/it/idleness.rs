use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use millrace_core::Boundedness;
use millrace_runtime::*;

use crate::support::*;

/// Two splits; the second stops after some rows without ending.
fn half_silent() -> ListSource {
    let mut source = ListSource::even(2, 1_000);
    source.splits[0].truncate(100);
    source.pause_at = Some(100);
    source.boundedness = Boundedness::Unbounded { discovery_interval: None };
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_split_holds_the_watermark_until_it_is_idle() {
    let target = Target::default();
    let mut graph = graph(half_silent(), &target, [1, 2, 1], None);
    if let NodeKind::Source(source) = &mut graph.nodes[0].kind {
        source.idle_timeout = Some(Duration::from_millis(30));
    }
    let job = job(graph, &memory());
    let watch = job.watch();
    let mut events = watch.events();
    let listener = async {
        loop {
            if let JobEvent::SplitIdle { split, source } = events.recv().await.unwrap() {
                assert_eq!((split.as_str(), source.as_str()), ("1", "rows"));
                watch.stop();
                std::future::pending::<()>().await;
            }
        }
    };
    let report =
        tokio::select! { report = job.run() => report.unwrap(), () = listener => unreachable!() };
    assert_eq!(report.outcome, Outcome::Stopped);
    // Both splits had come to row 99 with a delay of 5; rows after 94 wait for event time.
    assert_eq!(target.rows().len(), 2 * 95);
}

/// Two readers come to a pause, one at half the event time of the other. When both have fallen
/// silent, what the one ahead had reached counts, whichever of them was the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_subtasks_are_silent_the_furthest_watermark_counts() {
    let target = Target::default();
    let mut source =
        ListSource::bounded(vec![(0..1_000).collect(), (0..1_000).map(|row| row / 2).collect()]);
    source.pause_at = Some(100);
    source.boundedness = Boundedness::Unbounded { discovery_interval: None };
    let mut graph = graph(source, &target, [2, 2, 1], None);
    if let NodeKind::Source(source) = &mut graph.nodes[0].kind {
        source.idle_timeout = Some(Duration::from_millis(30));
    }
    let job = job(graph, &memory());
    let watch = job.watch();
    let mut events = watch.events();
    let listener = async {
        let mut idle = 0;
        while idle < 2 {
            idle += usize::from(matches!(events.recv().await, Ok(JobEvent::SplitIdle { .. })));
        }
        watch.stop();
        std::future::pending::<()>().await;
    };
    let report =
        tokio::select! { report = job.run() => report.unwrap(), () = listener => unreachable!() };
    assert_eq!(report.outcome, Outcome::Stopped);
    // With a delay of 5, the first is at 94, the second at 44 with all of its rows.
    assert_eq!(target.rows().len(), 95 + 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_that_appears_later_is_found_and_read() {
    let target = Target::default();
    let mut source = ListSource::even(3, 100);
    source.visible = Arc::new(AtomicUsize::new(1));
    source.boundedness =
        Boundedness::Unbounded { discovery_interval: Some(Duration::from_millis(5)) };
    let visible = source.visible.clone();
    let store = memory();
    let job = job(graph(source, &target, [2, 1, 1], None), &store);
    let watch = job.watch();
    let mut events = watch.events();
    let listener = async {
        loop {
            match events.recv().await.unwrap() {
                JobEvent::SplitsFound { splits, .. } => assert_eq!(splits, 2),
                JobEvent::CheckpointCompleted { .. } => {
                    visible.store(3, SeqCst);
                    let source = &watch.operators()[0];
                    let read: u64 = source.subtasks.iter().map(|subtask| subtask.rows_in).sum();
                    if read == 300 {
                        watch.stop();
                    }
                }
                _ => {}
            }
        }
    };
    let report =
        tokio::select! { report = job.run() => report.unwrap(), () = listener => unreachable!() };
    assert_eq!(report.outcome, Outcome::Stopped);
    assert_eq!(report.rows_read, 300);
}
