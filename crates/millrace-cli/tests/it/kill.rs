//! `kill -9` at 50 random moments: the files hold exactly the rows of an undisturbed run, and no
//! visible file was ever half written.
//!
//! `MILLRACE_KILL_SEED` chooses other moments. The moments are a seed's, but what the process is
//! doing then is up to the machine, so that the same seed may kill it elsewhere.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millrace_sim::SimRandom;

use crate::harness::{pause, run_script, script_command};

const KILLS: usize = 50;

/// The longest life of a process before it is killed, from the moment when it has locked the
/// checkpoint directory.
const LONGEST_LIFE_MS: u64 = 260;

/// Windows with state and late rows, and rows that pass through, over disordered rows from two
/// splits. The rate keeps the job busy for longer than all the lives together.
fn script(rows_per_second: u64) -> String {
    format!(
        "CREATE TABLE numbers (
    n BIGINT, k BIGINT, v BIGINT, back BIGINT,
    at AS TO_TIMESTAMP_LTZ(n * 10 - back, 3),
    WATERMARK FOR at AS at - INTERVAL '2' SECOND
) WITH (
    'connector' = 'datagen', 'seed' = '7', 'splits' = '2',
    'rows-per-second' = '{rows_per_second}',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '40000',
    'fields.k.min' = '0', 'fields.k.max' = '30',
    'fields.v.min' = '-1000', 'fields.v.max' = '1000',
    'fields.back.min' = '0', 'fields.back.max' = '6500'
);
CREATE TABLE sums (
    window_start TIMESTAMP_LTZ(3), k BIGINT, numbers BIGINT, total BIGINT, least BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'out/sums', 'format' = 'csv');
CREATE TABLE large (n BIGINT, k BIGINT, v BIGINT)
    WITH ('connector' = 'filesystem', 'path' = 'out/large', 'format' = 'json');
CREATE TABLE late (n BIGINT, at TIMESTAMP_LTZ(3))
    WITH ('connector' = 'filesystem', 'path' = 'out/late', 'format' = 'csv');
EXECUTE STATEMENT SET BEGIN
INSERT INTO sums
SELECT window_start, k, COUNT(*), SUM(v), MIN(v)
FROM TABLE(HOP(TABLE numbers, DESCRIPTOR(at), INTERVAL '1' SECOND, INTERVAL '3' SECOND))
GROUP BY window_start, window_end, k;
INSERT INTO large SELECT n, k, v FROM numbers WHERE v > 500;
INSERT INTO late SELECT n, at FROM `numbers$late`;
END;"
    )
}

const TABLES: [&str; 3] = ["sums", "large", "late"];

/// What stood in each visible file when it was first seen.
#[derive(Default)]
struct Seen(BTreeMap<PathBuf, String>);

impl Seen {
    /// Looks for new visible files and takes note of what is in them.
    fn look(&mut self, directory: &Path) {
        for path in visible_files(directory) {
            self.0.entry(path).or_insert_with_key(|path| {
                fs::read_to_string(path).expect("a visible file stays, and is text")
            });
        }
    }
}

fn visible_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for table in TABLES {
        let Ok(entries) = fs::read_dir(directory.join("out").join(table)) else { continue };
        let paths = entries.map(|entry| entry.expect("the directory can be read").path());
        files.extend(paths.filter(|path| {
            let name = path.file_name().expect("a name").to_str().expect("UTF-8");
            !name.starts_with(['.', '_'])
        }));
    }
    files
}

/// All visible rows of a table, sorted.
fn rows(directory: &Path, table: &str) -> Vec<String> {
    let folder = directory.join("out").join(table);
    let files = visible_files(directory).into_iter().filter(|path| path.starts_with(&folder));
    let texts = files.map(|path| fs::read_to_string(path).expect("the file can be read"));
    let mut rows: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    rows.sort_unstable();
    rows
}

/// Starts the job, with what it says on standard error in a file.
fn start(command: &mut Command, stderr: &Path) -> Child {
    let stderr = File::create(stderr).expect("a file for what it says");
    command.stdout(Stdio::null()).stderr(stderr).spawn().expect("the binary starts")
}

/// The checkpoint that a run went on from, by what it said.
fn went_on_from(stderr: &Path) -> Option<u64> {
    let said = fs::read_to_string(stderr).expect("what it said");
    let (_, rest) = said.split_once("going on from checkpoint ")?;
    rest.split(' ').next()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "waits for another process")]
fn wait_until_it_owns_the_checkpoints(process: &Child, directory: &Path) {
    let begun = Instant::now();
    let id = process.id().to_string();
    let owner = || fs::read_to_string(directory.join("ckpt/LOCK")).unwrap_or_default();
    while owner().trim() != id {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not get to work");
        pause(1);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a process is killed in the system's time")]
fn a_job_killed_at_50_random_moments_writes_exactly_the_rows_of_an_undisturbed_one() {
    let seed = std::env::var("MILLRACE_KILL_SEED").map_or(1, |text| text.parse().expect("a seed"));
    println!("again with MILLRACE_KILL_SEED={seed}");
    let random = SimRandom::new(seed, "kills");
    let undisturbed = tempfile::tempdir().unwrap();
    run_script(undisturbed.path(), &script(1_000_000), "--parallelism 2").expect(0);

    let directory = tempfile::tempdir().unwrap();
    let stderr = directory.path().join("stderr");
    let arguments = "--parallelism 2 --batch-rows 100 --checkpoint-dir ckpt \
                     --checkpoint-interval 20ms";
    let mut command = script_command(directory.path(), &script(4_000), arguments);
    let mut seen = Seen::default();
    let mut resumed = Vec::new();
    for kill in 0..KILLS {
        let mut process = start(&mut command, &stderr);
        wait_until_it_owns_the_checkpoints(&process, directory.path());
        let life = Duration::from_millis(random.below(LONGEST_LIFE_MS));
        let begun = Instant::now();
        while begun.elapsed() < life {
            seen.look(directory.path());
            pause(3);
        }
        let ended = process.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended by itself before kill {kill}: {ended:?}");
        process.kill().expect("SIGKILL");
        process.wait().expect("a child");
        resumed.extend(went_on_from(&stderr));
        seen.look(directory.path());
    }
    let status = start(&mut command, &stderr).wait().expect("a child");
    let said = fs::read_to_string(&stderr).unwrap();
    assert!(status.success(), "the last run failed:\n{said}");
    assert!(!said.contains("warning"), "{said}");

    for (path, content) in &seen.0 {
        let now = fs::read_to_string(path).expect("a visible file stays");
        assert!(*content == now, "`{}` was visible before it was whole", path.display());
    }
    for table in TABLES {
        let (found, expected) = (rows(directory.path(), table), rows(undisturbed.path(), table));
        assert!(!expected.is_empty(), "`{table}` is too small a test");
        assert!(
            found == expected,
            "`{table}` has {} rows instead of {}; the first that differ: {:?}",
            found.len(),
            expected.len(),
            found.iter().zip(&expected).find(|(found, expected)| found != expected)
        );
    }
    // Or else the kills hit processes that had not got anywhere.
    resumed.dedup();
    assert!(resumed.len() > KILLS / 2, "only {} kills were in the midst of work", resumed.len());
    assert!(seen.0.len() > KILLS, "only {} files were seen to appear", seen.0.len());
}
