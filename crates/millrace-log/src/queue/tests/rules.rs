use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::super::partition::{
    Acknowledged, Acknowledgement, Acquired, Cause, GivenUp, Holder, Limits, SharePartition,
};

const LIMITS: Limits =
    Limits { lock_duration_ms: 100, delivery_count_limit: 2, max_in_flight_records: 10 };

fn worker(name: &'static str) -> StrBytes {
    StrBytes::from_static_str(name)
}

fn holder(name: &'static str, session: u64) -> Holder {
    Holder { worker: worker(name), session }
}

fn fetch(partition: &mut SharePartition, name: &'static str, max: usize, now_ms: i64) -> Vec<i64> {
    let log = 0..20;
    let runs = partition.acquire(
        &holder(name, 1),
        log.clone(),
        std::slice::from_ref(&log),
        max,
        &LIMITS,
        now_ms,
    );
    runs.iter().flat_map(|run| run.first_offset..=run.last_offset).collect()
}

fn say(first_offset: i64, last_offset: i64, kinds: &[Acknowledgement]) -> Acknowledged {
    Acknowledged { first_offset, last_offset, kinds: kinds.to_vec() }
}

#[test]
fn two_workers_get_different_records() {
    let mut partition = SharePartition::new(0);
    assert_eq!(fetch(&mut partition, "a", 3, 0), [0, 1, 2]);
    assert_eq!(fetch(&mut partition, "b", 3, 0), [3, 4, 5]);
}

#[test]
fn record_comes_again_when_its_time_is_over_and_not_before() {
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 2, 0);
    assert!(!partition.expire_locks(99));
    assert_eq!(fetch(&mut partition, "b", 1, 99), [2]);
    assert!(partition.expire_locks(100));
    assert_eq!(fetch(&mut partition, "b", 2, 100), [0, 1]);
    let late =
        partition.acknowledge(&holder("a", 1), &[say(0, 1, &[Acknowledgement::Accept])], 101);
    assert_eq!(late, Err(ResponseError::InvalidRecordState));
}

#[test]
fn acknowledgement_behind_its_time_is_refused_though_nobody_else_came() {
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 1, 0);
    let accept = [say(0, 0, &[Acknowledgement::Accept])];
    let outcome = partition.acknowledge(&holder("a", 1), &accept, 100);
    assert_eq!(outcome, Err(ResponseError::InvalidRecordState));
    assert_eq!(partition.acknowledge(&holder("a", 1), &accept, 99), Ok(Vec::new()));
}

#[test]
fn acknowledgements_are_taken_all_or_none() {
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 3, 0);
    fetch(&mut partition, "b", 1, 0);
    let before = partition.clone();
    for beyond in [say(2, 3, &[Acknowledgement::Accept]), say(9, 9, &[Acknowledgement::Accept])] {
        let both = [say(0, 1, &[Acknowledgement::Accept]), beyond];
        let outcome = partition.acknowledge(&holder("a", 1), &both, 1);
        assert_eq!(outcome, Err(ResponseError::InvalidRecordState));
        assert_eq!(partition, before);
    }
}

#[test]
fn acknowledgements_that_make_no_sense_are_refused() {
    use Acknowledgement::Accept;
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 3, 0);
    let before = partition.clone();
    for senseless in [
        vec![say(1, 0, &[Accept])],
        vec![say(0, 2, &[Accept, Accept])],
        vec![say(0, 0, &[])],
        vec![say(1, 1, &[Accept]), say(0, 0, &[Accept])],
        vec![say(1, 1, &[Accept]), say(1, 1, &[Accept])],
        vec![say(i64::MIN, i64::MAX, &[Accept])],
        vec![say(0, i64::MAX, &[Accept])],
    ] {
        let outcome = partition.acknowledge(&holder("a", 1), &senseless, 1);
        assert_eq!(outcome, Err(ResponseError::InvalidRequest), "{senseless:?}");
        assert_eq!(partition, before);
    }
    let far = [say(0, i64::MAX - 1, &[Accept])];
    let outcome = partition.acknowledge(&holder("a", 1), &far, 1);
    assert_eq!(outcome, Err(ResponseError::InvalidRecordState));
}

#[test]
fn record_is_given_up_after_its_last_try_or_when_it_is_rejected() {
    use Acknowledgement::{Accept, Gap, Reject, Release};
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 4, 0);
    let mixed = [say(0, 3, &[Accept, Release, Reject, Gap])];
    let rejected = GivenUp { offset: 2, delivery_count: 1, cause: Cause::Rejected };
    assert_eq!(partition.acknowledge(&holder("a", 1), &mixed, 1), Ok(vec![rejected]));
    assert_eq!(partition.give_up(&LIMITS), []);
    assert_eq!(fetch(&mut partition, "a", 1, 1), [1]);
    assert_eq!(partition.give_up(&LIMITS), [], "it is being worked on");
    assert!(partition.release(&holder("a", 1)));
    let exhausted = GivenUp { offset: 1, delivery_count: 2, cause: Cause::Exhausted };
    assert_eq!(partition.give_up(&LIMITS), [exhausted]);
    assert_eq!((partition.start_offset(), partition.in_flight_records()), (4, 0));
}

/// A worker lost its connection and began a new session at once: when the end of the old connection
/// was seen, what it had got in the new one was handed to others as well.
#[test]
fn end_of_a_session_does_not_release_what_the_next_one_got() {
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 1, 0);
    let log = 0..20;
    partition.acquire(&holder("a", 2), log.clone(), std::slice::from_ref(&log), 1, &LIMITS, 0);
    assert!(partition.release(&holder("a", 1)));
    assert_eq!(fetch(&mut partition, "b", 2, 0), [0, 2]);
    assert!(!partition.release(&holder("a", 1)));
    assert!(partition.release(&holder("a", 2)));
}

#[test]
fn no_more_are_handed_out_than_may_be_in_flight() {
    let mut partition = SharePartition::new(0);
    assert_eq!(fetch(&mut partition, "a", 99, 0).len(), LIMITS.max_in_flight_records);
    assert_eq!(partition.wanted_offset(&LIMITS), None);
    assert_eq!(fetch(&mut partition, "b", 99, 0), Vec::<i64>::new());
    let accept = [say(4, 4, &[Acknowledgement::Accept])];
    partition.acknowledge(&holder("a", 1), &accept, 1).expect("it is held");
    assert_eq!(fetch(&mut partition, "b", 99, 1), [10]);
}

#[test]
fn offsets_without_records_are_done() {
    let mut partition = SharePartition::new(0);
    let runs = partition.acquire(&holder("a", 1), 0..9, &[1..3, 5..6], 99, &LIMITS, 0);
    let run = |first_offset, last_offset| Acquired { first_offset, last_offset, delivery_count: 1 };
    assert_eq!(runs, [run(1, 2), run(5, 5)]);
    assert_eq!((partition.start_offset(), partition.end_offset()), (1, 9));
    partition.release(&holder("a", 1));
    // Compaction has taken offset 2 since.
    let runs = partition.acquire(&holder("a", 2), 1..9, &[1..2, 5..6], 99, &LIMITS, 0);
    assert_eq!(runs.len(), 2);
    assert_eq!(partition.in_flight_records(), 2);
}

#[test]
fn retention_takes_open_records_away() {
    let mut partition = SharePartition::new(0);
    fetch(&mut partition, "a", 4, 0);
    assert_eq!(partition.advance_start(3), 3);
    assert_eq!(partition.start_offset(), 3);
    assert_eq!(partition.advance_start(15), 1);
    assert_eq!((partition.start_offset(), partition.end_offset()), (15, 15));
}
