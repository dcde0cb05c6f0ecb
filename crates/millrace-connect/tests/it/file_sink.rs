//! The `filesystem` sink through crashes: what is dropped without a word is what `kill` leaves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use millrace_connect::TableSpec;
use millrace_core::{CheckpointId, ErrorKind, Prepared, Sink, SinkWriter};
use proptest::prelude::*;

use crate::harness::{all_files, batch, open_sink, open_source, open_writer, read_all, table};

const COLUMNS: &[(&str, DataType)] = &[("n", DataType::Int64), ("city", DataType::Utf8)];

struct Target {
    _directory: tempfile::TempDir,
    path: PathBuf,
    spec: TableSpec,
}

fn target(options: &[(&'static str, &'static str)]) -> Target {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let mut all = vec![("path", path.to_str().unwrap()), ("format", "csv")];
    all.extend_from_slice(options);
    let spec = table(COLUMNS, all);
    Target { _directory: directory, path, spec }
}

impl Target {
    fn sink(&self) -> Arc<dyn Sink> {
        open_sink("filesystem", &self.spec).unwrap().sink
    }

    /// What any reader sees.
    async fn visible(&self) -> Vec<i64> {
        if !self.path.exists() {
            return Vec::new();
        }
        let path = self.path.to_str().unwrap();
        let spec = table(COLUMNS, [("path", path), ("format", "csv")]);
        let source = open_source("filesystem", &spec).unwrap().source;
        let content = read_all(&*source, 1000, || false).await.unwrap();
        assert_eq!(content.bad, []);
        let mut numbers: Vec<i64> = content
            .rows
            .iter()
            .map(|row| row.split('|').next().unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn hidden(&self) -> Vec<String> {
        all_files(&self.path).into_iter().filter(|name| is_hidden(name)).collect()
    }
}

fn is_hidden(path: &str) -> bool {
    Path::new(path).file_name().unwrap().to_str().unwrap().starts_with('.')
}

fn rows(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let numbers: Vec<i64> = numbers.into_iter().collect();
    let cities: StringArray = numbers.iter().map(|n| Some(format!("c{}", n % 3))).collect();
    let schema = table(COLUMNS, []).schema;
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(numbers)), Arc::new(cities)])
        .unwrap()
}

/// Leaves everything as a killed process would: nothing is cleaned up, only the locks go.
fn kill(writer: Box<dyn SinkWriter>, path: &Path) {
    let copies: Vec<(PathBuf, Vec<u8>)> = all_files(path)
        .into_iter()
        .filter(|name| is_hidden(name))
        .map(|name| (path.join(&name), std::fs::read(path.join(&name)).unwrap()))
        .collect();
    drop(writer);
    for (path, content) in copies {
        std::fs::write(path, content).unwrap();
    }
}

#[tokio::test]
async fn rows_show_at_the_commit_and_not_before() {
    let target = target(&[]);
    let sink = target.sink();
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch(&rows(0..5))).await.unwrap();
    assert!(target.visible().await.is_empty());
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(prepared.committables.iter().map(|c| c.rows).sum::<u64>(), 5);
    assert!(target.visible().await.is_empty());
    writer.write(batch(&rows(5..7))).await.unwrap();
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
    assert_eq!(target.visible().await, [0, 1, 2, 3, 4]);
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
    assert_eq!(target.visible().await, [0, 1, 2, 3, 4]);
    drop(writer);
    assert_eq!(target.hidden(), [""; 0], "what no checkpoint names is removed");
}

