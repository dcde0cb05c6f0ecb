//! The answers of the coordinator, one rule a test.

use kafka_protocol::ResponseError as Code;

use super::super::*;
use crate::storage::TransactionOutcome::{Abort, Commit};

const ID: &str = "orders";
const TIMEOUT_MS: i32 = 60_000;

/// A coordinator whose entries are kept without fail.
struct Kept(Coordinator);

impl Kept {
    fn new() -> Self {
        Kept(Coordinator::new(TransactionLimits::default()))
    }

    fn init(&mut self, given: Option<Producer>) -> Result<Renewal, Code> {
        if let Some(entry) = self.0.decide_producer_ids()? {
            self.0.apply(entry);
        }
        let step = self.0.decide_producer(ID, given, TIMEOUT_MS, 0)?;
        self.keep(step)
    }

    fn producer(&mut self) -> Producer {
        match self.init(None) {
            Ok(Renewal::Producer(producer)) => producer,
            other => panic!("no producer but {other:?}"),
        }
    }

    fn add(&mut self, producer: Producer, topic: &str, partition: i32) -> Result<(), Code> {
        let partitions = Partitions::from([(topic.to_owned(), [partition].into())]);
        let step = self.0.decide_add(ID, producer, &partitions, 0)?;
        self.keep(step)
    }

    fn end(&mut self, producer: Producer, commit: bool) -> Result<(), Code> {
        self.end_as(producer, commit, TransactionVersion::V1).map(|next| {
            assert_eq!(next, producer, "the first version keeps its epoch");
        })
    }

    fn end_and_renew(&mut self, producer: Producer, commit: bool) -> Result<Producer, Code> {
        self.end_as(producer, commit, TransactionVersion::V2)
    }

    fn end_as(
        &mut self,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
    ) -> Result<Producer, Code> {
        if let Some(entry) = self.0.decide_producer_ids()? {
            self.0.apply(entry);
        }
        let outcome = if commit { Commit } else { Abort };
        let step = self.0.decide_end(ID, producer, outcome, version, 0)?;
        self.keep(step)
    }

    fn due(&mut self, now_ms: i64) -> Option<Entry> {
        self.0.decide_timeout(now_ms).expect("there are producer ids")
    }

    fn complete(&mut self) {
        let entry = self.0.decide_complete(ID, 0).expect("an end is decided");
        self.0.apply(entry);
    }

    fn keep<A>(&mut self, step: Step<A>) -> Result<A, Code> {
        if let Some(entry) = step.keep {
            self.0.apply(entry);
        }
        Ok(step.answer)
    }

    fn state(&self) -> TransactionState {
        self.0.get(ID).expect("the id is known").state
    }

    fn set_epoch(&mut self, epoch: i16) -> Producer {
        let mut transaction = self.0.get(ID).expect("the id is known").clone();
        transaction.producer.epoch = epoch;
        let producer = transaction.producer;
        self.0.apply(Entry::Transaction { id: ID.to_owned(), transaction: Some(transaction) });
        producer
    }
}

#[test]
fn each_new_owner_has_a_higher_epoch_of_the_same_id() {
    let mut kept = Kept::new();
    let first = kept.producer();
    let second = kept.producer();
    assert_eq!((first.epoch, second.epoch, first.id), (0, 1, second.id));
    assert_eq!(kept.add(first, "a", 0), Err(Code::ProducerFenced));
    assert_eq!(kept.end(first, true), Err(Code::ProducerFenced));
    assert_eq!(kept.add(second, "a", 0), Ok(()));
}

#[test]
fn a_new_owner_waits_until_the_transaction_of_the_old_one_is_aborted() {
    let mut kept = Kept::new();
    let old = kept.producer();
    kept.add(old, "a", 0).unwrap();
    assert_eq!(kept.init(None), Ok(Renewal::AskAgain));
    assert_eq!(kept.state(), TransactionState::PrepareAbort);
    assert_eq!(kept.init(None), Err(Code::ConcurrentTransactions));
    assert_eq!(kept.end(old, true), Err(Code::ProducerFenced), "the old one is out already");
    kept.complete();
    let new = kept.producer();
    assert_eq!(new, Producer { id: old.id, epoch: old.epoch + 2 }, "one epoch went into markers");
}

