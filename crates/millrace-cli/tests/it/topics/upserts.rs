//! Tables of upserts, read and written: every change, and the tables that are made of them.
//!
//! `MILLRACE_UPSERT_SEED=N` takes other rows; a failing seed is part of what the test says.

use std::collections::BTreeMap;
use std::fmt::Write;

use millrace_sim::SimRandom;

use super::with_log;
use crate::harness::{Running, pause, root, run_script, script_command};
use crate::log::Log;

/// What stands under a key: a name and a number.
type Table = BTreeMap<u64, (String, Option<i64>)>;

const IN: &str = "CREATE TABLE totals (
        id BIGINT, name STRING NOT NULL, n BIGINT, PRIMARY KEY (id) NOT ENFORCED
    ) WITH (@, 'topic' = 'in', 'key.format' = 'json', 'value.format' = 'json'";

/// `name` is upper-cased on the way, rows with small numbers stay behind.
const OUT: &str = "CREATE TABLE large (
        label STRING, n BIGINT, id BIGINT, PRIMARY KEY (id) NOT ENFORCED
    ) WITH (@, 'topic' = 'out', 'key.format' = 'json', 'value.format' = 'json',
        'value.fields-include' = 'EXCEPT_KEY'";

fn upserts(log: &Log, script: &str) -> String {
    with_log(log, script).replace("'connector' = 'kafka'", "'connector' = 'upsert-kafka'")
}

/// Appends random changes of `keys` keys to the lines of a producer, and to the table.
fn change(random: &SimRandom, count: usize, keys: u64, table: &mut Table, lines: &mut String) {
    for _ in 0..count {
        let id = random.below(keys);
        match random.below(10) {
            0..3 => {
                table.remove(&id);
                writeln!(lines, "{{\"id\":{id}}}\tNIL").unwrap();
            }
            // As it was, once more.
            3 if table.contains_key(&id) => push(id, &table[&id], lines),
            _ => {
                let number = (random.below(5) > 0).then(|| (random.below(20)) as i64);
                let row = (format!("name {}", random.below(3)), number);
                push(id, &row, lines);
                table.insert(id, row);
            }
        }
    }
}

fn push(id: u64, (name, n): &(String, Option<i64>), lines: &mut String) {
    let n = n.map_or("null".to_owned(), |n| n.to_string());
    writeln!(lines, "{{\"id\":{id}}}\t{{\"id\":{id},\"name\":\"{name}\",\"n\":{n}}}").unwrap();
}

/// The rows that pass the filter, as they are written.
fn large(table: &Table) -> BTreeMap<u64, (String, i64)> {
    let passes = |(id, (name, n)): (&u64, &(String, Option<i64>))| {
        n.filter(|n| *n >= 10).map(|n| (*id, (name.to_uppercase(), n)))
    };
    table.iter().filter_map(passes).collect()
}

/// The table that the topic `out` holds.
fn written(log: &Log) -> BTreeMap<u64, (String, i64)> {
    let text = log.run("consume out --output json -q").expect(0).stdout;
    let mut table = BTreeMap::new();
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let parsed = |field: &str| {
            let text = record[field].as_str()?;
            Some(serde_json::from_str::<serde_json::Value>(text).unwrap())
        };
        let id = parsed("key").unwrap()["id"].as_u64().unwrap();
        match parsed("value") {
            Some(row) => {
                let label = row["label"].as_str().unwrap().to_owned();
                table.insert(id, (label, row["n"].as_i64().unwrap()));
            }
            None => {
                table.remove(&id);
            }
        }
    }
    table
}

/// Follows changes in CSV (`op,id,name,n`), each of which has to fit what was there.
fn follow(csv: &str) -> Table {
    let mut table = Table::new();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("op,id,name,n"));
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let [op, id, name, n] = cells[..] else { panic!("{line}") };
        let id: u64 = id.parse().unwrap();
        let row = (name.to_owned(), n.parse::<i64>().ok());
        match op {
            "+I" => assert_eq!(table.insert(id, row), None, "{line}"),
            "+U" => assert!(table.insert(id, row).is_none(), "-U goes before {line}"),
            "-U" | "-D" => assert_eq!(table.remove(&id), Some(row), "{line}"),
            other => panic!("{other} is no kind"),
        }
    }
    table
}

fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("MILLRACE_UPSERT_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MILLRACE_UPSERT_SEED is a number");
            seed..seed + 1
        }
        Err(_) => default,
    }
}

