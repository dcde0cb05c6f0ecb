use super::*;

#[test]
fn silent_member_is_removed_and_the_others_are_called() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    machine.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(machine.heartbeat(&a), Ok(()));
    machine.pass(1);
    assert_eq!(machine.state(), State::PreparingRebalance);
    assert_eq!(machine.heartbeat(&a), Err(ResponseError::RebalanceInProgress));
    assert_eq!(machine.heartbeat(&b), Err(ResponseError::UnknownMemberId));
    let alone = machine.join(&Join { member_id: a.member_id.clone(), ..dynamic("a") });
    assert_eq!(machine.joined(alone).generation, 3);
    assert_eq!(machine.heartbeat(&a), Err(ResponseError::IllegalGeneration));
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    machine.leave(&[(&a.member_id, None)]);
    let (_, c) = machine.join_dynamic("c");
    for _ in 0..6 {
        machine.pass(i64::from(REBALANCE_MS) / 6 - 1);
        let _ = machine.heartbeat(&b);
    }
    machine.pass(6);
    assert_eq!(machine.joined(c).members.len(), 1);
    assert_eq!(machine.heartbeat(&b), Err(ResponseError::UnknownMemberId));
}

#[test]
fn static_member_stays_for_its_session_though_it_does_not_join_again() {
    let mut machine = Machine::new();
    let long = Join { session_timeout_ms: 600_000, ..fixed("i1") };
    let ticket = machine.join(&long);
    let joined = machine.joined(ticket);
    let member = MemberRef { instance_id: Some(text("i1")), ..of(&joined) };
    machine.sync(&member, &[]);
    let (_, waiting) = machine.join_dynamic("b");
    machine.pass(i64::from(REBALANCE_MS));
    assert_eq!(machine.joined(waiting).members.len(), 2);
}

#[test]
fn last_member_that_leaves_makes_the_group_empty() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    let stranger = text("who");
    let results = machine.leave(&[(&a.member_id, None), (&stranger, None), (&b.member_id, None)]);
    assert_eq!(results, [Ok(()), Err(ResponseError::UnknownMemberId), Ok(())]);
    assert_eq!((machine.state(), machine.generation()), (State::Empty, 3));
    assert!(matches!(machine.records.last(), Some(GroupRecord::Group { value: Some(stored), .. })
        if stored.members.is_empty() && stored.generation == 3));
}

#[test]
fn static_member_leaves_by_its_instance() {
    let mut machine = Machine::new();
    machine.join(&fixed("i1"));
    let nobody = text("");
    assert_eq!(machine.leave(&[(&nobody, Some("i2"))]), [Err(ResponseError::UnknownMemberId)]);
    let other = text("other");
    assert_eq!(machine.leave(&[(&other, Some("i1"))]), [Err(ResponseError::FencedInstanceId)]);
    assert_eq!(machine.leave(&[(&nobody, Some("i1"))]), [Ok(())]);
    assert_eq!(machine.state(), State::Empty);
}

#[test]
fn id_that_nobody_uses_holds_up_the_others_no_longer_than_a_session() {
    let mut machine = Machine::new();
    let (a, _) = machine.stable_pair();
    let never_used = machine.join(&dynamic("c"));
    assert_eq!(machine.join_refusal(never_used).1, ResponseError::MemberIdRequired);
    machine.leave(&[(&a.member_id, None)]);
    let (_, waiting) = machine.join_dynamic("d");
    machine.pass(i64::from(SESSION_MS));
    assert_eq!(machine.joined(waiting).generation, 3);
}

#[test]
fn who_joins_and_never_syncs_is_out() {
    let mut machine = Machine::new();
    let (a, _) = machine.join_dynamic("a");
    let (_, joined_b) = machine.join_dynamic("b");
    let joined_a = machine.join(&Join { member_id: a.clone(), ..dynamic("a") });
    let leader = of(&machine.joined(joined_a));
    let silent = of(&machine.joined(joined_b));
    machine.sync(&leader, &[(&a, "all")]);
    for _ in 0..10 {
        machine.pass(i64::from(REBALANCE_MS) / 10);
        let _ = machine.heartbeat(&leader);
        let _ = machine.heartbeat(&silent);
    }
    assert_eq!(machine.state(), State::PreparingRebalance);
    assert_eq!(machine.heartbeat(&silent), Err(ResponseError::UnknownMemberId));
}

#[test]
fn sync_with_another_generation_assignor_or_member_is_refused() {
    let mut machine = Machine::new();
    let (a, _) = machine.stable_pair();
    let old = machine.sync(&MemberRef { generation: 1, ..a.clone() }, &[]);
    assert_eq!(machine.sync_refusal(old), ResponseError::IllegalGeneration);
    let stranger = machine.sync(&MemberRef { member_id: text("who"), ..a.clone() }, &[]);
    assert_eq!(machine.sync_refusal(stranger), ResponseError::UnknownMemberId);
    let sync = Sync { member: a, protocol: Some(text("sticky")), ..Sync::default() };
    let turn = machine.coordinator.sync(&text(GROUP), &sync, 1_000, machine.now());
    let refusal = Answer::SyncRefused(ResponseError::InconsistentGroupProtocol);
    assert_eq!(turn.answers, [(1_000, refusal)]);
}
