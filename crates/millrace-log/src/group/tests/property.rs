//! Random commands and timers against rules that hold whatever happens.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::state::Group;
use super::*;

/// Clients that may or may not know what the group thinks of them.
const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// As somebody without an id.
    JoinNew {
        client: usize,
        is_static: bool,
        asks_id: bool,
        protocols: u8,
    },
    /// With the last id that the client got.
    JoinAgain {
        client: usize,
        protocols: u8,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
        by_instance: bool,
    },
    Commit {
        client: usize,
        generation_off: i32,
        in_transaction: bool,
    },
    EndTransaction {
        commits: bool,
    },
    Expire,
    Delete,
    Restart,
    /// From now on records can't be written, or can again.
    Disk {
        fails: bool,
    },
    Pass {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        3 => (client.clone(), any::<bool>(), any::<bool>(), 0..4u8).prop_map(
            |(client, is_static, asks_id, protocols)| Step::JoinNew {
                client, is_static, asks_id, protocols
            }
        ),
        6 => (client.clone(), 0..4u8)
            .prop_map(|(client, protocols)| Step::JoinAgain { client, protocols }),
        6 => client.clone().prop_map(|client| Step::Sync { client }),
        4 => client.clone().prop_map(|client| Step::Heartbeat { client }),
        1 => (client.clone(), any::<bool>())
            .prop_map(|(client, by_instance)| Step::Leave { client, by_instance }),
        3 => (client, -2..2i32, any::<bool>()).prop_map(
            |(client, generation_off, in_transaction)| Step::Commit {
                client, generation_off, in_transaction
            }
        ),
        1 => any::<bool>().prop_map(|commits| Step::EndTransaction { commits }),
        1 => Just(Step::Expire),
        1 => Just(Step::Delete),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(|fails| Step::Disk { fails }),
        4 => prop_oneof![0..100i64, 0..20_000i64, 0..100_000i64].prop_map(|ms| Step::Pass { ms }),
    ]
}

/// What a client believes.
#[derive(Clone, Debug, Default)]
struct Client {
    member: MemberRef,
    waiting: Option<Ticket>,
    is_leader: bool,
    /// Of the generation it leads.
    members: Vec<StrBytes>,
}

struct World {
    machine: Machine,
    clients: Vec<Client>,
    /// Requests to join that wait, and since when.
    waiting: BTreeMap<Ticket, i64>,
    /// Everything that was written, to start again from.
    log: Vec<(GroupRecord, Option<i64>)>,
    /// Which members each generation had, as stored.
    generations: BTreeMap<i32, Vec<StrBytes>>,
    highest_generation: i32,
}

fn protocols(bits: u8) -> Vec<(StrBytes, Bytes)> {
    let mut all = vec![(text("range"), subscription(&["t"]))];
    if bits & 1 != 0 {
        all.insert(0, (text("sticky"), subscription(&["t", "u"])));
    }
    if bits & 2 != 0 {
        all.push((text("roundrobin"), bytes("not a subscription")));
    }
    all
}

impl World {
    fn new(config: GroupConfig) -> Self {
        World {
            machine: Machine::with(config),
            clients: vec![Client::default(); CLIENTS],
            waiting: BTreeMap::new(),
            log: Vec::new(),
            generations: BTreeMap::new(),
            highest_generation: 0,
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::JoinNew { client, is_static, asks_id, protocols } => {
                let name = format!("c{client}");
                let base = if is_static { fixed(&name) } else { dynamic(&name) };
                self.clients[client].member.instance_id = base.instance_id.clone();
                self.join(client, &Join { requires_known_member_id: asks_id, ..base }, protocols);
            }
            Step::JoinAgain { client, protocols } => {
                let member = self.clients[client].member.clone();
                let MemberRef { member_id, instance_id, .. } = member;
                let join = Join { member_id, instance_id, ..dynamic(&format!("c{client}")) };
                self.join(client, &join, protocols);
            }
            Step::Sync { client } => self.sync(client),
            Step::Heartbeat { client } => {
                let _ = self.machine.heartbeat(&self.clients[client].member.clone());
            }
            Step::Leave { client, by_instance } => self.leave(client, by_instance),
            Step::Commit { client, generation_off, in_transaction } => {
                self.commit(client, generation_off, in_transaction);
            }
            Step::EndTransaction { commits } => {
                use crate::storage::TransactionOutcome::{Abort, Commit};
                let outcome = if commits { Commit } else { Abort };
                self.machine.coordinator.complete_transaction(77, outcome);
            }
            Step::Expire => {
                let records = self.machine.coordinator.expire(self.machine.now());
                self.write(records, None);
            }
            Step::Delete => {
                let records = self.machine.coordinator.delete(&text(GROUP)).unwrap_or_default();
                self.write(records, None);
            }
            Step::Restart => self.restart(),
            Step::Disk { fails } => self.machine.disk_fails = fails,
            Step::Pass { ms } => self.machine.pass(ms),
        }
        self.settle();
    }

