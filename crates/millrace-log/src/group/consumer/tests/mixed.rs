//! Members of both protocols in one group, and the group's way from one to the other.

use std::ops::{Deref, DerefMut};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError as Code;

use super::super::embedded::{Named, assignment, write_assignment};
use super::*;
use crate::group::command::{Joined, MemberRef, Sync, Turn};
use crate::group::state::State;

const GROUP: &str = "g";
const SESSION_MS: i32 = 10_000;

/// What a client says that it wants; from version 1 on with what it has.
fn wants(owned: Option<&Named>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(i16::from(owned.is_some()));
    bytes.put_i32(2);
    for topic in ["a", "b"] {
        bytes.put_i16(1);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    if let Some(owned) = owned {
        // An assignment has the same array between its version and its user data.
        let owned = write_assignment(0, owned);
        bytes.put_slice(&owned[2..owned.len() - 4]);
    }
    bytes.freeze()
}

fn join(id: &str, metadata: Bytes) -> Join {
    Join {
        member_id: text(id),
        instance_id: None,
        client_id: text("client"),
        client_host: text("/127.0.0.1"),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: 10_000,
        requires_known_member_id: false,
        can_skip_assignment: false,
        protocol_type: text("consumer"),
        protocols: vec![(text("range"), metadata)],
        new_member_id: text(id),
    }
}

fn parts_of(named: &Named, topics: &Topics) -> Parts {
    super::super::classic::ids(named, topics)
}

/// A coordinator and all that it has had written down.
#[derive(Default)]
struct World {
    coordinator: Coordinator,
    log: Vec<GroupRecord>,
}

impl World {
    fn write(&mut self, turn: &Turn) {
        self.log.extend(turn.records.iter().cloned());
    }

    /// The broker dies and comes back.
    fn restart(&mut self) {
        self.coordinator = Coordinator::default();
        for record in &self.log {
            let (key, value) = record.encode();
            let record = GroupRecord::decode(key, value).expect("what is written can be read");
            self.coordinator.apply(record, 0, None, at(0));
        }
    }
}

impl Deref for World {
    type Target = Coordinator;

    fn deref(&self) -> &Coordinator {
        &self.coordinator
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }
}

/// What a client of the classic protocol does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Join,
    Sync,
    Heartbeat,
}

/// A client of the classic protocol, which gives up only what it has to, or everything before it
/// joins.
#[derive(Clone, Debug)]
struct Old {
    id: StrBytes,
    cooperative: bool,
    generation: i32,
    owned: Named,
    next: Next,
}

impl Old {
    fn new(id: &str, cooperative: bool) -> Self {
        Old { id: text(id), cooperative, generation: -1, owned: Named::new(), next: Next::Join }
    }

    fn member(&self) -> MemberRef {
        MemberRef { member_id: self.id.clone(), instance_id: None, generation: self.generation }
    }

    /// Sends the next request.
    fn talk(&mut self, coordinator: &mut World, topics: &Topics) {
        match self.next {
            Next::Join => self.join(coordinator, topics),
            Next::Sync => self.sync(coordinator, topics),
            Next::Heartbeat => match coordinator.heartbeat(&text(GROUP), &self.member(), at(0)) {
                Ok(()) => {}
                Err(Code::RebalanceInProgress) => self.next = Next::Join,
                Err(code) => panic!("a member is refused: {code:?}"),
            },
        }
    }

    fn join(&mut self, coordinator: &mut World, topics: &Topics) {
        if !self.cooperative {
            self.owned.clear();
        }
        let join = join(&self.id, wants(self.cooperative.then_some(&self.owned)));
        let turn = coordinator.classic_join(&text(GROUP), &join, 1, topics, at(0));
        let turn = turn.expect("the group is divided");
        coordinator.write(&turn);
        self.generation = joined(turn).generation;
        self.next = Next::Sync;
    }

