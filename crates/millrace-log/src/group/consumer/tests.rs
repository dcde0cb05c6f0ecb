use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

mod mixed;

use super::super::command::{Answer, GroupConfig, Join, Moment};
use super::super::coordinator::Coordinator;
use super::super::record::GroupRecord;
use super::*;
use crate::limits::Limits;

const SESSION_TIMEOUT_MS: i64 = 45_000;

/// Topics `a` and `b`, of this many partitions.
struct Topics(i32, i32);

impl TopicSource for Topics {
    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        let (id, count) = match name {
            "a" => (1, self.0),
            "b" => (2, self.1),
            _ => return None,
        };
        (count > 0).then(|| (Uuid::from_u128(id), count))
    }

    fn names(&self) -> Vec<String> {
        let there = ["a", "b"].into_iter().filter(|name| self.find(name).is_some());
        there.map(str::to_owned).collect()
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A client, as it behaves: it owns what it was told, once it says so.
#[derive(Clone, Debug)]
struct Client {
    id: StrBytes,
    instance: Option<StrBytes>,
    epoch: i32,
    owned: Vec<(Uuid, Vec<i32>)>,
}

impl Client {
    fn new(id: &str) -> Self {
        Client { id: text(id), instance: None, epoch: 0, owned: Vec::new() }
    }

    fn beat(&self) -> Beat {
        let joins = self.epoch == 0;
        Beat {
            member_id: self.id.clone(),
            instance_id: self.instance.clone(),
            rack_id: None,
            epoch: self.epoch,
            rebalance_timeout_ms: joins.then_some(10_000),
            topics: joins.then(|| vec![text("a"), text("b")]),
            pattern: None,
            assignor: None,
            owned: Some(self.owned.clone()),
            client_id: text("client"),
            host: text("/127.0.0.1"),
        }
    }

    /// Sends a heartbeat and takes what it is told.
    fn talk(
        &mut self,
        group: &mut Consumers,
        topics: &Topics,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let told = group.beat(&self.beat(), topics, now_ms).map_err(|error| error.code())?;
        self.epoch = told.epoch;
        if let Some(assignment) = told.assignment {
            self.owned = assignment.into_iter().collect();
        }
        Ok(())
    }

    fn parts(&self) -> Parts {
        let topics = self.owned.iter();
        topics.flat_map(|(topic, parts)| parts.iter().map(|part| (*topic, *part))).collect()
    }
}

fn settle(group: &mut Consumers, clients: &mut [Client], topics: &Topics) {
    for _ in 0..8 {
        for client in clients.iter_mut() {
            client.talk(group, topics, 0).expect("it is a member");
        }
    }
}

#[test]
fn member_gets_all_and_gives_up_half_to_another_that_waits_for_it() {
    let (mut group, topics) = (Consumers::new(0, SESSION_TIMEOUT_MS), Topics(4, 0));
    let (mut one, mut two) = (Client::new("1"), Client::new("2"));
    one.talk(&mut group, &topics, 0).expect("it joins");
    assert_eq!((one.epoch, one.parts().len()), (1, 4));
    two.talk(&mut group, &topics, 0).expect("it joins");
    assert_eq!((two.epoch, two.parts().len()), (2, 0), "all are held yet");
    assert_eq!(group.state_name(), "Reconciling");
    let held = one.clone();
    one.talk(&mut group, &topics, 0).expect("it is a member");
    assert_eq!((one.epoch, one.parts().len()), (1, 2), "it is told to give up two");
    two.talk(&mut group, &topics, 0).expect("it is a member");
    assert_eq!(two.parts().len(), 0, "they are not given up yet");
    // It still reads them when it is heard again.
    let still = Client { epoch: 1, ..held };
    still.clone().talk(&mut group, &topics, 0).expect("it is a member");
    two.talk(&mut group, &topics, 0).expect("it is a member");
    assert_eq!(two.parts().len(), 0);
    one.talk(&mut group, &topics, 0).expect("it is a member");
    two.talk(&mut group, &topics, 0).expect("it is a member");
    assert_eq!((one.epoch, two.epoch, two.parts().len()), (2, 2, 2));
    assert!(one.parts().is_disjoint(&two.parts()));
    assert_eq!(group.state_name(), "Stable");
}

#[test]
fn partitions_of_a_dead_member_go_to_the_living() {
    let (mut group, topics) = (Consumers::new(0, SESSION_TIMEOUT_MS), Topics(3, 1));
    let mut clients = [Client::new("1"), Client::new("2")];
    settle(&mut group, &mut clients, &topics);
    let [mut one, two] = clients;
    let late_ms = SESSION_TIMEOUT_MS - 1;
    one.talk(&mut group, &topics, late_ms).expect("it is a member");
    group.expire(&text("g"), late_ms);
    assert_eq!(group.members.len(), 2);
    group.expire(&text("g"), SESSION_TIMEOUT_MS);
    one.talk(&mut group, &topics, SESSION_TIMEOUT_MS).expect("it is a member");
    assert_eq!(one.parts().len(), 4);
    let refused = two.clone().talk(&mut group, &topics, SESSION_TIMEOUT_MS);
    assert_eq!(refused, Err(ResponseError::UnknownMemberId));
}

#[test]
fn member_that_does_not_give_up_in_time_is_removed() {
    let (mut group, topics) = (Consumers::new(0, SESSION_TIMEOUT_MS), Topics(2, 0));
    let (mut one, mut two) = (Client::new("1"), Client::new("2"));
    one.talk(&mut group, &topics, 0).expect("it joins");
    two.talk(&mut group, &topics, 0).expect("it joins");
    let held = one.owned.clone();
    one.talk(&mut group, &topics, 5).expect("it is a member");
    one.owned = held;
    one.talk(&mut group, &topics, 10_004).expect("it is a member");
    group.expire(&text("g"), 10_005);
    assert_eq!(one.talk(&mut group, &topics, 10_005), Err(ResponseError::UnknownMemberId));
    two.talk(&mut group, &topics, 10_005).expect("it is a member");
    assert_eq!(two.parts().len(), 2);
}

#[test]
fn static_member_comes_back_to_its_partitions_without_a_new_assignment() {
    let (mut group, topics) = (Consumers::new(0, SESSION_TIMEOUT_MS), Topics(4, 0));
    let known = Some(text("i"));
    let mut clients = [Client { instance: known.clone(), ..Client::new("1") }, Client::new("2")];
    settle(&mut group, &mut clients, &topics);
    let [one, mut two] = clients;
    let epoch = group.epoch();
    let mut early = Client { instance: known.clone(), ..Client::new("3") };
    assert_eq!(early.talk(&mut group, &topics, 0), Err(ResponseError::UnreleasedInstanceId));
    let mut going = Client { epoch: LEAVES_FOR_A_WHILE, ..one.clone() };
    going.talk(&mut group, &topics, 0).expect("it may go");
    two.talk(&mut group, &topics, 0).expect("it is a member");
    assert_eq!(two.parts().len(), 2, "they are kept for it");
    let mut back = Client { instance: known, ..Client::new("3") };
    back.talk(&mut group, &topics, 0).expect("it comes back");
    assert_eq!((back.parts(), group.epoch()), (one.parts(), epoch));
    assert_eq!(one.clone().talk(&mut group, &topics, 0), Err(ResponseError::FencedInstanceId));
}

#[test]
fn repeated_heartbeat_is_good_and_a_stale_one_is_fenced() {
    let (mut group, topics) = (Consumers::new(0, SESSION_TIMEOUT_MS), Topics(1, 0));
    let mut one = Client::new("1");
    one.talk(&mut group, &topics, 0).expect("it joins");
    let before = one.clone();
    // A topic that grows asks for a new assignment.
    let topics = Topics(2, 0);
    one.talk(&mut group, &topics, 0).expect("it is a member");
    assert_eq!((one.epoch, one.parts().len()), (2, 2));
    let mut again = before.clone();
    again.talk(&mut group, &topics, 0).expect("its answer was lost");
    assert_eq!(again.epoch, 2);
    for stale in [Client { epoch: 7, ..one.clone() }, Client { epoch: 1, ..one.clone() }] {
        let mut beat = stale.beat();
        beat.owned = if stale.epoch == 1 { None } else { beat.owned };
        let refused = group.beat(&beat, &topics, 0).map_err(|error| error.code());
        assert_eq!(refused, Err(ResponseError::FencedMemberEpoch));
    }
    let member = |generation| MemberRef { member_id: text("1"), instance_id: None, generation };
    assert_eq!(group.check(&member(2)), Ok(()));
    assert_eq!(group.check(&member(1)), Err(ResponseError::StaleMemberEpoch));
}

#[test]
fn pattern_follows_topics_that_come_and_must_be_one() {
    let mut group = Consumers::new(0, SESSION_TIMEOUT_MS);
    let one = Client::new("1");
    let with = |pattern: &str| {
        let pattern = Some(text(pattern));
        Beat { topics: None, pattern, ..one.beat() }
    };
    let refused = group.beat(&with("("), &Topics(1, 0), 0).map_err(|error| error.code());
    assert_eq!(refused, Err(ResponseError::InvalidRegularExpression));
    let told = group.beat(&with("[ab]"), &Topics(1, 0), 0).expect("it joins");
    assert_eq!(told.assignment.expect("all is new").len(), 1);
    let later = Beat { epoch: told.epoch, pattern: None, owned: None, ..with("") };
    let told = group.beat(&later, &Topics(1, 3), 0).expect("it is a member");
    assert_eq!(told.assignment.expect("another topic").len(), 2);
}

#[test]
fn range_gives_neighbours_and_uniform_keeps_what_is_kept() {
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (one, two) = (text("1"), text("2"));
    let both: BTreeSet<Uuid> = [a, b].into();
    let subscriptions = BTreeMap::from([(&one, both.clone()), (&two, both)]);
    let topics = BTreeMap::from([(a, 3), (b, 3)]);
    let none = BTreeMap::new();
    let range = Assignor::Range.assign(&subscriptions, &topics, &none);
    assert_eq!(range[&one], Parts::from([(a, 0), (a, 1), (b, 0), (b, 1)]));
    let before = BTreeMap::from([(one.clone(), Parts::from([(a, 2), (b, 0), (b, 1), (b, 2)]))]);
    let uniform = Assignor::Uniform.assign(&subscriptions, &topics, &before);
    assert_eq!((uniform[&one].len(), uniform[&two].len()), (3, 3));
    assert!(uniform[&one].is_subset(&before[&one]), "{uniform:?}");
}

fn at(elapsed_ms: i64) -> Moment {
    Moment { elapsed_ms, wall_ms: 1_000_000 + elapsed_ms }
}

#[test]
fn group_goes_on_with_its_members_after_a_restart_and_then_may_become_classic() {
    let (group, topics) = (text("g"), Topics(2, 0));
    let mut coordinator = Coordinator::default();
    let one = Client::new("1");
    let joined = coordinator.consumer_beat(&group, &one.beat(), &topics, at(0));
    let (told, turn) = joined.expect("it joins");
    let alive = Beat { epoch: told.epoch, ..one.beat() };
    let beat = coordinator.consumer_beat(&group, &alive, &topics, at(0)).expect("it is a member");
    assert_eq!(beat.1.records, [], "nothing has changed");

    // As it was before members were kept: they find themselves unknown, and join again.
    let mut older = Coordinator::default();
    older.apply(turn.records[0].clone(), 0, None, at(0));
    let refused = older.consumer_beat(&group, &alive, &topics, at(0));
    let refused = refused.map(|(told, _)| told).map_err(|error| error.code());
    assert_eq!(refused, Err(ResponseError::UnknownMemberId));
    let joined = older.consumer_beat(&group, &one.beat(), &topics, at(0)).expect("it joins");
    assert_eq!(joined.0.epoch, told.epoch + 1);

    let mut restarted = Coordinator::default();
    for record in turn.records {
        restarted.apply(record, 0, None, at(100));
    }
    let silent = Beat { owned: None, ..alive.clone() };
    let (again, turn) = restarted
        .consumer_beat(&group, &silent, &topics, at(100 + SESSION_TIMEOUT_MS - 1))
        .expect("it is a member");
    assert_eq!((again.epoch, again.assignment), (told.epoch, None), "it goes on as it was");
    assert_eq!(turn.records, []);

    let join = Join {
        member_id: text(""),
        instance_id: None,
        client_id: text("client"),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        requires_known_member_id: false,
        can_skip_assignment: false,
        protocol_type: text("consumer"),
        protocols: vec![(text("range"), bytes::Bytes::new())],
        new_member_id: text("2"),
    };
    let turn = restarted.join(&group, &join, 1, at(0));
    let code = ResponseError::InconsistentGroupProtocol;
    assert_eq!(turn.answers, [(1, Answer::JoinRefused { member_id: text(""), code })]);
    let leaves = Beat { epoch: LEAVES, ..one.beat() };
    restarted.consumer_beat(&group, &leaves, &topics, at(0)).expect("it may go");
    let turn = restarted.join(&group, &join, 2, at(0));
    let gone = GroupRecord::DividedGroup { group: group.clone(), value: None };
    assert!(turn.records.contains(&gone), "{:?}", turn.records);
    assert!(restarted.group(&group).is_some_and(|group| group.consumers().is_none()));
}

/// What happens to a group.
#[derive(Clone, Debug)]
enum Step {
    Beat(usize),
    Join,
    Leave(usize),
    Grow,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6usize).prop_map(Step::Beat),
        2 => Just(Step::Join),
        1 => (0..6usize).prop_map(Step::Leave),
        1 => Just(Step::Grow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// At no time do two clients own the same partition, and when nothing more happens all
    /// partitions have an owner, all clients as many, but for one.
    #[test]
    fn no_partition_has_two_owners_and_all_have_one_in_the_end(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut group, mut topics) = (Consumers::new(0, SESSION_TIMEOUT_MS), Topics(5, 3));
        let mut clients: Vec<Client> = Vec::new();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Beat(at) if at < clients.len() => {
                    clients[at].talk(&mut group, &topics, 0).expect("it is a member");
                }
                Step::Join if clients.len() < 6 => {
                    number += 1;
                    let mut client = Client::new(&number.to_string());
                    client.talk(&mut group, &topics, 0).expect("it joins");
                    clients.push(client);
                }
                Step::Leave(at) if at < clients.len() => {
                    let mut client = clients.remove(at);
                    client.epoch = LEAVES;
                    client.talk(&mut group, &topics, 0).expect("it may go");
                }
                Step::Grow => topics.0 += 1,
                Step::Beat(_) | Step::Join | Step::Leave(_) => {}
            }
            let owned: Vec<_> = clients.iter().flat_map(Client::parts).collect();
            let distinct: BTreeSet<_> = owned.iter().collect();
            prop_assert_eq!(owned.len(), distinct.len(), "two own the same: {:?}", clients);
        }
        settle(&mut group, &mut clients, &topics);
        if clients.is_empty() {
            return Ok(());
        }
        let sizes: Vec<usize> = clients.iter().map(|client| client.parts().len()).collect();
        prop_assert_eq!(sizes.iter().sum::<usize>(), usize::try_from(topics.0 + topics.1).expect("few"));
        let (least, most) = (sizes.iter().min(), sizes.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", sizes);
        prop_assert_eq!(group.state_name(), "Stable");
    }
}

#[test]
fn members_may_be_silent_for_as_long_as_the_settings_say_and_no_longer() {
    let mut limits = Limits::default();
    limits.set("group.consumer.session.timeout.ms", "6000").expect("a number");
    let mut coordinator = Coordinator::new(GroupConfig::from(&limits));
    let (group, topics) = (text("g"), Topics(1, 0));
    coordinator.consumer_beat(&group, &Client::new("1").beat(), &topics, at(0)).expect("it joins");
    assert_eq!(coordinator.next_deadline_ms(), Some(6_000));
    coordinator.fire(at(6_000));
    let known = coordinator.group(&group).and_then(|group| group.consumers());
    assert!(known.is_none_or(|consumers| consumers.is_empty()));
}