#[test]
fn a_transaction_ends_as_its_producer_says_and_a_repeated_end_is_confirmed() {
    for commit in [true, false] {
        let mut kept = Kept::new();
        let producer = kept.producer();
        assert_eq!(kept.end(producer, commit), Err(Code::InvalidTxnState), "none was begun");
        kept.add(producer, "a", 0).unwrap();
        kept.end(producer, commit).unwrap();
        assert_eq!(kept.end(producer, commit), Err(Code::ConcurrentTransactions));
        assert_eq!(kept.end(producer, !commit), Err(Code::InvalidTxnState));
        assert_eq!(kept.add(producer, "a", 0), Err(Code::ConcurrentTransactions));
        kept.complete();
        assert_eq!(kept.end(producer, commit), Ok(()));
        assert_eq!(kept.end(producer, !commit), Err(Code::InvalidTxnState));
        kept.add(producer, "b", 0).unwrap();
        let held = &kept.0.get(ID).unwrap().partitions;
        assert_eq!(held.keys().collect::<Vec<_>>(), ["b"], "the next begins without the old ones");
    }
}

#[test]
fn a_repeated_partition_writes_nothing() {
    let mut kept = Kept::new();
    let producer = kept.producer();
    kept.add(producer, "a", 0).unwrap();
    let partitions = Partitions::from([("a".to_owned(), [0].into())]);
    assert_eq!(kept.0.decide_add(ID, producer, &partitions, 1).unwrap().keep, None);
    let more = Partitions::from([("a".to_owned(), [0, 1].into())]);
    assert!(kept.0.decide_add(ID, producer, &more, 1).unwrap().keep.is_some());
}

#[test]
fn who_names_a_producer_gets_the_next_epoch_once_and_the_same_answer_again() {
    let mut kept = Kept::new();
    let first = kept.producer();
    let second = Producer { epoch: 1, ..first };
    assert_eq!(kept.init(Some(first)), Ok(Renewal::Producer(second)));
    assert_eq!(kept.init(Some(first)), Ok(Renewal::Producer(second)), "the answer was lost");
    let third = Producer { epoch: 2, ..first };
    assert_eq!(kept.init(Some(second)), Ok(Renewal::Producer(third)));
    assert_eq!(kept.init(Some(first)), Err(Code::ProducerFenced));
    assert_eq!(kept.init(Some(Producer { id: 77, epoch: 2 })), Err(Code::ProducerFenced));
}

#[test]
fn a_late_repetition_does_not_abort_the_transaction_of_its_own_producer() {
    let mut kept = Kept::new();
    let first = kept.producer();
    kept.init(Some(first)).unwrap();
    let second = Producer { epoch: 1, ..first };
    kept.add(second, "a", 0).unwrap();
    assert_eq!(kept.init(Some(first)), Err(Code::ProducerFenced));
    assert_eq!(kept.state(), TransactionState::Ongoing);
    assert_eq!(kept.init(Some(second)), Ok(Renewal::AskAgain), "its own is aborted");
}

#[test]
fn epochs_that_are_used_up_give_a_new_producer_id() {
    let mut kept = Kept::new();
    let old = kept.producer();
    let last = kept.set_epoch(i16::MAX - 1);
    let new = kept.producer();
    assert_eq!((new.epoch, new.id), (0, old.id + 1));
    assert_eq!(kept.init(Some(last)), Err(Code::ProducerFenced), "nobody asked by that name");

    let last = kept.set_epoch(i16::MAX - 1);
    let Ok(Renewal::Producer(newer)) = kept.init(Some(last)) else { panic!("no producer") };
    assert_eq!((newer.epoch, newer.id), (0, new.id + 1));
    assert_eq!(kept.init(Some(last)), Ok(Renewal::Producer(newer)), "the answer was lost");
    assert_eq!(kept.add(last, "a", 0), Err(Code::InvalidProducerIdMapping));
}

#[test]
fn the_epoch_that_fences_the_last_epoch_is_there() {
    let mut kept = Kept::new();
    kept.producer();
    let last = kept.set_epoch(i16::MAX - 1);
    kept.add(last, "a", 0).unwrap();
    assert_eq!(kept.init(None), Ok(Renewal::AskAgain));
    assert_eq!(kept.0.get(ID).unwrap().producer.epoch, i16::MAX);
    kept.complete();
    assert_eq!(kept.producer(), Producer { id: last.id + 1, epoch: 1 }, "0 was its own to ask for");
}

#[test]
fn limits_and_unknown_ids_are_refused() {
    let mut kept = Kept::new();
    let nobody = Producer { id: 5, epoch: 0 };
    assert_eq!(kept.add(nobody, "a", 0), Err(Code::InvalidProducerIdMapping));
    assert_eq!(kept.end(nobody, true), Err(Code::InvalidProducerIdMapping));
    for timeout_ms in [i32::MIN, -1, 0, 900_001] {
        let answer = kept.0.decide_producer(ID, None, timeout_ms, 0);
        assert_eq!(answer, Err(Code::InvalidTransactionTimeout), "{timeout_ms}");
    }
    assert_eq!(kept.0.decide_producer("", None, 1, 0), Err(Code::InvalidRequest));
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let ended = |kept: &mut Kept, id| kept.0.decide_end(id, nobody, Commit, version, 0);
        assert_eq!(ended(&mut kept, ""), Err(Code::InvalidRequest));
        assert_eq!(ended(&mut kept, "other"), Err(Code::InvalidProducerIdMapping));
    }
    let known = kept.producer();
    let other = Producer { id: known.id + 1, ..known };
    assert_eq!(kept.add(other, "a", 0), Err(Code::InvalidProducerIdMapping));
}

