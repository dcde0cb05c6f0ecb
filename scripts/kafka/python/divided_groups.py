"""Groups of Kafka's newer protocol (group.protocol=consumer), whose partitions the broker divides."""

from contextlib import contextmanager

from confluent_kafka import ConsumerGroupState, ConsumerGroupType, KafkaException, TopicPartition

from groups import group_of, partitions_of, shared_out
from harness import WAIT_S, case, equal, eventually, take

# The broker says how often members are heard (5 s), so that each change takes some of these.
CHANGE_S = 60


@contextmanager
def divided_group(cluster, topics, **settings):
    # With this protocol it is the broker who sets time-outs.
    unset = {"session_timeout_ms": None, "heartbeat_interval_ms": None}
    with group_of(cluster, topics, **unset, group_protocol="consumer", **settings) as group:
        yield group


@case
def the_broker_divides_partitions(cluster):
    topic = cluster.topic(partitions=4)
    with divided_group(cluster, [topic]) as group:
        group.join()
        group.settle(shared_out(partitions_of(topic, 4), [4]), "one member has all")
        second = group.join()
        group.settle(shared_out(partitions_of(topic, 4), [2, 2]), "two members share", CHANGE_S)
        described = cluster.admin.describe_consumer_groups([group.group])[group.group].result(WAIT_S)
        equal(described.type, ConsumerGroupType.CONSUMER, "type")
        equal(described.state, ConsumerGroupState.STABLE, "state")
        equal(described.partition_assignor, "uniform", "assignor")
        for member in described.members:
            equal(len(member.target_assignment.topic_partitions), 2, "partitions it is to have")
        listed = cluster.admin.list_consumer_groups().result(WAIT_S).valid
        equal([g.type for g in listed if g.group_id == group.group], [ConsumerGroupType.CONSUMER], "listed")
        group.leave(second)
        group.settle(shared_out(partitions_of(topic, 4), [4]), "who stays has all again", CHANGE_S)
    eventually(lambda: delete_group(cluster, group.group), "the group is deleted")


def delete_group(cluster, group):
    try:
        cluster.admin.delete_consumer_groups([group])[group].result(WAIT_S)
        return True
    except KafkaException:
        return False


@case
def the_broker_divides_topics_by_pattern_and_range(cluster):
    prefix = cluster.name("p")
    for suffix in ("a", "b"):
        cluster.topic(partitions=2, name=f"{prefix}-{suffix}")
    names = [(f"{prefix}-{suffix}", p) for suffix in ("a", "b") for p in range(2)]
    with divided_group(cluster, [f"^{prefix}-.*"], group_remote_assignor="range") as group:
        group.join()
        group.settle(shared_out(names, [4]), "one member has all", CHANGE_S)
        group.join()
        group.settle(shared_out(names, [2, 2]), "two members share", CHANGE_S)
        for member in group.assigned():
            equal(len({partition for _, partition in member}), 1, f"the same partitions of both topics in {member}")


@case
def commits_of_a_divided_group_are_resumed_from(cluster):
    topic, name = cluster.topic(), cluster.name("g")
    cluster.produce(topic, [b"a", b"b", b"c"])
    settings = {"group_protocol": "consumer", "session_timeout_ms": None}
    first = cluster.consumer(name, **settings)
    first.subscribe([topic])
    equal([m.value() for m in take(first, 3)], [b"a", b"b", b"c"], "records")
    first.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
    first.close()
    second = cluster.consumer(name, **settings)
    second.subscribe([topic])
    equal([m.value() for m in take(second, 1)], [b"c"], "what was not committed")
    second.close()
