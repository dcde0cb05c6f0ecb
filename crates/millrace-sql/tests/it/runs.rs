//! Whole scripts over files, run by the runtime, against what Apache Flink 1.20.1 gave for them.
//!
//! `tests/data/runs/flink-1.20.1.txt` holds queries over `rides.csv` and the view `per_minute`, each
//! with the rows that Flink printed for it, sorted. No row is late, so that both engines must agree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use millrace_checkpoint::CheckpointStore;
use millrace_core::seam::Seams;
use millrace_core::{
    Batch, CheckpointId, Columns, Error, KeyGroups, Prepared, Result, Sink, SinkContext, SinkWriter,
};
use millrace_runtime::{Job, JobOptions, JobReport, Outcome};
use millrace_sql::{SqlEnvironment, plan_script};

/// The rows of each bare SELECT, by the statement's number.
type Outputs = Arc<Mutex<BTreeMap<usize, Vec<String>>>>;

struct Collect {
    statement: usize,
    outputs: Outputs,
}

#[async_trait]
impl Sink for Collect {
    async fn open(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(Collect { statement: self.statement, outputs: Arc::clone(&self.outputs) }))
    }
}

#[async_trait]
impl SinkWriter for Collect {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let columns: Columns = batch.downcast()?;
        let mut outputs = self.outputs.lock().expect("no holder panics");
        let rows = outputs.entry(self.statement).or_default();
        rows.extend((0..columns.rows.num_rows()).map(|row| shown(&columns.rows, row)));
        Ok(())
    }

    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Prepared> {
        Ok(Prepared::default())
    }

    async fn commit(&mut self, _checkpoint: CheckpointId, _prepared: &Prepared) -> Result<()> {
        Ok(())
    }
}

/// A row as Flink's `Row.toString` has it.
fn shown(batch: &RecordBatch, row: usize) -> String {
    let values: Vec<String> = batch.columns().iter().map(|column| value(column, row)).collect();
    values.join(", ")
}

fn value(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".into();
    }
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(column.as_ref(), &options)
        .expect("a type with a text")
        .value(row)
        .to_string();
    match column.data_type() {
        // Java leaves out seconds that are zero, and writes as many digits as are needed by threes.
        DataType::Timestamp(..) => {
            let text = text.strip_suffix(":00").unwrap_or(&text);
            match text.split_once('.') {
                Some((whole, digits)) => format!("{whole}.{digits:0<3}"),
                None => text.to_owned(),
            }
        }
        _ => text,
    }
}

/// Runs a script and returns the rows of its bare SELECTs, sorted, in the order of the statements.
fn run(
    script: &str,
    parallelism: usize,
    batch_rows: usize,
) -> Result<(JobReport, Vec<Vec<String>>)> {
    let outputs = Outputs::default();
    let for_sinks = Arc::clone(&outputs);
    let environment = SqlEnvironment {
        default_parallelism: parallelism,
        key_groups: KeyGroups::default(),
        settings: Vec::new(),
        output: Arc::new(move |output| {
            let statement = output.statement;
            for_sinks.lock().expect("no holder panics").entry(statement).or_default();
            Arc::new(Collect { statement, outputs: Arc::clone(&for_sinks) })
        }),
    };
    let planned = plan_script(script, "job.sql", &environment).map_err(Error::from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::retry("no runtime").caused_by(error))?;
    let report = runtime.block_on(async {
        let options = JobOptions { batch_rows, ..JobOptions::default() };
        let store = CheckpointStore::open("memory:")?;
        Job::new(planned.graph, options, store, Seams::system())?.run().await
    })?;
    let mut rows: Vec<Vec<String>> =
        std::mem::take(&mut *outputs.lock().expect("no holder panics")).into_values().collect();
    rows.iter_mut().for_each(|rows| rows.sort());
    Ok((report, rows))
}

fn tables() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/runs/rides.csv");
    format!(
        "CREATE TABLE rides (id INT, city STRING, n INT, big BIGINT, d DOUBLE, price DECIMAL(8, 2), ok BOOLEAN,
            `at` TIMESTAMP(3), WATERMARK FOR `at` AS `at` - INTERVAL '1' HOUR)
         WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv', 'csv.null-literal' = 'NULL');
         CREATE VIEW per_minute AS SELECT city, window_time AS minute_time, COUNT(*) AS c, SUM(n) AS s
         FROM TABLE(TUMBLE(TABLE rides, DESCRIPTOR(`at`), INTERVAL '1' MINUTE))
         GROUP BY city, window_start, window_end, window_time;\n"
    )
}