    fn join(&mut self, client: usize, join: &Join, bits: u8) {
        let ticket = self.machine.join(&Join { protocols: protocols(bits), ..join.clone() });
        self.clients[client].waiting = Some(ticket);
        self.waiting.insert(ticket, self.machine.now_ms);
    }

    fn sync(&mut self, client: usize) {
        let Client { member, is_leader, members, .. } = self.clients[client].clone();
        let parts: Vec<_> = members.iter().map(|id| (id, id.as_str())).collect();
        let ticket = self.machine.sync(&member, if is_leader { &parts } else { &[] });
        let Some(Answer::Synced { assignment, .. }) = self.machine.answers.get(&ticket) else {
            return;
        };
        let stable = self.machine.state() == State::Stable;
        assert!(stable, "an assignment is handed out though the group is not stable");
        let group = self.machine.coordinator.group(&text(GROUP)).expect("a stable group");
        assert_eq!(*assignment, group.members[&member.member_id].assignment);
        assert_eq!(member.generation, group.generation, "a stale member has got a part");
    }

    fn leave(&mut self, client: usize, by_instance: bool) {
        let member = self.clients[client].member.clone();
        let nobody = StrBytes::new();
        let instance = member.instance_id.as_deref().filter(|_| by_instance);
        let id = if instance.is_some() { &nobody } else { &member.member_id };
        self.machine.leave(&[(id, instance)]);
    }

    fn commit(&mut self, client: usize, generation_off: i32, in_transaction: bool) {
        let mut member = self.clients[client].member.clone();
        member.generation += generation_off;
        let now = self.machine.now();
        let group = text(GROUP);
        let result = self.machine.coordinator.check_commit(&group, &member, in_transaction, now);
        if result.is_err() {
            return;
        }
        if member.generation >= 0 {
            let group = self.machine.coordinator.group(&group).expect("it took a commit");
            assert_eq!(member.generation, group.generation, "a stale generation has committed");
            assert!(group.members.contains_key(&member.member_id), "a stranger has committed");
        }
        let value = Some(committed(1));
        let record = GroupRecord::Offset { group, partition: place(0), value };
        self.write(vec![record], in_transaction.then_some(77));
    }

    fn write(&mut self, records: Vec<GroupRecord>, producer: Option<i64>) {
        if self.machine.disk_fails {
            return;
        }
        let now = self.machine.now();
        for record in records {
            if matches!(&record, GroupRecord::Group { value: None, .. }) {
                self.generations.clear();
                self.highest_generation = 0;
            }
            let offset = self.log.len() as i64;
            self.log.push((record.clone(), producer));
            self.machine.coordinator.apply(record, offset, producer, now);
        }
    }

    fn restart(&mut self) {
        let config = *self.machine.coordinator.config();
        let mut coordinator = Coordinator::new(config);
        let now = self.machine.now();
        for (offset, (record, producer)) in self.log.iter().enumerate() {
            coordinator.apply(record.clone(), offset as i64, *producer, now);
        }
        self.machine.coordinator = coordinator;
        self.waiting.clear();
        self.highest_generation = self.machine.generation().max(0);
        self.generations.retain(|generation, _| *generation <= self.highest_generation);
        for client in &mut self.clients {
            client.waiting = None;
        }
    }

