use super::*;
use crate::storage::TransactionOutcome;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl Machine {
    fn commit(&mut self, partition: i32, offset: i64, log_offset: i64, producer: Option<i64>) {
        let now = self.now();
        let value = Some(committed(offset));
        let record = GroupRecord::Offset { group: text(GROUP), partition: place(partition), value };
        self.coordinator.apply(record, log_offset, producer, now);
    }

    fn offset(&self, partition: i32) -> Option<i64> {
        let group = self.coordinator.group(&text(GROUP))?;
        group.offsets.get(&place(partition)).map(|committed| committed.offset)
    }

    fn expire(&mut self) -> usize {
        let records = self.coordinator.expire(self.now());
        let count = records.len();
        let now = self.now();
        for record in records {
            self.coordinator.apply(record, 1_000, None, now);
        }
        count
    }
}

#[test]
fn only_members_of_the_generation_may_commit() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    assert_eq!(machine.check_commit(&a), Ok(()));
    let old = MemberRef { generation: 1, ..b.clone() };
    assert_eq!(machine.check_commit(&old), Err(ResponseError::IllegalGeneration));
    let stranger = MemberRef { member_id: text("who"), ..a.clone() };
    assert_eq!(machine.check_commit(&stranger), Err(ResponseError::UnknownMemberId));
    let nobody = MemberRef { generation: -1, ..MemberRef::default() };
    assert_eq!(machine.check_commit(&nobody), Err(ResponseError::UnknownMemberId));

    machine.join(&Join { member_id: a.member_id.clone(), ..dynamic("a") });
    assert_eq!(machine.check_commit(&b), Ok(()), "before it joins again it may save its work");
    machine.join(&Join { member_id: b.member_id.clone(), ..dynamic("b") });
    assert_eq!(machine.check_commit(&b), Err(ResponseError::IllegalGeneration));
    let b = MemberRef { generation: 3, ..b };
    assert_eq!(machine.check_commit(&b), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn group_without_members_takes_commits_that_claim_no_generation() {
    let mut machine = Machine::new();
    let nobody = MemberRef { generation: -1, ..MemberRef::default() };
    assert_eq!(machine.check_commit(&nobody), Ok(()));
    let ghost = MemberRef { generation: 1, member_id: text("x"), instance_id: None };
    assert_eq!(machine.check_commit(&ghost), Err(ResponseError::IllegalGeneration));
    machine.commit(0, 5, 0, None);
    assert_eq!(machine.check_commit(&nobody), Ok(()));
    assert_eq!(machine.check_commit(&ghost), Err(ResponseError::UnknownMemberId));
}

#[test]
fn transaction_needs_no_membership_but_a_stale_one_is_refused() {
    let mut machine = Machine::new();
    let (a, _) = machine.stable_pair();
    let now = machine.now();
    let mut check =
        |member: &MemberRef| machine.coordinator.check_commit(&text(GROUP), member, true, now);
    assert_eq!(check(&MemberRef { generation: -1, ..MemberRef::default() }), Ok(()));
    assert_eq!(check(&a), Ok(()));
    let stale = MemberRef { generation: 1, ..a };
    assert_eq!(check(&stale), Err(ResponseError::IllegalGeneration));
}

#[test]
fn pending_offset_counts_when_its_transaction_commits() {
    let mut machine = Machine::new();
    machine.commit(0, 5, 0, None);
    machine.commit(0, 9, 1, Some(77));
    machine.commit(1, 3, 2, Some(78));
    assert_eq!((machine.offset(0), machine.offset(1)), (Some(5), None));
    machine.coordinator.complete_transaction(77, TransactionOutcome::Commit);
    machine.coordinator.complete_transaction(78, TransactionOutcome::Abort);
    assert_eq!((machine.offset(0), machine.offset(1)), (Some(9), None));
}

#[test]
fn commit_that_came_after_the_pending_one_wins() {
    let mut machine = Machine::new();
    machine.commit(0, 9, 0, Some(77));
    machine.commit(0, 5, 1, None);
    machine.coordinator.complete_transaction(77, TransactionOutcome::Commit);
    assert_eq!(machine.offset(0), Some(5));
}

#[test]
fn offsets_go_seven_days_after_the_group_is_empty() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    machine.commit(0, 5, 0, None);
    machine.now_ms += 8 * DAY_MS;
    assert_eq!(machine.expire(), 0, "the group has members that read the topic");
    machine.leave(&[(&a.member_id, None), (&b.member_id, None)]);
    machine.now_ms += 7 * DAY_MS - 1;
    assert_eq!(machine.expire(), 0);
    machine.now_ms += 1;
    assert_eq!(machine.expire(), 2, "the offset and the group");
    assert_eq!(machine.state(), State::Dead);
}

#[test]
fn offset_of_a_topic_that_the_group_no_longer_reads_goes_after_seven_days() {
    let mut machine = Machine::new();
    machine.stable_pair();
    machine.commit(0, 5, 0, None);
    let other = TopicPartition { topic: text("left"), partition: 0 };
    let value = Some(committed(1));
    let record = GroupRecord::Offset { group: text(GROUP), partition: other, value };
    machine.coordinator.apply(record, 1, None, machine.now());
    machine.now_ms += 8 * DAY_MS;
    assert_eq!(machine.expire(), 1);
    assert_eq!(machine.offset(0), Some(5));
}

#[test]
fn offset_with_an_open_transaction_does_not_go() {
    let mut machine = Machine::new();
    machine.commit(0, 5, 0, None);
    machine.commit(0, 6, 1, Some(77));
    machine.now_ms += 30 * DAY_MS;
    assert_eq!(machine.expire(), 0);
    machine.coordinator.complete_transaction(77, TransactionOutcome::Abort);
    assert_eq!(machine.expire(), 2);
}

#[test]
fn group_is_deleted_with_its_offsets_only_without_members() {
    let mut machine = Machine::new();
    let unknown = machine.coordinator.delete(&text(GROUP));
    assert_eq!(unknown, Err(ResponseError::GroupIdNotFound));
    let (a, b) = machine.stable_pair();
    machine.commit(0, 5, 0, None);
    assert_eq!(machine.coordinator.delete(&text(GROUP)), Err(ResponseError::NonEmptyGroup));
    machine.leave(&[(&a.member_id, None), (&b.member_id, None)]);
    assert_eq!(machine.coordinator.delete(&text(GROUP)).expect("empty").len(), 2);
}

#[test]
fn offsets_of_a_topic_that_members_read_are_not_deleted() {
    let mut machine = Machine::new();
    machine.stable_pair();
    machine.commit(0, 5, 0, None);
    let other = TopicPartition { topic: text("left"), partition: 0 };
    let results = machine.coordinator.delete_offsets(&text(GROUP), &[place(0), other]);
    assert_eq!(results, Ok(vec![Err(ResponseError::GroupSubscribedToTopic), Ok(None)]));
}