#[test]
fn an_open_transaction_is_aborted_at_its_time_out_and_not_before() {
    let mut kept = Kept::new();
    let producer = kept.producer();
    kept.add(producer, "a", 0).unwrap();
    assert_eq!(kept.due(i64::from(TIMEOUT_MS) - 1), None);
    let entry = kept.due(i64::from(TIMEOUT_MS)).expect("it is due");
    kept.0.apply(entry);
    assert_eq!(kept.state(), TransactionState::PrepareAbort);
    assert_eq!(kept.due(i64::MAX), None, "what is being ended has no deadline");
    kept.complete();
    assert_eq!(kept.end(producer, true), Err(Code::ProducerFenced));
}

#[test]
fn an_id_out_of_use_is_forgotten_after_a_week_and_its_owner_starts_afresh() {
    let mut kept = Kept::new();
    let producer = kept.producer();
    let week_ms = 7 * 24 * 3_600_000;
    assert_eq!(kept.due(week_ms - 1), None);
    let entry = kept.due(week_ms).expect("it is due");
    assert_eq!(entry, Entry::Transaction { id: ID.to_owned(), transaction: None });
    kept.0.apply(entry);
    assert_eq!(kept.due(i64::MAX), None);
    assert_eq!(kept.0.get(ID), None);
    assert_eq!(kept.add(producer, "a", 0), Err(Code::InvalidProducerIdMapping));
    let new = kept.init(Some(producer));
    assert_eq!(new, Ok(Renewal::Producer(Producer { id: producer.id + 1, epoch: 0 })));
}

#[test]
fn a_batch_belongs_only_into_a_partition_of_the_open_transaction_of_its_producer() {
    let mut kept = Kept::new();
    let producer = kept.producer();
    let verify = |kept: &Kept, producer, partition| kept.0.verify(ID, producer, "a", partition);
    assert_eq!(verify(&kept, producer, 0), Err(Code::TransactionAbortable), "none was begun");
    kept.add(producer, "a", 0).unwrap();
    assert_eq!(verify(&kept, producer, 0), Ok(()));
    assert_eq!(verify(&kept, producer, 1), Err(Code::TransactionAbortable));
    let older = Producer { epoch: producer.epoch - 1, ..producer };
    assert_eq!(verify(&kept, older, 0), Err(Code::ProducerFenced));
    let other = Producer { id: producer.id + 1, ..producer };
    assert_eq!(verify(&kept, other, 0), Err(Code::InvalidProducerIdMapping));
    kept.end(producer, true).unwrap();
    assert_eq!(verify(&kept, producer, 0), Err(Code::ConcurrentTransactions));
    kept.complete();
    assert_eq!(verify(&kept, producer, 0), Err(Code::TransactionAbortable));
}

#[test]
fn each_end_of_the_second_version_gives_the_next_epoch_and_its_markers_carry_it() {
    for commit in [true, false] {
        let mut kept = Kept::new();
        let first = kept.producer();
        kept.add(first, "a", 0).unwrap();
        let second = Producer { epoch: 1, ..first };
        assert_eq!(kept.end_and_renew(first, commit), Ok(second));
        assert_eq!(kept.0.get(ID).unwrap().producer, second, "for the markers");
        assert_eq!(kept.add(second, "a", 0), Err(Code::ConcurrentTransactions));
        kept.complete();
        assert_eq!(kept.add(first, "a", 0), Err(Code::ProducerFenced), "a late batch");
        assert_eq!(kept.0.verify(ID, first, "a", 0), Err(Code::ProducerFenced));
        assert_eq!(kept.add(second, "a", 0), Ok(()));
        assert_eq!(kept.end_and_renew(second, commit), Ok(Producer { epoch: 2, ..first }));
    }
}

