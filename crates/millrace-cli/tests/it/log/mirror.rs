//! Copying a log, through deaths of the mirror.

use super::Log;
use crate::harness::{Running, pause};

/// `key:value` lines; the value is the number of the line.
fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("{}:{number}\n", number % 7)).collect()
}

fn numbers(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn mirror(from: &Log, to: &Log, more: &str) -> std::process::Command {
    from.command(&format!("mirror --from {} --to {} {more}", from.address, to.address))
}

#[test]
fn a_mirror_killed_again_and_again_copies_each_record_once() {
    let (first, second) = (Log::serve(), Log::serve());
    first.run("topic create t --partitions 3 --config retention.ms=90000000000").expect(0);
    first.feed("produce t -q --key-separator :", &lines(0..30_000)).expect(0);
    // How many records of the copy are committed; before its first transaction there may be no topic.
    let copied = || second.run("consume t -q").stdout.lines().count();
    // Some die at a moment of the clock, some when they have committed, however slow the machine is.
    for (round, time_ms) in [Some(400), None, Some(1_300), None].into_iter().enumerate() {
        let before = copied();
        let mirror = Running::start(&mut mirror(&first, &second, "--interval 1s"));
        let begin = 30_000 + round as u32 * 10_000;
        // Transactions of the source leave markers, and with them gaps.
        first
            .feed("produce t -q --key-separator : --transaction", &lines(begin..begin + 10_000))
            .expect(0);
        match time_ms {
            Some(time_ms) => pause(time_ms),
            None => {
                while copied() == before {
                    pause(50);
                }
            }
        }
        mirror.signal("KILL");
    }
    let ended = crate::harness::run(&mut mirror(&first, &second, "--once")).expect(0);
    assert!(ended.stderr.starts_with("copied "), "{}", ended.stderr);
    assert!(!ended.stderr.starts_with("copied 70,000 "), "no mirror had committed anything");

    let all = second.run("consume t -q").expect(0).stdout;
    assert_eq!(numbers(&all), (0..70_000).collect::<Vec<_>>());
    for partition in 0..3 {
        let read = |log: &Log| {
            let arguments = format!("consume t -q --output key-value --partition {partition}");
            log.run(&arguments).expect(0).stdout
        };
        assert_eq!(read(&first), read(&second), "partition {partition} has another order");
    }
    let described = second.run("topic describe t").expect(0).stdout;
    assert!(described.contains("retention.ms = 90000000000"), "{described}");
}

#[test]
fn a_group_carries_on_at_the_second_site_with_what_it_has_not_read() {
    let (first, second) = (Log::serve(), Log::serve());
    first.run("topic create t --partitions 2").expect(0);
    for begin in [0, 1_000, 2_000] {
        let lines = lines(begin..begin + 1_000);
        first.feed("produce t -q --key-separator : --transaction", &lines).expect(0);
    }
    let before = first.run("consume t --group g --max 1234 -q").expect(0).stdout;
    crate::harness::run(&mut mirror(&first, &second, "--once")).expect(0);
    // What the first site goes on with, and how far the group gets there, comes along.
    first.feed("produce t -q --key-separator : --transaction", &lines(3_000..4_000)).expect(0);
    let more = first.run("consume t --group g --max 500 -q").expect(0).stdout;
    let ended = crate::harness::run(&mut mirror(&first, &second, "--once")).expect(0);
    assert!(ended.stderr.contains("copied 1,000 records"), "{}", ended.stderr);

    drop(first);
    let after = second.run("consume t --group g -q").expect(0).stdout;
    assert_eq!(numbers(&(before + &more + &after)), (0..4_000).collect::<Vec<_>>());
}

#[test]
fn headers_keys_times_and_tombstones_are_copied() {
    let (first, second) = (Log::serve(), Log::serve());
    first.run("topic create t --partitions 2 --config retention.ms=-1").expect(0);
    let records = "{\"key\":\"k\",\"value\":null,\"timestamp\":5,\"partition\":1,\"headers\":[[\"a\",\"1\"],[\"a\",null]]}\n\
        {\"key\":null,\"value_base64\":\"/wA=\",\"timestamp\":6,\"partition\":0}\n";
    first.feed("produce t --format json -q", records).expect(0);
    crate::harness::run(&mut mirror(&first, &second, "--once --topics t|u")).expect(0);
    let read = |log: &Log| {
        let text = log.run("consume t --output json -q").expect(0).stdout;
        // Partitions come in no order.
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(read(&first), read(&second));
    assert_eq!(read(&second).len(), 2);
}

#[test]
fn what_a_mirror_must_not_do_is_refused() {
    let (first, second) = (Log::serve(), Log::serve());
    let refused = crate::harness::run(&mut mirror(&first, &first, "--once")).expect(2);
    assert!(refused.stderr.contains("are the same log"), "{}", refused.stderr);
    let nothing = crate::harness::run(&mut mirror(&first, &second, "--once --topics x")).expect(1);
    assert!(nothing.stderr.contains("matches the pattern"), "{}", nothing.stderr);

    for log in [&first, &second] {
        log.run("topic create t").expect(0);
        log.feed("produce t -q", "mine\n").expect(0);
    }
    let foreign = crate::harness::run(&mut mirror(&first, &second, "--once")).expect(1);
    assert!(foreign.stderr.contains("that this mirror did not write"), "{}", foreign.stderr);
    assert_eq!(second.run("consume t -q").expect(0).stdout, "mine\n");
}

#[test]
fn a_second_mirror_of_the_name_takes_over_and_the_first_one_ends() {
    let (first, second) = (Log::serve(), Log::serve());
    first.run("topic create t").expect(0);
    first.feed("produce t -q", "1\n").expect(0);
    let older = Running::start(&mut mirror(&first, &second, "--interval 100ms"));
    while !second.run("consume t -q").stdout.contains('1') {
        pause(50);
    }
    crate::harness::run(&mut mirror(&first, &second, "--once")).expect(0);
    first.feed("produce t -q", "2\n").expect(0);
    let ended = older.end().expect(1);
    assert!(ended.stderr.contains("took over"), "{}", ended.stderr);
    crate::harness::run(&mut mirror(&first, &second, "--once")).expect(0);
    assert_eq!(second.run("consume t -q").expect(0).stdout, "1\n2\n");
}
