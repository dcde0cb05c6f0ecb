use super::*;
use crate::storage::records::BatchBuilder;

const ABORT: TransactionOutcome = TransactionOutcome::Abort;

fn header(id: i64, epoch: i16, sequence: i32, records: usize, offset: i64) -> BatchHeader {
    let mut builder = BatchBuilder::new().producer(id, epoch, sequence);
    for _ in 0..records {
        builder.push(offset, None, None);
    }
    let mut header = BatchHeader::parse(&builder.build()).unwrap();
    header.base_offset = offset;
    header
}

fn transactional(mut header: BatchHeader) -> BatchHeader {
    header.attributes.0 |= 1 << 4;
    header
}

fn check(producers: &Producers, header: &BatchHeader) -> Result<Verdict, ResponseError> {
    producers.check(header, Origin::Client)
}

#[test]
fn one_of_the_last_five_batches_is_known_again_and_an_older_one_is_out_of_order() {
    let mut producers = Producers::default();
    for at in 0..6 {
        let batch = header(1, 0, at * 10, 10, i64::from(at) * 10);
        assert_eq!(check(&producers, &batch), Ok(Verdict::Append));
        producers.appended(&batch, 0);
    }
    for at in 1..6 {
        let verdict = check(&producers, &header(1, 0, at * 10, 10, 999)).unwrap();
        let Verdict::Duplicate(sent) = verdict else { panic!("{verdict:?}") };
        assert_eq!((sent.base_offset, sent.last_offset), (at as i64 * 10, at as i64 * 10 + 9));
    }
    let refused = Err(ResponseError::OutOfOrderSequenceNumber);
    assert_eq!(check(&producers, &header(1, 0, 0, 10, 999)), refused);
    assert_eq!(check(&producers, &header(1, 0, 10, 9, 999)), refused);
    assert_eq!(check(&producers, &header(1, 0, 61, 1, 999)), refused);
    assert_eq!(check(&producers, &header(1, 0, 60, 1, 999)), Ok(Verdict::Append));
}

#[test]
fn an_unknown_producer_may_begin_anywhere_and_a_new_epoch_only_at_zero() {
    let mut producers = Producers::default();
    assert_eq!(check(&producers, &header(1, 3, 77, 1, 0)), Ok(Verdict::Append));
    producers.appended(&header(1, 3, 77, 1, 0), 0);
    let refused = Err(ResponseError::OutOfOrderSequenceNumber);
    assert_eq!(check(&producers, &header(1, 4, 78, 1, 1)), refused);
    assert_eq!(check(&producers, &header(1, 4, 0, 1, 1)), Ok(Verdict::Append));
    producers.appended(&header(1, 4, 0, 1, 1), 0);
    let fenced = Err(ResponseError::InvalidProducerEpoch);
    assert_eq!(check(&producers, &header(1, 3, 78, 1, 2)), fenced);
}

#[test]
fn an_unknown_producer_begins_at_zero_in_a_transaction_of_the_second_version() {
    let mut producers = Producers::default();
    let check = |producers: &Producers, header| {
        producers.check(&transactional(header), Origin::TransactionClient)
    };
    let refused = Err(ResponseError::OutOfOrderSequenceNumber);
    assert_eq!(check(&producers, header(1, 0, 5, 1, 0)), refused);
    assert_eq!(check(&producers, header(1, 0, 0, 1, 0)), Ok(Verdict::Append));
    producers.appended(&transactional(header(1, 0, 0, 1, 0)), 0);
    assert!(matches!(check(&producers, header(1, 0, 0, 1, 1)), Ok(Verdict::Duplicate(_))));
    producers.marked(1, 1, 0, 0, Some((1, ABORT)));
    assert_eq!(check(&producers, header(1, 0, 1, 1, 2)), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(check(&producers, header(1, 1, 1, 1, 2)), refused);
    assert_eq!(check(&producers, header(1, 1, 0, 1, 2)), Ok(Verdict::Append));
}

#[test]
fn sequence_numbers_go_on_at_zero_behind_the_largest() {
    let mut producers = Producers::default();
    producers.appended(&header(1, 0, i32::MAX - 1, 2, 0), 0);
    assert_eq!(check(&producers, &header(1, 0, 0, 1, 2)), Ok(Verdict::Append));
    producers.appended(&header(1, 0, 0, 1, 2), 0);
    assert_eq!(check(&producers, &header(1, 0, 1, 1, 3)), Ok(Verdict::Append));
}

#[test]
fn a_transaction_is_open_from_its_first_batch_to_its_marker() {
    let mut producers = Producers::default();
    assert_eq!(producers.check_marker(1, 0, 0), Ok(false));
    producers.appended(&transactional(header(1, 0, 0, 2, 10)), 0);
    producers.appended(&transactional(header(2, 0, 0, 2, 12)), 0);
    producers.appended(&transactional(header(1, 0, 2, 2, 14)), 0);
    assert_eq!(producers.first_open_offset(), Some(10));
    let plain = check(&producers, &header(1, 0, 4, 1, 16));
    assert_eq!(plain, Err(ResponseError::InvalidTxnState));
    assert_eq!(producers.check_marker(1, 0, 0), Ok(true));
    let ended = producers.marked(1, 0, 0, 5, Some((16, ABORT)));
    let expected = Ended { producer_id: 1, first_offset: 10, last_offset: 16, outcome: ABORT };
    assert_eq!(ended, Some(expected));
    assert_eq!(producers.first_open_offset(), Some(12));
    assert_eq!(producers.check_marker(1, 0, 0), Ok(false));
}

#[test]
fn a_marker_of_a_newer_epoch_fences_and_one_of_an_older_is_refused() {
    let mut producers = Producers::default();
    producers.appended(&transactional(header(1, 5, 0, 2, 10)), 0);
    assert_eq!(producers.check_marker(1, 4, 0), Err(ResponseError::InvalidProducerEpoch));
    producers.marked(1, 6, 3, 5, Some((12, ABORT)));
    let late = check(&producers, &transactional(header(1, 5, 2, 1, 13)));
    assert_eq!(late, Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(producers.check_marker(1, 6, 2), Err(ResponseError::TransactionCoordinatorFenced));
    assert_eq!(check(&producers, &header(1, 6, 0, 1, 13)), Ok(Verdict::Append));
    // Where nothing was open, the epoch counts all the same.
    assert_eq!(producers.marked(9, 2, 0, 5, None), None);
    let late = check(&producers, &header(9, 1, 0, 1, 13));
    assert_eq!(late, Err(ResponseError::InvalidProducerEpoch));
}

#[test]
fn who_was_not_heard_of_is_forgotten_unless_a_transaction_is_open() {
    let mut producers = Producers::default();
    producers.appended(&header(1, 0, 0, 1, 0), 10);
    producers.appended(&header(2, 0, 0, 1, 0), 20);
    producers.appended(&transactional(header(3, 0, 0, 1, 0)), 5);
    producers.forget_before(15);
    let ids: Vec<_> = producers.all().iter().map(|producer| producer.producer_id).collect();
    assert_eq!(ids, [2, 3]);
}