    fn sync(&mut self, coordinator: &mut World, topics: &Topics) {
        let sync = Sync { member: self.member(), ..Sync::default() };
        let turn = coordinator.sync(&text(GROUP), &sync, 2, at(0));
        match &turn.answers[0].1 {
            Answer::Synced { assignment: part, .. } => {
                let (part, _) = assignment(part.clone()).expect("an assignment");
                let keeps = parts_of(&self.owned, topics).is_subset(&parts_of(&part, topics));
                self.owned = part;
                self.next = if keeps { Next::Heartbeat } else { Next::Join };
            }
            Answer::SyncRefused(Code::RebalanceInProgress) => self.next = Next::Join,
            other => panic!("no part: {other:?}"),
        }
    }
}

fn joined(turn: Turn) -> Joined {
    match turn.answers.into_iter().next() {
        Some((_, Answer::Joined(joined))) => joined,
        other => panic!("not joined: {other:?}"),
    }
}

/// A stable group of the classic protocol with these parts, and its generation.
fn classic(coordinator: &mut World, parts: &[(&str, Named)]) -> i32 {
    let group = text(GROUP);
    let mut generation = 0;
    // All but the first wait for the first to join again.
    for (id, _) in parts.iter().chain(&parts[..usize::from(parts.len() > 1)]) {
        let known = coordinator.group(&group).is_some_and(|group| group.state() != State::Empty);
        let join = Join {
            member_id: if known && *id == parts[0].0 { text(id) } else { text("") },
            ..join(id, wants(None))
        };
        let turn = coordinator.join(&group, &join, 1, at(0));
        coordinator.write(&turn);
        if let Some((_, Answer::Joined(joined))) = turn.answers.last() {
            generation = joined.generation;
        }
    }
    let member_id = text(parts[0].0);
    let assignments =
        parts.iter().map(|(id, named)| (text(id), write_assignment(0, named))).collect();
    let member = MemberRef { member_id, instance_id: None, generation };
    let sync = Sync { member, assignments, ..Sync::default() };
    let turn = coordinator.sync(&group, &sync, 9, at(0));
    coordinator.write(&turn);
    assert_eq!(coordinator.group(&group).map(|group| group.state()), Some(State::Stable));
    generation
}

fn named(topic: &str, partitions: &[i32]) -> Named {
    Named::from([(text(topic), partitions.to_vec())])
}

fn beat(coordinator: &mut World, client: &mut Client, topics: &Topics) -> Result<Turn, Code> {
    let answer = coordinator.consumer_beat(&text(GROUP), &client.beat(), topics, at(0));
    let (told, turn) = answer.map_err(|error| error.code())?;
    coordinator.write(&turn);
    client.epoch = told.epoch;
    if let Some(assignment) = told.assignment {
        client.owned = assignment.into_iter().collect();
    }
    Ok(turn)
}

#[test]
fn members_keep_what_they_have_when_the_first_of_the_newer_protocol_comes() {
    let (mut coordinator, topics) = (World::default(), Topics(4, 0));
    let parts = [("1", named("a", &[0, 1])), ("2", named("a", &[2, 3]))];
    let generation = classic(&mut coordinator, &parts);
    let mut newer = Client::new("3");
    let turn = beat(&mut coordinator, &mut newer, &topics).expect("it joins");
    assert!(matches!(turn.records[0], GroupRecord::DividedGroup { value: Some(_), .. }));
    assert_eq!((newer.epoch, newer.parts().len()), (generation + 1, 0));
    let described = coordinator.group(&text(GROUP)).and_then(|group| group.consumers());
    let described = described.expect("it is divided").describe();
    let classic: Vec<bool> = described.members.iter().map(|member| member.is_classic).collect();
    assert_eq!(classic, [true, true, false]);
    let alive = MemberRef { member_id: text("1"), instance_id: None, generation };
    let told = coordinator.heartbeat(&text(GROUP), &alive, at(0));
    assert_eq!(told, Err(Code::RebalanceInProgress));
    assert_eq!(coordinator.check_commit(&text(GROUP), &alive, false, at(0)), Ok(()));
    let stale = MemberRef { generation: generation + 1, ..alive };
    let refused = coordinator.check_commit(&text(GROUP), &stale, false, at(0));
    assert_eq!(refused, Err(Code::IllegalGeneration));
}