#[tokio::test]
async fn a_restart_commits_what_the_manifest_names_and_sweeps_the_rest() {
    let target = target(&[]);
    let sink = target.sink();
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch(&rows(0..3))).await.unwrap();
    let named = writer.prepare(CheckpointId(1)).await.unwrap();
    writer.write(batch(&rows(3..6))).await.unwrap();
    // Prepared, but the manifest was never written.
    writer.prepare(CheckpointId(2)).await.unwrap();
    writer.write(batch(&rows(6..9))).await.unwrap();
    kill(writer, &target.path);
    assert_eq!(target.hidden().len(), 3);

    let mut writer = open_writer(&*sink, 0, 1, std::slice::from_ref(&named)).await.unwrap();
    assert_eq!(target.visible().await, [0, 1, 2]);
    assert_eq!(target.hidden(), [""; 0]);
    writer.write(batch(&rows(3..9))).await.unwrap();
    let prepared = writer.prepare(CheckpointId(2)).await.unwrap();
    writer.commit(CheckpointId(2), &prepared).await.unwrap();
    // Killed between commit and the next manifest: the same is committed again.
    drop(writer);
    drop(open_writer(&*sink, 0, 1, &[prepared]).await.unwrap());
    assert_eq!(target.visible().await, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sweep_spares_living_writers_and_the_checkpoints_of_other_jobs() {
    let target = target(&[]);
    let sink = target.sink();
    // A job of which a checkpoint may name this file, not running now.
    let mut other = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    other.write(batch(&rows([100]))).await.unwrap();
    let of_other = other.prepare(CheckpointId(1)).await.unwrap();
    drop(other);
    // A subtask that is already writing when subtask 0 opens.
    let mut living = open_writer(&*sink, 1, 2, &[]).await.unwrap();
    living.write(batch(&rows([1]))).await.unwrap();
    let prepared = living.prepare(CheckpointId(1)).await.unwrap();
    living.write(batch(&rows([2]))).await.unwrap();
    drop(open_writer(&*sink, 0, 2, &[Prepared::default(), prepared.clone()]).await.unwrap());
    let again = living.prepare(CheckpointId(2)).await.unwrap();
    living.commit(CheckpointId(1), &prepared).await.unwrap();
    living.commit(CheckpointId(2), &again).await.unwrap();
    assert_eq!(target.visible().await, [1, 2]);
    drop(open_writer(&*sink, 0, 1, &[of_other]).await.unwrap());
    assert_eq!(target.visible().await, [1, 2, 100]);
}

#[tokio::test]
async fn partitions_are_directories_and_null_has_one() {
    let target = target(&[]);
    let mut spec = target.spec.clone();
    spec.partitioned_by = vec!["city".into()];
    let sink = open_sink("filesystem", &spec).unwrap().sink;
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    let cities = StringArray::from(vec![Some("a:b"), None, Some("a:b")]);
    let numbers = Int64Array::from(vec![1, 2, 3]);
    let rows = RecordBatch::try_new(spec.schema.clone(), vec![Arc::new(numbers), Arc::new(cities)])
        .unwrap();
    writer.write(batch(&rows)).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
    let found: BTreeSet<(String, String)> = all_files(&target.path)
        .into_iter()
        .map(|file| {
            let content = std::fs::read_to_string(target.path.join(&file)).unwrap();
            (file.split_once('/').unwrap().0.to_owned(), content)
        })
        .collect();
    let expected = [("city=__DEFAULT_PARTITION__", "2\n"), ("city=a%3Ab", "1\n3\n")];
    assert_eq!(found, expected.map(|(d, c)| (d.to_owned(), c.to_owned())).into());

    let source = open_source("filesystem", &spec).unwrap().source;
    let read = read_all(&*source, 1, || true).await.unwrap();
    assert_eq!(read.rows, ["2|NULL", "1|a:b", "3|a:b"]);
    spec.projection = Some(vec![1]);
    let source = open_source("filesystem", &spec).unwrap().source;
    assert_eq!(read_all(&*source, 9, || false).await.unwrap().rows, ["NULL", "a:b", "a:b"]);
}

#[tokio::test]
async fn a_file_that_is_full_is_closed_and_another_begun() {
    let target = target(&[("sink.rolling-policy.file-size", "8b")]);
    let sink = target.sink();
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    for n in 0..6 {
        writer.write(batch(&rows([n]))).await.unwrap();
    }
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(prepared.committables.len(), 3, "5 bytes a row, so two rows a file");
    writer.commit(CheckpointId(1), &prepared).await.unwrap();
    assert_eq!(target.visible().await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_prepared_file_that_lost_its_end_is_not_committed() {
    let target = target(&[]);
    let sink = target.sink();
    let mut writer = open_writer(&*sink, 0, 1, &[]).await.unwrap();
    writer.write(batch(&rows(0..3))).await.unwrap();
    let prepared = writer.prepare(CheckpointId(1)).await.unwrap();
    drop(writer);
    let hidden = target.path.join(&target.hidden()[0]);
    std::fs::write(hidden, "0,c").unwrap();
    let error = open_writer(&*sink, 0, 1, &[prepared]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Restore);
    assert!(target.visible().await.is_empty());
}

#[tokio::test]
async fn a_path_that_is_a_file_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let sink = open_sink("filesystem", &table(COLUMNS, [("path", path), ("format", "csv")]));
    let error = open_writer(&*sink.unwrap().sink, 0, 1, &[]).await.err().unwrap();
    assert!(error.message().contains(path), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput, "{}", error.full_report());
}

/// What a simulated run does next.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    /// A checkpoint that completes; with `false` the job is killed before the commit.
    Checkpoint {
        committed: bool,
    },
    /// Prepared everywhere, then killed before the manifest.
    KillAfterPrepare,
    Kill,
    /// Killed, and started again with so many subtasks.
    Rescale(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..5).prop_map(Step::Write),
        3 => any::<bool>().prop_map(|committed| Step::Checkpoint { committed }),
        1 => Just(Step::KillAfterPrepare),
        1 => Just(Step::Kill),
        1 => (1usize..4).prop_map(Step::Rescale),
    ]
}

