//! The main example against the independent computation (`examples/flights/oracle.py`).

use crate::harness::{expected, millrace, root, rows_under, run, script_command};

fn month_equals_the_oracle(parallelism: usize, batch_rows: usize) {
    let ended = run(&mut millrace(&format!(
        "run examples/flights/hourly_delays.sql --output csv --parallelism {parallelism} \
         --batch-rows {batch_rows}"
    )))
    .expect(0);
    for name in ["hourly_delays.csv", "late_departures.csv"] {
        let (header, expected) = expected(name);
        let found = rows_under(&ended.stdout, &header);
        assert_eq!(found.len(), expected.len(), "{name}, {}", ended.stderr);
        assert!(found == expected, "{name} differs; run .ci/run to see where");
    }
    assert!(ended.stderr.contains("read 27,004 rows"), "{}", ended.stderr);
    assert!(ended.stderr.contains("2,671 late"), "{}", ended.stderr);
}

macro_rules! months {
    ($($name:ident: $parallelism:literal, $batch_rows:literal;)*) => {$(
        #[test]
        fn $name() {
            month_equals_the_oracle($parallelism, $batch_rows);
        }
    )*};
}
months! {
    one_subtask_with_batches_of_one_row: 1, 1;
    one_subtask_with_batches_of_seven_rows: 1, 7;
    one_subtask_with_full_batches: 1, 4096;
    two_subtasks_with_batches_of_one_row: 2, 1;
    two_subtasks_with_batches_of_seven_rows: 2, 7;
    two_subtasks_with_full_batches: 2, 4096;
    four_subtasks_with_batches_of_one_row: 4, 1;
    four_subtasks_with_batches_of_seven_rows: 4, 7;
    four_subtasks_with_full_batches: 4, 4096;
}

#[test]
fn files_hold_the_same_rows_and_nothing_hidden_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let data = root().join("examples/flights/flights-2013-01.csv.gz");
    let script =
        std::fs::read_to_string(root().join("examples/flights/hourly_delays_to_files.sql"))
            .unwrap()
            .replace("examples/flights/flights-2013-01.csv.gz", data.to_str().unwrap())
            .replace("examples/flights/out/", "out/");
    run(&mut script_command(
        directory.path(),
        &script,
        "--parallelism 2 --checkpoint-interval 50ms",
    ))
    .expect(0);

    let mut found = Vec::new();
    for file in std::fs::read_dir(directory.path().join("out/hourly_delays")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.starts_with(['.', '_']), "{name} was left behind");
        found.extend(std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned));
    }
    found.sort();
    assert_eq!(found, expected("hourly_delays.csv").1);
}
