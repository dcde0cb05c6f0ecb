use super::*;

#[test]
fn new_client_gets_an_id_first_and_a_generation_of_its_own_then() {
    let mut machine = Machine::new();
    let (id, ticket) = machine.join_dynamic("a");
    let joined = machine.joined(ticket);
    assert_eq!((joined.generation, &joined.leader), (1, &id));
    assert_eq!(joined.protocol, Some(text("range")));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(machine.state(), State::CompletingRebalance);
}

#[test]
fn old_client_joins_without_an_id() {
    let mut machine = Machine::new();
    let join = Join { requires_known_member_id: false, ..dynamic("a") };
    let ticket = machine.join(&join);
    assert_eq!(machine.joined(ticket).generation, 1);
}

#[test]
fn second_member_waits_until_the_first_joins_again_and_only_the_leader_sees_all() {
    let mut machine = Machine::new();
    let (a, first) = machine.join_dynamic("a");
    let member = of(&machine.joined(first));
    machine.sync(&member, &[(&a, "all")]);
    let (b, waiting) = machine.join_dynamic("b");
    assert!(!machine.answers.contains_key(&waiting));
    assert_eq!(machine.heartbeat(&member), Err(ResponseError::RebalanceInProgress));

    let again = machine.join(&Join { member_id: a.clone(), ..dynamic("a") });
    let (leader, follower) = (machine.joined(again), machine.joined(waiting));
    assert_eq!((leader.generation, follower.generation), (2, 2));
    assert_eq!((&leader.leader, &follower.leader), (&a, &a));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(follower.member_id, b);
}

#[test]
fn everybody_gets_their_part_when_the_leader_brings_it() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    assert_eq!(machine.generation(), 2);
    let late = machine.sync(&b, &[]);
    assert_eq!(machine.assignment(late), bytes("part b"));
    assert_eq!(machine.heartbeat(&a), Ok(()));
    assert!(matches!(machine.records.last(), Some(GroupRecord::Group { value: Some(stored), .. })
        if stored.generation == 2 && stored.members.len() == 2));
}

#[test]
fn assignor_is_the_one_that_most_prefer_among_those_that_all_know() {
    let names = |names: &[&str]| {
        names.iter().map(|name| (text(name), subscription(&["t"]))).collect::<Vec<_>>()
    };
    let mut machine = Machine::new();
    let protocols = [&["only-a", "x", "y"][..], &["y", "x"], &["y", "only-c", "x"]];
    let mut ids = Vec::new();
    let mut tickets = Vec::new();
    for (index, protocols) in protocols.iter().enumerate() {
        let join = Join { protocols: names(protocols), ..dynamic("c") };
        let ticket = machine.join(&join);
        let (id, _) = machine.join_refusal(ticket);
        tickets.push(machine.join(&Join { member_id: id.clone(), ..join.clone() }));
        ids.push((index, id));
    }
    let again = Join { protocols: names(protocols[0]), ..dynamic("c") };
    let first = machine.join(&Join { member_id: ids[0].1.clone(), ..again });
    assert_eq!(machine.joined(first).protocol, Some(text("y")));
    assert_eq!(machine.joined(tickets[2]).protocol, Some(text("y")));

    let stranger = Join { protocols: names(&["only-a"]), ..dynamic("d") };
    let refused = machine.join(&stranger);
    assert_eq!(machine.join_refusal(refused).1, ResponseError::InconsistentGroupProtocol);
    let other_type = Join { protocol_type: text("connect"), ..dynamic("d") };
    let refused = machine.join(&Join { protocols: names(&["y"]), ..other_type });
    assert_eq!(machine.join_refusal(refused).1, ResponseError::InconsistentGroupProtocol);
}

#[test]
fn first_member_without_protocols_is_refused_and_leaves_no_group() {
    let mut machine = Machine::new();
    let ticket = machine.join(&Join { protocols: Vec::new(), ..dynamic("a") });
    assert_eq!(machine.join_refusal(ticket).1, ResponseError::InconsistentGroupProtocol);
    assert_eq!(machine.state(), State::Dead);
}

#[test]
fn session_outside_the_limits_and_unknown_ids_are_refused() {
    let mut machine = Machine::new();
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let ticket = machine.join(&Join { session_timeout_ms, ..dynamic("a") });
        assert_eq!(machine.join_refusal(ticket).1, ResponseError::InvalidSessionTimeout);
    }
    let stranger = Join { member_id: text("who"), ..dynamic("a") };
    let ticket = machine.join(&stranger);
    assert_eq!(machine.join_refusal(ticket).1, ResponseError::UnknownMemberId);
    machine.stable_pair();
    let ticket = machine.join(&stranger);
    assert_eq!(machine.join_refusal(ticket).1, ResponseError::UnknownMemberId);
}

