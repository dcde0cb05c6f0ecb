//! What could not be written has not happened.

use super::*;

#[test]
fn an_assignment_that_was_not_written_is_refused_and_can_be_brought_again() {
    let mut machine = Machine::new();
    let (a, _) = machine.join_dynamic("a");
    let (_, joined_b) = machine.join_dynamic("b");
    let joined_a = machine.join(&Join { member_id: a, ..dynamic("a") });
    let (a, b) = (machine.joined(joined_a), machine.joined(joined_b));
    let (a_ref, b_ref) = (of(&a), of(&b));
    let parts = [(&a.member_id, "part a"), (&b.member_id, "part b")];
    let written = machine.records.clone();
    machine.disk_fails = true;
    let (waiting, leader) = (machine.sync(&b_ref, &[]), machine.sync(&a_ref, &parts));
    for ticket in [waiting, leader] {
        assert_eq!(machine.sync_refusal(ticket), ResponseError::NotCoordinator);
    }
    assert_eq!((machine.state(), machine.records.clone()), (State::CompletingRebalance, written));
    machine.disk_fails = false;
    // Nobody has to join again.
    let (waiting, leader) = (machine.sync(&b_ref, &[]), machine.sync(&a_ref, &parts));
    assert_eq!(machine.assignment(waiting), bytes("part b"));
    assert_eq!(machine.assignment(leader), bytes("part a"));
    assert_eq!((machine.state(), machine.generation()), (State::Stable, a.generation));
}

#[test]
fn who_does_not_ask_again_for_a_part_that_was_not_written_is_out_in_the_end() {
    let mut machine = Machine::new();
    let (a, ticket) = machine.join_dynamic("a");
    let member = of(&machine.joined(ticket));
    machine.disk_fails = true;
    machine.sync(&member, &[(&a, "all")]);
    machine.disk_fails = false;
    machine.pass(i64::from(REBALANCE_MS) + 1);
    assert_eq!(machine.state(), State::Empty);
}

#[test]
fn a_static_member_whose_return_was_not_written_is_not_replaced() {
    let mut machine = Machine::new();
    let ticket = machine.join(&fixed("i"));
    let joined = machine.joined(ticket);
    let member = MemberRef { instance_id: Some(text("i")), ..of(&joined) };
    machine.sync(&member, &[(&joined.member_id, "all")]);
    machine.disk_fails = true;
    let again = machine.join(&fixed("i"));
    assert_eq!(machine.join_refusal(again).1, ResponseError::NotCoordinator);
    assert_eq!(machine.heartbeat(&member), Ok(()), "the old one is not fenced");
    machine.disk_fails = false;
    let again = machine.join(&fixed("i"));
    assert_ne!(machine.joined(again).member_id, joined.member_id);
    assert_eq!(machine.heartbeat(&member), Err(ResponseError::FencedInstanceId));
}

#[test]
fn a_group_whose_end_was_not_written_ends_when_it_can_be() {
    let mut machine = Machine::new();
    let (a, ticket) = machine.join_dynamic("a");
    let member = of(&machine.joined(ticket));
    machine.sync(&member, &[(&a, "all")]);
    machine.disk_fails = true;
    // By leaving, and by silence: time does not stand still meanwhile.
    machine.leave(&[(&a, None)]);
    assert_eq!((machine.state(), machine.generation()), (State::Stable, 1));
    assert_eq!(machine.heartbeat(&member), Ok(()));
    machine.pass(i64::from(SESSION_MS) + i64::from(REBALANCE_MS));
    assert_eq!((machine.state(), machine.generation()), (State::Stable, 1));
    machine.disk_fails = false;
    machine.pass(2_000);
    assert_eq!((machine.state(), machine.generation()), (State::Empty, 2));
    assert!(matches!(machine.records.last(), Some(GroupRecord::Group { value: Some(stored), .. })
        if stored.generation == 2 && stored.members.is_empty()));
}
