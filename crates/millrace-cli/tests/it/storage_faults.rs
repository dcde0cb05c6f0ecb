//! Damaged checkpoints and storage without room: the message, the exit code, and that no row is
//! lost.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Running, pause, run, run_script, script_command};

const ROWS: u64 = 20_000;

/// Counts numbers in windows, and writes each number to a file.
fn script(rows_per_second: u64) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT, at AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR at AS at)
WITH ('connector' = 'datagen', 'rows-per-second' = '{rows_per_second}',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
CREATE TABLE written (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
CREATE TABLE counts (at TIMESTAMP_LTZ(3), n BIGINT) WITH ('connector' = 'blackhole');
EXECUTE STATEMENT SET BEGIN
INSERT INTO written SELECT n FROM numbers;
INSERT INTO counts SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(at), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
END;"
    )
}

/// The numbers in visible files, sorted.
fn written(directory: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(directory.join("out")).unwrap() {
        let path = file.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with(['.', '_']) {
            let text = fs::read_to_string(&path).unwrap();
            numbers.extend(text.lines().map(|line| line.parse::<u64>().unwrap()));
        }
    }
    numbers.sort_unstable();
    numbers
}

const KEEP: &str = "--checkpoint-dir ckpt --checkpoint-interval 50ms";

/// Runs the job until it has a few checkpoints, and kills it.
fn killed(directory: &Path) {
    let running = Running::start(&mut script_command(directory, &script(5_000), KEEP));
    while manifests(directory).len() < 3 {
        pause(5);
    }
    running.signal("KILL");
    drop(running);
}

/// The manifests, the newest last.
fn manifests(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory.join("ckpt/manifests")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    paths.sort_by_key(number);
    paths
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning_and_no_row_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    killed(directory.path());
    let newest = manifests(directory.path()).pop().unwrap();
    damage(&newest);
    let ended = run_script(directory.path(), &script(1_000_000), KEEP).expect(0);
    let number = newest.file_stem().unwrap().to_str().unwrap();
    assert!(
        ended.stderr.contains(&format!("warning: checkpoint {number} cannot be used")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("may be written once more"), "{}", ended.stderr);
    assert!(ended.stderr.contains("going on from checkpoint "), "{}", ended.stderr);
    let mut numbers = written(directory.path());
    numbers.dedup();
    assert!(numbers.iter().copied().eq(1..=ROWS), "a row is missing");
}

#[test]
fn without_any_whole_checkpoint_the_job_does_not_begin_anew_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    killed(directory.path());
    manifests(directory.path()).iter().for_each(|path| damage(path));
    let before = written(directory.path());
    let ended = run_script(directory.path(), &script(1_000_000), KEEP).expect(1);
    assert!(ended.stderr.contains("can be used"), "{}", ended.stderr);
    assert!(ended.stderr.contains("checksum"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    assert_eq!(written(directory.path()), before, "it wrote nothing");
}

/// The command in a process whose files may not grow beyond `blocks` of 512 bytes, as if there were
/// no more room. (A full file system of its own would take privileges.)
fn with_small_files(command: &Command, blocks: u32) -> Command {
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""))
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    limited.process_group(0);
    limited
}

#[test]
fn no_room_for_output_fails_the_job_and_with_room_it_goes_on_without_losing_a_row() {
    let directory = tempfile::tempdir().unwrap();
    killed(directory.path());
    // At the slow rate the files were small; at this one they don't fit.
    let arguments = format!("{KEEP} --set restart-strategy.type=none");
    let command = script_command(directory.path(), &script(1_000_000), &arguments);
    let ended = run(&mut with_small_files(&command, 32)).expect(1);
    assert!(ended.stderr.contains("error: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("out/"), "{}", ended.stderr);
    assert!(ended.stderr.to_lowercase().contains("file too large"), "{}", ended.stderr);
    let partial = written(directory.path());
    assert!(partial.iter().copied().eq(1..=partial.len() as u64), "a row is missing or twice");
    assert!(!partial.is_empty() && partial.len() < ROWS as usize);

    run_script(directory.path(), &script(1_000_000), KEEP).expect(0);
    assert!(written(directory.path()).iter().copied().eq(1..=ROWS), "a row is missing or twice");
}

#[test]
fn no_room_for_checkpoints_fails_the_job_with_the_file_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000');
    CREATE TABLE nowhere (n BIGINT) WITH ('connector' = 'blackhole');
    INSERT INTO nowhere SELECT n FROM numbers;";
    let arguments = format!("{KEEP} --set restart-strategy.type=none");
    let command = script_command(directory.path(), nowhere, &arguments);
    let ended = run(&mut with_small_files(&command, 1)).expect(1);
    assert!(ended.stderr.contains("cannot write `ckpt/manifests/1.json`"), "{}", ended.stderr);
    assert!(ended.stderr.to_lowercase().contains("file too large"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    assert!(manifests(directory.path()).is_empty());
}

#[test]
fn standard_output_on_a_full_disk_is_an_error_and_not_a_quiet_end() {
    let directory = tempfile::tempdir().unwrap();
    let print = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen',
        'rows-per-second' = '1000000',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '20000');
    SELECT n FROM numbers;";
    let mut command = script_command(directory.path(), print, "--output csv");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.to_lowercase().contains("no space left"), "{stderr}");
}