#[test]
fn follower_that_joins_again_unchanged_learns_the_generation_and_a_leader_starts_the_next() {
    let mut machine = Machine::new();
    let (a, b) = machine.stable_pair();
    let follower = machine.join(&Join { member_id: b.member_id.clone(), ..dynamic("b") });
    assert_eq!(machine.joined(follower).generation, 2);
    assert_eq!(machine.state(), State::Stable);
    let leader = machine.join(&Join { member_id: a.member_id.clone(), ..dynamic("a") });
    assert_eq!(machine.state(), State::PreparingRebalance);
    assert!(!machine.answers.contains_key(&leader));
}

#[test]
fn changed_subscription_starts_a_rebalance_and_sends_away_who_waits_for_the_old() {
    let mut machine = Machine::new();
    let (a, _) = machine.join_dynamic("a");
    let (b, joined_b) = machine.join_dynamic("b");
    machine.join(&Join { member_id: a.clone(), ..dynamic("a") });
    let waiting = machine.sync(&of(&machine.joined(joined_b)), &[]);
    let protocols = vec![(text("range"), subscription(&["t", "u"]))];
    machine.join(&Join { member_id: a, protocols, ..dynamic("a") });
    assert_eq!(machine.sync_refusal(waiting), ResponseError::RebalanceInProgress);
    assert_eq!(machine.state(), State::PreparingRebalance);
    let joined = machine.join(&Join { member_id: b, ..dynamic("b") });
    assert_eq!(machine.joined(joined).generation, 3);
}

#[test]
fn full_group_turns_newcomers_away() {
    let mut machine = Machine::with(GroupConfig { max_size: 2, ..GroupConfig::default() });
    machine.stable_pair();
    let ticket = machine.join(&dynamic("c"));
    assert_eq!(machine.join_refusal(ticket), (text(""), ResponseError::GroupMaxSizeReached));
    assert_eq!(machine.state(), State::Stable);
}

#[test]
fn group_with_an_initial_delay_gathers_its_first_members() {
    let config = GroupConfig { initial_rebalance_delay_ms: 3_000, ..GroupConfig::default() };
    let mut machine = Machine::with(config);
    let (_, a) = machine.join_dynamic("a");
    machine.pass(2_000);
    let (_, b) = machine.join_dynamic("b");
    machine.pass(2_000);
    assert!(!machine.answers.contains_key(&a), "a member came, so it waits once more");
    machine.pass(2_000);
    assert_eq!((machine.joined(a).generation, machine.joined(b).generation), (1, 1));
}

#[test]
fn static_member_that_comes_back_takes_over_without_a_rebalance() {
    let mut machine = Machine::new();
    let ticket = machine.join(&fixed("i1"));
    let before = machine.joined(ticket);
    let member = MemberRef { instance_id: Some(text("i1")), ..of(&before) };
    machine.sync(&member, &[(&before.member_id, "all")]);

    let ticket = machine.join(&fixed("i1"));
    let after = machine.joined(ticket);
    assert_ne!(after.member_id, before.member_id);
    assert_eq!((after.generation, machine.state()), (1, State::Stable));
    assert!(after.skip_assignment && after.leader == after.member_id);
    assert_eq!(machine.heartbeat(&member), Err(ResponseError::FencedInstanceId));
    assert_eq!(machine.check_commit(&member), Err(ResponseError::FencedInstanceId));
    let again = machine.join(&Join { member_id: before.member_id, ..fixed("i1") });
    assert_eq!(machine.join_refusal(again).1, ResponseError::FencedInstanceId);
    let member = MemberRef { instance_id: Some(text("i1")), ..of(&after) };
    let synced = machine.sync(&member, &[]);
    assert_eq!(machine.assignment(synced), bytes("all"));
}

#[test]
fn static_leader_of_an_old_client_is_told_that_somebody_else_leads() {
    let mut machine = Machine::new();
    let ticket = machine.join(&fixed("i1"));
    let before = machine.joined(ticket);
    let member = MemberRef { instance_id: Some(text("i1")), ..of(&before) };
    machine.sync(&member, &[(&before.member_id, "all")]);
    let ticket = machine.join(&Join { can_skip_assignment: false, ..fixed("i1") });
    let after = machine.joined(ticket);
    assert_eq!(after.leader, before.member_id);
    assert!(after.members.is_empty() && !after.skip_assignment);
}

#[test]
fn second_client_with_the_same_instance_fences_the_one_that_waits() {
    let mut machine = Machine::new();
    machine.stable_pair();
    let first = machine.join(&fixed("i1"));
    assert!(!machine.answers.contains_key(&first));
    let second = machine.join(&fixed("i1"));
    assert_eq!(machine.join_refusal(first).1, ResponseError::FencedInstanceId);
    machine.pass(i64::from(REBALANCE_MS));
    assert_eq!(machine.joined(second).generation, 3);
}