#[test]
fn an_upgrade_that_cannot_be_written_has_not_happened() {
    let (mut coordinator, topics) = (World::default(), Topics(4, 0));
    let generation = classic(&mut coordinator, &[("1", named("a", &[0, 1, 2, 3]))]);
    let turn = beat(&mut coordinator, &mut Client::new("2"), &topics).expect("it joins");
    coordinator.undo(turn.before, &[], turn.now);
    let group = coordinator.group(&text(GROUP)).expect("it is there");
    assert_eq!((group.state(), group.consumers().is_none()), (State::Stable, true));
    let alive = MemberRef { member_id: text("1"), instance_id: None, generation };
    assert_eq!(coordinator.heartbeat(&text(GROUP), &alive, at(0)), Ok(()));
}

#[test]
fn groups_that_the_newer_protocol_cannot_take_over_stay_as_they_are() {
    let topics = Topics(4, 0);
    let mut with_data = BytesMut::from(&write_assignment(0, &named("a", &[0]))[..]);
    with_data.truncate(with_data.len() - 4);
    with_data.put_slice(&[0, 0, 0, 1, 7]);
    for part in [with_data.freeze(), Bytes::from_static(&[0])] {
        let mut coordinator = World::default();
        let generation = classic(&mut coordinator, &[("1", Named::new())]);
        let alive = MemberRef { member_id: text("1"), instance_id: None, generation };
        // The leader joins again, so as to hand out another assignment.
        let again = coordinator.join(&text(GROUP), &join("1", wants(None)), 3, at(0));
        let generation = joined(again).generation;
        let member = MemberRef { generation, ..alive };
        let assignments = vec![(text("1"), part)];
        let sync = Sync { member: member.clone(), assignments, ..Sync::default() };
        coordinator.sync(&text(GROUP), &sync, 4, at(0));
        let refused = beat(&mut coordinator, &mut Client::new("2"), &topics);
        assert_eq!(refused.map(drop), Err(Code::GroupIdNotFound));
        assert_eq!(coordinator.heartbeat(&text(GROUP), &member, at(0)), Ok(()));
    }
}

#[test]
fn silent_members_of_the_classic_protocol_are_removed_at_their_own_time_outs() {
    let (mut coordinator, topics) = (World::default(), Topics(4, 0));
    let mut newer = Client::new("1");
    beat(&mut coordinator, &mut newer, &topics).expect("it joins");
    let mut old = Old::new("2", true);
    old.talk(&mut coordinator, &topics);
    old.talk(&mut coordinator, &topics);
    let moment = i64::from(SESSION_MS);
    coordinator.fire(at(moment - 1));
    assert!(coordinator.heartbeat(&text(GROUP), &old.member(), at(0)).is_ok());
    coordinator.fire(at(moment));
    let gone = coordinator.heartbeat(&text(GROUP), &old.member(), at(moment));
    assert_eq!(gone, Err(Code::UnknownMemberId));
    // Who joins and never asks for its part goes too.
    let join = join("3", wants(None));
    let turn = coordinator.classic_join(&text(GROUP), &join, 1, &topics, at(0));
    let generation = joined(turn.expect("it is divided")).generation;
    let silent = MemberRef { member_id: text("3"), instance_id: None, generation };
    coordinator.heartbeat(&text(GROUP), &silent, at(9_999)).expect("it is a member");
    coordinator.fire(at(10_000));
    let gone = coordinator.heartbeat(&text(GROUP), &silent, at(10_000));
    assert_eq!(gone, Err(Code::UnknownMemberId));
}

/// What happens to a group.
#[derive(Clone, Debug)]
enum Change {
    Talk(usize),
    JoinNew,
    JoinOld { cooperative: bool },
    Leave(usize),
    Restart,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        10 => (0..8usize).prop_map(Change::Talk),
        1 => Just(Change::JoinNew),
        2 => any::<bool>().prop_map(|cooperative| Change::JoinOld { cooperative }),
        1 => (0..8usize).prop_map(Change::Leave),
        1 => Just(Change::Restart),
    ]
}

#[derive(Clone, Debug)]
enum Either {
    New(Client),
    Old(Old),
}

impl Either {
    fn talk(&mut self, coordinator: &mut World, topics: &Topics) {
        match self {
            Either::New(client) => drop(beat(coordinator, client, topics).expect("it is a member")),
            Either::Old(client) => client.talk(coordinator, topics),
        }
    }

