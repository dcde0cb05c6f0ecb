use std::time::Duration;

use millrace::*;

/// Counts by key and second over rows that come by number; collected as (start, key, count).
fn counts(
    directory: &str,
    parallelism: usize,
    rows: u64,
) -> (StreamExecutionEnvironment, Collected<(i64, u64, u64)>) {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(parallelism)
        .set_options(JobOptions { batch_rows: 64, ..JobOptions::default() })
        .enable_checkpointing(Duration::from_millis(20))
        .set_checkpoint_storage(directory);
    let results = env
        .generate(Some(rows), |n| n)
        .assign_timestamps(Duration::from_millis(5), |&n| Timestamp::from_millis(n as i64))
        .key_by(|n| n.wrapping_mul(0x9e37_79b9) % 101)
        .window(Hopping::of(Duration::from_secs(1), Duration::from_millis(250)).unwrap())
        .aggregate(count())
        .map(|row| (row.window.start.as_millis(), row.key, row.value))
        .collect();
    (env, results)
}

#[test]
fn a_job_stopped_again_and_again_at_changing_parallelism_counts_each_row_once() {
    let rows = 400_000;
    let (env, undisturbed) = counts("memory:", 1, rows);
    env.execute("counts").unwrap();
    let expected = undisturbed.sorted();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut collected, mut stops) = (Vec::new(), 0);
    for parallelism in [1, 2, 3, 1, 2].into_iter().cycle() {
        let (env, results) = counts(directory, parallelism, rows);
        let report = runtime.block_on(async {
            let job = env.job("counts", Seams::system()).unwrap();
            let watch = job.watch();
            let mut events = watch.events();
            let stopper = async {
                while let Ok(event) = events.recv().await {
                    let completed =
                        matches!(event, millrace_runtime::JobEvent::CheckpointCompleted { .. });
                    if completed && stops < 5 {
                        watch.stop();
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                report = job.run() => report.unwrap(),
                () = stopper => unreachable!(),
            }
        });
        collected.extend(results.take());
        if report.outcome == Outcome::Finished {
            break;
        }
        assert_eq!(report.outcome, Outcome::Stopped);
        stops += 1;
    }
    assert!(stops > 0, "the job was never caught running");
    collected.sort_unstable();
    assert_eq!(collected, expected);
}