/// A job of nothing but the sink: numbers counted up, each written once by some subtask.
struct Run {
    target: Target,
    parallelism: usize,
    writers: Vec<Box<dyn SinkWriter>>,
    /// The newest manifest: what was prepared, and how many numbers came before.
    manifest: (Vec<Prepared>, i64),
    next: i64,
    checkpoint: u64,
}

impl Run {
    async fn start(&mut self) {
        let sink = self.target.sink();
        for index in 0..self.parallelism {
            let writer = open_writer(&*sink, index, self.parallelism, &self.manifest.0).await;
            self.writers.push(writer.unwrap());
        }
        self.next = self.manifest.1;
    }

    async fn restart(&mut self) {
        for writer in std::mem::take(&mut self.writers) {
            kill(writer, &self.target.path);
        }
        self.start().await;
        assert_eq!(self.target.visible().await, (0..self.manifest.1).collect::<Vec<_>>());
    }

    async fn prepare(&mut self) -> Vec<Prepared> {
        self.checkpoint += 1;
        let mut all = Vec::new();
        for writer in &mut self.writers {
            all.push(writer.prepare(CheckpointId(self.checkpoint)).await.unwrap());
        }
        all
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Write(count) => {
                let numbers = self.next..self.next + count as i64;
                self.next = numbers.end;
                let index = numbers.start as usize % self.parallelism;
                self.writers[index].write(batch(&rows(numbers))).await.unwrap();
            }
            Step::Checkpoint { committed } => {
                let prepared = self.prepare().await;
                self.manifest = (prepared.clone(), self.next);
                if !committed {
                    return self.restart().await;
                }
                let checkpoint = CheckpointId(self.checkpoint);
                for (writer, prepared) in self.writers.iter_mut().zip(&prepared) {
                    writer.commit(checkpoint, prepared).await.unwrap();
                }
            }
            Step::KillAfterPrepare => {
                self.prepare().await;
                self.restart().await;
            }
            Step::Kill => self.restart().await,
            Step::Rescale(parallelism) => {
                self.parallelism = parallelism;
                self.restart().await;
            }
        }
        assert_eq!(self.target.visible().await, (0..self.manifest.1).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn after_any_crashes_each_row_of_the_manifest_shows_once(
        steps in proptest::collection::vec(step(), 1..25),
        small_files in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let target = target(if small_files { &[("sink.rolling-policy.file-size", "8b")] } else { &[] });
            let mut run = Run {
                target,
                parallelism: 1,
                writers: Vec::new(),
                manifest: (Vec::new(), 0),
                next: 0,
                checkpoint: 0,
            };
            run.start().await;
            for step in steps {
                run.step(step).await;
            }
            let prepared = run.prepare().await;
            run.manifest = (prepared, run.next);
            run.restart().await;
            run.writers.clear();
            if run.manifest.0.iter().any(|prepared| !prepared.state.is_null()) {
                // Without any checkpoint, prepared leftovers of the first run stay hidden.
                let left = run.target.hidden();
                assert!(left.iter().all(|name| name.ends_with(".prepared")), "{left:?}");
            }
        });
    }
}
