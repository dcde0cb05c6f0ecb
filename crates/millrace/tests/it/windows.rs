use std::collections::BTreeMap;
use std::time::Duration;

use millrace::*;

/// Key and time in milliseconds.
type Row = (u8, i64);

/// Rows out of order by up to 40 ms, and now and then by far more.
fn rows() -> Vec<Row> {
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..3_000)
        .map(|n| {
            let back = if random(50) == 0 { random(400) } else { random(40) };
            (random(9) as u8, n as i64 - back as i64)
        })
        .collect()
}

/// Counts by window and key, and late rows, by definition: a row is late when the latest row before
/// it, less 30 ms and one, had passed the window's end.
fn expected(size: i64, slide: i64) -> (Vec<(i64, u8, u64)>, Vec<Row>) {
    let (mut counts, mut late) = (BTreeMap::new(), Vec::new());
    let mut watermark = i64::MIN;
    for (key, t) in rows() {
        let mut kept = false;
        let last = t.div_euclid(slide) * slide;
        for start in (0..).map(|back| last - back * slide).take_while(|start| start + size > t) {
            if start + size - 1 > watermark {
                *counts.entry((start, key)).or_insert(0) += 1;
                kept = true;
            }
        }
        if !kept {
            late.push((key, t));
        }
        watermark = watermark.max(t - 31);
    }
    late.sort_unstable();
    (counts.into_iter().map(|((start, key), count)| (start, key, count)).collect(), late)
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

#[test]
fn counts_and_late_rows_are_the_same_at_any_parallelism_and_batch_size() {
    for (size, slide) in [(100, 100), (100, 10), (60, 45)] {
        for (parallelism, batch_rows) in [(1, 1), (1, 4_096), (2, 7), (4, 256)] {
            let env = StreamExecutionEnvironment::new();
            env.set_parallelism(parallelism)
                .set_options(JobOptions { batch_rows, ..JobOptions::default() });
            let counted = env
                .from_collection(rows())
                .assign_timestamps(ms(30), |row: &Row| Timestamp::from_millis(row.1))
                .key_by(|row| row.0)
                .window(Hopping::of(ms(size), ms(slide)).unwrap())
                .aggregate(count());
            let late = counted.late().collect();
            let results =
                counted.map(|row| (row.window.start.as_millis(), row.key, row.value)).collect();
            let report = env.execute("counts").unwrap();
            let (counts, expected_late) = expected(size, slide);
            let at = format!("{size}/{slide} at {parallelism} with batches of {batch_rows}");
            assert_eq!(results.sorted(), counts, "{at}");
            assert_eq!(late.sorted(), expected_late, "{at}");
            assert!(!expected_late.is_empty(), "the test has late rows");
            let lines = &report.ledger.lines;
            assert!(lines.iter().all(|line| line.counts.unaccounted() == 0), "{at}");
        }
    }
}

#[test]
fn allowed_lateness_gives_a_result_again() {
    let env = StreamExecutionEnvironment::new();
    env.set_options(JobOptions { batch_rows: 1, ..JobOptions::default() });
    let results = env
        .from_collection(vec![1i64, 20, 2, 60, 3])
        .assign_timestamps(Duration::ZERO, |&t| Timestamp::from_millis(t))
        .key_by(|_| ())
        .window(Tumbling::of(ms(10)).unwrap())
        .allowed_lateness(ms(30))
        .unwrap()
        .aggregate((count(), max(|&t: &i64| t)))
        .map(|row| (row.window.end.as_millis(), row.value.0, row.value.1))
        .collect();
    env.execute("again").unwrap();
    // 2 comes 9 ms after the end of its window, 3 more than 30 ms after it.
    assert_eq!(
        results.take(),
        [(10, 1, Some(1)), (10, 2, Some(2)), (30, 1, Some(20)), (70, 1, Some(60))]
    );
}

#[test]
fn a_window_over_rows_without_event_time_fails_with_what_to_do() {
    let env = StreamExecutionEnvironment::new();
    env.from_collection(vec![1])
        .key_by(|n| *n)
        .window(Tumbling::of(ms(10)).unwrap())
        .aggregate(count())
        .collect();
    let error = env.execute("timeless").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixInput);
    assert!(error.full_report().contains("assign timestamps"), "{}", error.full_report());
}

#[test]
fn windows_of_windows_see_event_time() {
    let env = StreamExecutionEnvironment::new();
    let results = env
        .generate(Some(1_000), |n| n as i64)
        .assign_timestamps(Duration::ZERO, |&t| Timestamp::from_millis(t))
        .key_by(|n| n % 7)
        .window(Tumbling::of(ms(10)).unwrap())
        .aggregate(count())
        .key_by(|row| row.window.start.as_millis() % 3)
        .window(Tumbling::of(ms(100)).unwrap())
        .aggregate(sum(|row: &WindowResult<i64, u64>| row.value))
        .map(|row| row.value)
        .collect();
    env.execute("nested").unwrap();
    assert_eq!(results.take().into_iter().sum::<u128>(), 1_000);
}