#[test]
fn changes_make_the_table_that_the_topic_holds_at_any_parallelism_and_batch_size() {
    for seed in seeds(0..3) {
        println!("replay with MILLRACE_UPSERT_SEED={seed}");
        let random = SimRandom::new(seed, "upserts");
        let log = Log::serve();
        log.run("topic create in --partitions 3").expect(0);
        log.run("topic create out --partitions 2").expect(0);
        let (mut table, mut lines) = (Table::new(), String::new());
        change(&random, 600, 20, &mut table, &mut lines);
        log.feed("produce in -q --key-separator \\t --null-marker NIL", &lines).expect(0);
        // With more writers than readers the order of a key's changes is soonest lost.
        let (parallelism, writers, batch_rows) =
            [(1, 3, 1), (3, 2, 7), (2, 1, 4_096)][(seed % 3) as usize];
        let job = |query: &str| {
            let script = format!(
                "{IN}, 'scan.bounded.mode' = 'latest-offset');
                 {OUT}, 'sink.parallelism' = '{writers}');
                 {query}"
            );
            let arguments = format!(
                "--output csv --parallelism {parallelism} --batch-rows {batch_rows} \
                 --checkpoint-interval 20ms --checkpoint-dir {}",
                query.len()
            );
            run_script(log.directory.path(), &upserts(&log, &script), &arguments).expect(0)
        };
        // Each alone, since what one sink needs the other gets too.
        let shown = job("SELECT id, name, n FROM totals;");
        assert_eq!(follow(&shown.stdout), table, "seed {seed}, parallelism {parallelism}");
        job("INSERT INTO large SELECT UPPER(name), n, id FROM totals WHERE n >= 10;");
        assert_eq!(written(&log), large(&table), "seed {seed}, {parallelism} to {writers}");
    }
}

#[test]
fn a_job_killed_at_random_moments_keeps_the_table_right() {
    for seed in seeds(10..12) {
        println!("replay with MILLRACE_UPSERT_SEED={seed}");
        let random = SimRandom::new(seed, "upserts");
        let log = Log::serve();
        log.run("topic create in --partitions 3").expect(0);
        log.run("topic create out --partitions 2").expect(0);
        let mut table = Table::new();
        let guarantee = ["at-least-once", "exactly-once"][(seed % 2) as usize];
        let script = upserts(
            &log,
            &format!(
                "{IN});
                 {OUT}, 'sink.delivery-guarantee' = '{guarantee}',
                    'sink.transactional-id-prefix' = 'large');
                 INSERT INTO large SELECT UPPER(name), n, id FROM totals WHERE n >= 10;"
            ),
        );
        let mut resumed = 0;
        let start = |parallelism: u64| {
            let arguments = format!(
                "--checkpoint-dir checkpoints --checkpoint-interval 30ms --batch-rows 16 \
                 --parallelism {parallelism}"
            );
            Running::start(&mut script_command(log.directory.path(), &script, &arguments))
        };
        for life in 0..5 {
            let job = start(1 + random.below(3));
            for _ in 0..4 {
                let mut lines = String::new();
                // Of most keys no life sees more than one change, so that each life needs what the
                // one before it knew.
                let count = if life == 0 { 60 } else { 8 };
                change(&random, count, 60, &mut table, &mut lines);
                log.feed("produce in -q --key-separator \\t --null-marker NIL", &lines).expect(0);
            }
            pause(200 + random.below(1_200));
            job.signal("KILL");
            resumed += usize::from(job.end().stderr.contains("going on from checkpoint"));
        }
        assert!(resumed > 1, "seed {seed}: the job was killed before its checkpoints");
        let job = start(2);
        // A row of its own tells that this run is there: others may have written all that was before.
        let row = ("name 0".to_owned(), Some(19));
        let mut line = String::new();
        push(1_000, &row, &mut line);
        table.insert(1_000, row);
        log.feed("produce in -q --key-separator \\t --null-marker NIL", &line).expect(0);
        let mut tries = 0;
        while written(&log) != large(&table) {
            tries += 1;
            assert!(tries < 100, "seed {seed}: {:?} for {:?}", written(&log), large(&table));
            pause(200);
        }
        job.signal("INT");
        job.end().expect(0);
        assert_eq!(written(&log), large(&table), "seed {seed}, after its end");
    }
}