/// Queries with Flink's rows.
fn cases() -> Vec<(String, Vec<String>)> {
    include_str!("../data/runs/flink-1.20.1.txt")
        .split("\n\n")
        .filter(|case| !case.trim().is_empty())
        .map(|case| {
            let mut lines = case.lines();
            let query = lines.next().unwrap_or_default().to_owned();
            (query, lines.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn queries_give_the_rows_that_flink_gives_at_any_parallelism_and_batch_size() {
    let cases = cases();
    assert!(cases.len() > 5, "the file holds the cases");
    let queries: Vec<String> = cases.iter().map(|(query, _)| format!("{query};\n")).collect();
    for (parallelism, batch_rows) in [(1, 4_096), (2, 7), (3, 1)] {
        let script = format!("{}{}", tables(), queries.concat());
        let (report, rows) = run(&script, parallelism, batch_rows)
            .unwrap_or_else(|error| panic!("{}", error.full_report()));
        assert_eq!(report.outcome, Outcome::Finished);
        for ((query, expected), found) in cases.iter().zip(&rows) {
            assert_eq!(
                found, expected,
                "{query}\nat parallelism {parallelism}, batches of {batch_rows}"
            );
        }
    }
}

#[test]
fn late_rows_come_out_whole_and_once_for_each_window() {
    let script = format!(
        "{}SELECT window_start, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE hasty, DESCRIPTOR(`at`), INTERVAL '1' MINUTE))
           GROUP BY window_start, window_end;
           SELECT id, city, `at`, doubled FROM `hasty$late`;
           SELECT id FROM hasty;",
        tables().replacen("rides (", "hasty (doubled AS n * 2, ", 1).replace("INTERVAL '1' HOUR", "INTERVAL '0' SECOND").replace(
            "TABLE rides", "TABLE hasty"
        )
    );
    for parallelism in [1, 2] {
        let (_, rows) =
            run(&script, parallelism, 16).unwrap_or_else(|error| panic!("{}", error.full_report()));
        let [counts, late, all] = rows.as_slice() else { panic!("three outputs") };
        let counted: usize = counts
            .iter()
            .map(|row| {
                row.rsplit(", ")
                    .next()
                    .and_then(|count| count.parse::<usize>().ok())
                    .expect("a count")
            })
            .sum();
        assert!(!late.is_empty(), "the rows are in disorder");
        assert_eq!(counted + late.len(), all.len());
        assert!(late.iter().all(|row| row.split(", ").count() == 4), "{late:?}");
    }
}

#[test]
fn a_row_without_event_time_fails_the_job_and_is_shown() {
    let script = tables().replace(
        "`at` TIMESTAMP(3), WATERMARK FOR `at` AS `at`",
        "`at` TIMESTAMP(3), t AS CASE WHEN id <> 17 THEN `at` END, WATERMARK FOR t AS t",
    );
    let script = script.split("CREATE VIEW").next().expect("the table").to_owned()
        + "SELECT id, t FROM rides;";
    let error = run(&script, 1, 64).expect_err("row 17 has no event time");
    assert_eq!(error.kind(), millrace_core::ErrorKind::FixInput);
    let report = error.full_report();
    assert!(report.contains("`t` is null") && report.contains("id: 17"), "{report}");
}

#[test]
fn a_null_for_a_column_that_takes_none_fails_the_job() {
    let script = format!(
        "{}CREATE TABLE out (n INT NOT NULL) WITH ('connector' = 'blackhole'); INSERT INTO out SELECT n FROM rides;",
        tables()
    );
    let error = run(&script, 1, 64).expect_err("some n are null");
    assert!(error.message().contains("column `n` of `out` is NOT NULL"), "{}", error.full_report());
}

#[test]
fn what_cannot_be_cast_fails_the_job_and_names_the_value() {
    let script = format!("{}SELECT CAST(city AS INT) AS c FROM rides;", tables());
    let error = run(&script, 1, 64).expect_err("no city is a number");
    assert_eq!(error.kind(), millrace_core::ErrorKind::FixInput);
    assert!(error.message().contains("cannot be cast to INT"), "{}", error.full_report());
}
