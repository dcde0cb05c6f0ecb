//! Consumer groups: what they commit, and how that is shown and moved.

use super::Log;
use crate::harness::{Running, pause};

#[test]
fn a_group_reads_on_where_it_was_and_shows_its_lag() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n2\n3\n4\n").expect(0);
    assert_eq!(log.run("consume t --group g --max 3 -q").expect(0).stdout, "1\n2\n3\n");
    let described = log.run("groups describe g").expect(0).stdout;
    assert_eq!(
        described,
        "group `g`: Empty, 0 members, lag 1\n\
         topic  partition  committed  end  lag  member\n\
         t              0          3    4    1  -\n"
    );
    assert_eq!(log.run("consume t --group g -q").expect(0).stdout, "4\n");
    assert_eq!(log.run("consume t --group g -q").expect(0).stdout, "");
    assert_eq!(
        log.run("groups list").expect(0).stdout,
        "group  state  type      members\ng      Empty  consumer        0\n"
    );
    let json = log.run("groups describe g --json").expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["lag"], 0);
    assert_eq!(json[0]["partitions"][0]["committed_offset"], 4);
}

#[test]
fn a_reset_moves_a_group_that_has_no_members() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n2\n3\n").expect(0);
    log.run("consume t --group g -q").expect(0);
    let dry = log.run("groups reset g --to earliest --dry-run").expect(0);
    assert_eq!(dry.stdout, "topic  partition  from  to\nt              0     3   0\n");
    assert_eq!(dry.stderr, "would reset 1 committed offset of group `g`; nothing was done\n");
    assert_eq!(log.run("consume t --group g -q").expect(0).stdout, "");
    let reset = log.run("groups reset g --to 1").expect(0);
    assert_eq!(reset.stderr, "reset 1 committed offset of group `g`\n");
    assert_eq!(log.run("consume t --group g -q").expect(0).stdout, "2\n3\n");
    log.run("groups reset g --to -1h --topic t:0").expect(0);
    assert_eq!(log.run("consume t --group g -q").expect(0).stdout, "1\n2\n3\n");

    let unknown = log.run("groups reset g --to 0 --topic t:9").expect(1);
    assert_eq!(unknown.stderr, "error: topic `t` has no partition 9: it has 1\n");
    let fresh = log.run("groups reset h --to 0").expect(1);
    assert!(fresh.stderr.contains("group `h` has committed no offsets"), "{}", fresh.stderr);
}

#[test]
fn a_group_at_work_is_neither_moved_nor_deleted() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n").expect(0);
    let mut member = Running::start(&mut log.command("consume t --group g --follow"));
    let mut pipe = std::io::BufReader::new(member.stdout());
    std::io::BufRead::read_line(&mut pipe, &mut String::new()).unwrap();
    let reset = log.run("groups reset g --to earliest").expect(1);
    assert!(reset.stderr.contains("group `g` has 1 member"), "{}", reset.stderr);
    let deleted = log.run("groups delete g --yes").expect(1);
    assert!(deleted.stderr.contains("cannot delete group `g`"), "{}", deleted.stderr);
    let described = log.run("groups describe g").expect(0).stdout;
    assert!(described.contains("1 member, assigned by"), "{described}");
    assert!(described.contains("millrace at 127.0.0.1"), "{described}");
}

#[test]
fn deleting_a_group_says_what_is_lost_and_asks() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n").expect(0);
    log.run("consume t --group g -q").expect(0);
    let refused = log.run("groups delete g").expect(2);
    assert_eq!(
        refused.stderr,
        "error: this deletes group `g` with 1 committed offset\n  hint: say --yes to do so\n"
    );
    assert_eq!(log.run("groups delete g --yes").expect(0).stderr, "deleted group `g`\n");
    let gone = log.run("groups describe g").expect(1);
    assert!(gone.stderr.contains("group `g` does not exist in"), "{}", gone.stderr);
}

#[test]
fn a_member_that_is_interrupted_has_committed_what_it_printed() {
    let log = Log::serve();
    log.run("topic create t").expect(0);
    log.feed("produce t -q", "1\n2\n").expect(0);
    let mut member = Running::start(&mut log.command("consume t --group g --follow"));
    let mut pipe = std::io::BufReader::new(member.stdout());
    let mut line = String::new();
    while line != "1\n2\n" {
        std::io::BufRead::read_line(&mut pipe, &mut line).unwrap();
    }
    pause(10);
    member.signal("INT");
    assert!(member.end().expect(0).stderr.starts_with("stopped: read 2 records"));
    assert_eq!(log.run("consume t --group g -q").expect(0).stdout, "");
}