#[test]
fn an_end_of_the_second_version_that_is_repeated_gets_the_same_answer_until_the_next_begins() {
    for commit in [true, false] {
        let mut kept = Kept::new();
        let first = kept.producer();
        kept.add(first, "a", 0).unwrap();
        let second = kept.end_and_renew(first, commit).unwrap();
        for repeated in [first, second] {
            let again = kept.end_and_renew(repeated, commit);
            assert_eq!(again, Err(Code::ConcurrentTransactions), "it is being ended");
        }
        kept.complete();
        assert_eq!(kept.end_and_renew(first, commit), Ok(second), "the answer was lost");
        assert_eq!(kept.end_and_renew(first, !commit), Err(Code::InvalidTxnState));
        assert_eq!(kept.end(first, commit), Err(Code::ProducerFenced), "a client of version 1");
        kept.add(second, "a", 0).unwrap();
        assert_eq!(kept.end_and_renew(first, commit), Err(Code::ProducerFenced));
        assert_eq!(kept.state(), TransactionState::Ongoing);
    }
}

#[test]
fn the_second_version_aborts_what_never_began_and_commits_it_not() {
    let mut kept = Kept::new();
    let first = kept.producer();
    assert_eq!(kept.end_and_renew(first, true), Err(Code::InvalidTxnState));
    let second = kept.end_and_renew(first, false).unwrap();
    assert_eq!(second, Producer { epoch: 1, ..first });
    assert_eq!(kept.0.get(ID).unwrap().partitions, Partitions::new());
    kept.complete();
    assert_eq!(kept.end_and_renew(second, true), Err(Code::InvalidTxnState));
    kept.add(second, "a", 0).unwrap();
    let third = kept.end_and_renew(second, true).unwrap();
    kept.complete();
    assert_eq!(kept.end_and_renew(third, true), Err(Code::InvalidTxnState), "no repetition");
    assert_eq!(kept.end_and_renew(third, false), Ok(Producer { epoch: 3, ..first }));
}

#[test]
fn an_end_that_takes_the_last_epoch_gives_a_new_producer_id() {
    let mut kept = Kept::new();
    let old = kept.producer();
    let last = kept.set_epoch(i16::MAX - 1);
    kept.add(last, "a", 0).unwrap();
    let new = Producer { id: old.id + 1, epoch: 0 };
    assert_eq!(kept.end_and_renew(last, true), Ok(new));
    assert_eq!(kept.0.get(ID).unwrap().producer, Producer { epoch: i16::MAX, ..last });
    assert_eq!(kept.add(new, "a", 0), Err(Code::ConcurrentTransactions), "it comes too early");
    kept.complete();
    assert_eq!(kept.end_and_renew(last, true), Ok(new), "the answer was lost");
    assert_eq!(kept.add(last, "a", 0), Err(Code::InvalidProducerIdMapping));
    kept.add(new, "a", 0).unwrap();
    assert_eq!(kept.end_and_renew(last, true), Err(Code::InvalidProducerIdMapping));
    assert_eq!(kept.end_and_renew(new, true), Ok(Producer { epoch: 1, ..new }));
}

#[test]
fn who_was_timed_out_gets_the_next_epoch_by_its_own_name_until_another_comes() {
    for commit in [true, false] {
        let mut kept = Kept::new();
        let first = kept.producer();
        kept.add(first, "a", 0).unwrap();
        let entry = kept.due(i64::from(TIMEOUT_MS)).expect("it is due");
        kept.0.apply(entry);
        kept.complete();
        let second = Producer { epoch: 1, ..first };
        assert_eq!(kept.end_and_renew(first, true), Err(Code::InvalidTxnState), "it was aborted");
        assert_eq!(kept.end_and_renew(first, false), Ok(second));
        assert_eq!(kept.init(Some(first)), Ok(Renewal::Producer(second)));
        kept.producer();
        for refused in [first, second] {
            assert_eq!(kept.end_and_renew(refused, commit), Err(Code::ProducerFenced));
            assert_eq!(kept.add(refused, "a", 0), Err(Code::ProducerFenced));
        }
    }
}

#[test]
fn an_id_goes_from_one_version_to_the_other_and_back() {
    let mut kept = Kept::new();
    let first = kept.producer();
    kept.add(first, "a", 0).unwrap();
    kept.end(first, true).unwrap();
    kept.complete();
    let second = kept.producer();
    assert_eq!(kept.end_and_renew(first, true), Err(Code::ProducerFenced), "a predecessor");
    kept.add(second, "a", 0).unwrap();
    let third = kept.end_and_renew(second, true).unwrap();
    kept.complete();
    kept.add(third, "a", 0).unwrap();
    assert_eq!(kept.init(None), Ok(Renewal::AskAgain));
    kept.complete();
    let fourth = kept.producer();
    assert_eq!(fourth, Producer { epoch: 4, ..first });
    kept.add(fourth, "a", 0).unwrap();
    assert_eq!(kept.end(fourth, true), Ok(()));
    kept.complete();
    assert_eq!(kept.end(fourth, true), Ok(()), "the first version repeats with its own epoch");
    assert_eq!(kept.end_and_renew(third, true), Err(Code::ProducerFenced));
}