    fn parts(&self, topics: &Topics) -> Parts {
        match self {
            Either::New(client) => client.parts(),
            Either::Old(client) => parts_of(&client.owned, topics),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The promises of a group hold whichever protocol its members speak, and over restarts; and when those of the
    /// newer one go, the others are a classic group whose generation none of them is ahead of.
    #[test]
    fn no_partition_has_two_owners_whatever_protocol_they_speak(
        changes in prop::collection::vec(change(), 1..80),
    ) {
        let (mut coordinator, topics) = (World::default(), Topics(5, 3));
        let generation = classic(&mut coordinator, &[("0", named("a", &[0, 1, 2, 3, 4]))]);
        let mut first = Old::new("0", true);
        (first.generation, first.next) = (generation, Next::Heartbeat);
        first.owned = named("a", &[0, 1, 2, 3, 4]);
        // The second one stays, so that the group stays divided.
        let mut clients = vec![Either::Old(first), Either::New(Client::new("1"))];
        clients[1].talk(&mut coordinator, &topics);
        for (number, change) in (2..).zip(changes) {
            match change {
                Change::Talk(place) if place < clients.len() => {
                    clients[place].talk(&mut coordinator, &topics);
                }
                Change::JoinNew if clients.len() < 8 => {
                    let mut client = Either::New(Client::new(&number.to_string()));
                    client.talk(&mut coordinator, &topics);
                    clients.push(client);
                }
                Change::JoinOld { cooperative } if clients.len() < 8 => {
                    clients.push(Either::Old(Old::new(&number.to_string(), cooperative)));
                }
                Change::Leave(place) if place > 1 && place < clients.len() => {
                    leave(&mut coordinator, clients.remove(place), &topics);
                }
                Change::Restart => {
                    let before = described(&coordinator);
                    coordinator.restart();
                    prop_assert_eq!(described(&coordinator), before, "something was forgotten");
                }
                _ => {}
            }
            let owned: Vec<_> = clients.iter().flat_map(|client| client.parts(&topics)).collect();
            let distinct: BTreeSet<_> = owned.iter().collect();
            prop_assert_eq!(owned.len(), distinct.len(), "two own the same: {:?}", clients);
        }
        for _ in 0..60 {
            clients.iter_mut().for_each(|client| client.talk(&mut coordinator, &topics));
        }
        let sizes: Vec<usize> = clients.iter().map(|client| client.parts(&topics).len()).collect();
        prop_assert_eq!(sizes.iter().sum::<usize>(), 8, "{:?}", clients);
        let (least, most) = (sizes.iter().min(), sizes.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", sizes);

        let (old, new): (Vec<_>, Vec<_>) =
            clients.into_iter().partition(|client| matches!(client, Either::Old(_)));
        new.into_iter().for_each(|client| leave(&mut coordinator, client, &topics));
        let mut again = World { coordinator: Coordinator::default(), log: coordinator.log.clone() };
        again.restart();
        let restored = again.group(&text(GROUP)).expect("members are left");
        prop_assert_eq!(restored.state(), State::Stable);
        prop_assert_eq!(restored.members.len(), old.len());
        let group = coordinator.group(&text(GROUP)).expect("members are left");
        prop_assert!(group.consumers().is_none());
        prop_assert_eq!(group.state(), State::PreparingRebalance);
        for client in old {
            let Either::Old(client) = client else { continue };
            prop_assert!(client.generation < group.generation);
        }
    }
}

/// All that can be seen of the group.
fn described(coordinator: &Coordinator) -> String {
    let group = coordinator.group(&text(GROUP)).and_then(|group| group.consumers());
    format!("{:?}", group.map(Consumers::describe))
}

fn leave(coordinator: &mut World, client: Either, topics: &Topics) {
    match client {
        Either::New(mut client) => {
            client.epoch = LEAVES;
            beat(coordinator, &mut client, topics).expect("it may go");
        }
        Either::Old(client) if client.generation >= 0 => {
            let gone = coordinator.leave(&text(GROUP), &[(client.id, None)], at(0));
            let (results, turn) = gone.expect("a named group");
            coordinator.write(&turn);
            assert_eq!(results, [Ok(())]);
        }
        Either::Old(_) => {}
    }
}