    /// Clients hear their answers, and everything is looked at.
    fn settle(&mut self) {
        for client in &mut self.clients {
            let Some(answer) = client.waiting.and_then(|t| self.machine.answers.get(&t)) else {
                continue;
            };
            match answer {
                Answer::Joined(joined) => {
                    client.member.member_id = joined.member_id.clone();
                    client.member.generation = joined.generation;
                    client.is_leader = joined.leader == joined.member_id && !joined.skip_assignment;
                    let members = joined.members.iter().map(|member| member.member_id.clone());
                    client.members = members.collect();
                }
                Answer::JoinRefused { member_id, .. } => {
                    client.member.member_id = member_id.clone();
                }
                Answer::Synced { .. } | Answer::SyncRefused(_) => {}
            }
            client.waiting = None;
        }
        for record in std::mem::take(&mut self.machine.records) {
            self.check_stored(&record);
            self.log.push((record, None));
        }
        let answers = &self.machine.answers;
        self.waiting.retain(|ticket, _| !answers.contains_key(ticket));
        for (ticket, since_ms) in &self.waiting {
            let waited_ms = self.machine.now_ms - since_ms;
            let limit_ms = i64::from(REBALANCE_MS)
                + self.machine.coordinator.config().initial_rebalance_delay_ms;
            assert!(waited_ms <= limit_ms, "request {ticket} has waited for {waited_ms} ms");
        }
        if let Some(group) = self.machine.coordinator.group(&text(GROUP)) {
            check_group(group);
            assert!(group.generation >= self.highest_generation, "generations go back");
            self.highest_generation = group.generation;
        }
    }

    /// Of each generation at most one is ever stable: the same members, but for static ones that
    /// have got another id.
    fn check_stored(&mut self, record: &GroupRecord) {
        let GroupRecord::Group { value: Some(stored), .. } = record else { return };
        let mut names: Vec<_> = stored
            .members
            .iter()
            .map(|member| member.instance_id.clone().unwrap_or(member.id.clone()))
            .collect();
        names.sort();
        let first = self.generations.entry(stored.generation).or_insert_with(|| names.clone());
        assert_eq!(*first, names, "generation {} was stable twice", stored.generation);
        for member in &stored.members {
            let is_own = member.assignment.is_empty() || member.assignment == member.id.as_bytes();
            assert!(is_own || member.instance_id.is_some(), "a member has another's part");
        }
    }
}

fn check_group(group: &Group) {
    let joins = group.members.values().filter(|m| m.awaiting_join.is_some()).count();
    let syncs = group.members.values().filter(|m| m.awaiting_sync.is_some()).count();
    match group.state {
        State::Empty => assert!(group.members.is_empty() && group.leader.is_none()),
        State::PreparingRebalance => {
            assert!(group.rebalance.is_some(), "nothing would end the rebalance");
            assert_eq!(syncs, 0);
        }
        State::CompletingRebalance => {
            assert!(joins == 0 && group.protocol.is_some());
            assert!(group.sync_deadline_ms.is_some() || group.pending_sync.is_empty());
        }
        State::Stable => assert!(joins == 0 && syncs == 0, "somebody waits in a stable group"),
        State::Dead => panic!("a dead group is kept"),
    }
    if group.state != State::Empty && !group.members.is_empty() {
        let leader = group.leader.as_ref().expect("a leader");
        assert!(group.members.contains_key(leader), "the leader is no member");
    }
    for (instance, id) in &group.static_members {
        assert_eq!(group.members[id].instance_id.as_ref(), Some(instance));
    }
    let named = group.members.values().filter(|m| m.instance_id.is_some()).count();
    assert_eq!(named, group.static_members.len());
    assert!(group.pending_sync.iter().all(|id| group.members.contains_key(id)));
    for (id, member) in &group.members {
        assert_eq!(*id, member.id);
        if member.awaiting_join.is_none() && group.state != State::PreparingRebalance {
            assert!(!member.is_new, "a member of the generation has not been answered");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_do_the_group_keeps_its_promises(
        steps in prop::collection::vec(step(), 1..120),
        delays in any::<bool>(),
        small in any::<bool>(),
    ) {
        let config = GroupConfig {
            initial_rebalance_delay_ms: if delays { 3_000 } else { 0 },
            max_size: if small { 2 } else { 1_000 },
            ..GroupConfig::default()
        };
        let mut world = World::new(config);
        for step in &steps {
            world.run(step);
        }
        world.machine.disk_fails = false;
        world.machine.pass(2 * i64::from(REBALANCE_MS));
        world.settle();
        prop_assert!(world.waiting.is_empty(), "{:?} wait for ever", world.waiting);
    }
}