/// What `print` shows of two queries over `upserts.tsv`, as Apache Flink 1.20.1 shows it with its
/// connector for Kafka, each key's changes in their order.
#[test]
fn changes_are_those_that_flink_shows() {
    let log = Log::serve();
    log.run("topic create in --partitions 3").expect(0);
    let data = |name: &str| root().join("crates/millrace-cli/tests/data").join(name);
    let lines = std::fs::read_to_string(data("upserts.tsv")).unwrap();
    log.feed("produce in -q --key-separator \\t --null-marker NIL", &lines).expect(0);
    let script = upserts(
        &log,
        &format!(
            "{IN}, 'scan.bounded.mode' = 'latest-offset');
             CREATE TABLE p (id BIGINT, name STRING, n BIGINT)
                WITH ('connector' = 'print', 'print-identifier' = 'all');
             CREATE TABLE q (name STRING, id BIGINT)
                WITH ('connector' = 'print', 'print-identifier' = 'few');
             EXECUTE STATEMENT SET BEGIN
             INSERT INTO p SELECT id, name, n FROM totals;
             INSERT INTO q SELECT UPPER(name), id FROM totals WHERE n IS NULL OR n > 7;
             END;"
        ),
    );
    let ended = run_script(log.directory.path(), &script, "--parallelism 2").expect(0);
    let key = |line: &str| -> (bool, u64) {
        let cells = line.split_once('[').unwrap().1.trim_end_matches(']');
        let cells: Vec<&str> = cells.split(", ").collect();
        let few = line.starts_with("few");
        (few, cells[usize::from(few)].parse().unwrap())
    };
    let mut shown: Vec<String> =
        ended.stdout.lines().map(|line| line.replacen("> ", " ", 1)).collect();
    // Stable: the changes of a key stay in their order.
    shown.sort_by_key(|line| key(line));
    let flink = std::fs::read_to_string(data("upserts-flink-1.20.1.txt")).unwrap();
    assert_eq!(shown, flink.lines().collect::<Vec<_>>());
}

#[test]
fn what_cannot_follow_changes_is_refused_with_its_place() {
    let log = Log::serve();
    for (tables, query, wanted) in [
        (
            "CREATE TABLE files (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'f', 'format' = 'csv');",
            "INSERT INTO files SELECT id FROM totals;",
            "error: `files` takes new rows only, and the query's rows change: connector `filesystem` \
             cannot update or delete\n --> job.sql:5:13",
        ),
        (
            "CREATE TABLE names (name STRING, n BIGINT, PRIMARY KEY (name) NOT ENFORCED)
                WITH (@, 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json');",
            "INSERT INTO names SELECT name, n FROM totals;",
            "error: the primary key of `names` does not hold `id`, by which the query's rows are told \
             apart\n --> job.sql:6:13",
        ),
        (
            "CREATE TABLE twice (id BIGINT, n BIGINT, PRIMARY KEY (id) NOT ENFORCED)
                WITH (@, 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json');",
            "INSERT INTO twice SELECT id * 2, n FROM totals;",
            "error: the primary key of `twice` does not hold `id`",
        ),
        (
            "CREATE TABLE timed (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at,
                PRIMARY KEY (id) NOT ENFORCED)
                WITH (@, 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json');",
            "SELECT * FROM timed;",
            "error: `timed` has a watermark, and its rows change\n --> job.sql:4:14",
        ),
        (
            "CREATE TABLE late (id BIGINT, PRIMARY KEY (id) NOT ENFORCED)
                WITH (@, 'topic' = 'n', 'key.format' = 'json', 'value.format' = 'json',
                'scan.startup.mode' = 'latest-offset');",
            "SELECT * FROM late;",
            "error: option `scan.startup.mode` cannot be set for connector `upsert-kafka`",
        ),
    ] {
        let script = upserts(&log, &format!("{IN});\n{tables}\n{query}"));
        let ended = run_script(log.directory.path(), &script, "").expect(2);
        assert!(ended.stderr.contains(wanted), "{wanted}\n{}", ended.stderr);
    }
}

#[test]
fn explain_shows_the_kinds_of_changes() {
    let log = Log::serve();
    let script = |query: &str| upserts(&log, &format!("{IN});\n{OUT});\nEXPLAIN {query}"));
    let explained =
        |query: &str| run_script(log.directory.path(), &script(query), "").expect(0).stdout;
    let all = explained("INSERT INTO large SELECT name, n, id FROM totals WHERE n > 1;");
    assert!(all.contains("changelog normalize by id"), "{all}");
    assert!(all.contains("changes: +I, -U, +U, -D"), "{all}");
    let upserts = explained("INSERT INTO large SELECT name, n, id FROM totals;");
    assert!(upserts.contains("changes: +I, +U, -D") && !upserts.contains("-U"), "{upserts}");
}
