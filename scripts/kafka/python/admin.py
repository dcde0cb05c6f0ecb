"""Topics and their configs: creating, describing, altering, deleting, and what is refused."""

from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from harness import WAIT_S, case, check, equal, eventually, refused


def create(cluster, topic, partitions=1, replicas=1, validate=False, **config):
    new = NewTopic(topic, partitions, replicas, config=config)
    return cluster.admin.create_topics([new], validate_only=validate)[topic].result(WAIT_S)


def configs(cluster, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return cluster.admin.describe_configs([resource])[resource].result(WAIT_S)


def alter(cluster, topic, name, operation, value=None):
    entry = ConfigEntry(name, value, incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    return cluster.admin.incremental_alter_configs([resource])[resource].result(WAIT_S)


@case
def topics_that_cannot_be_are_refused(cluster):
    topic = cluster.topic()
    refused(lambda: create(cluster, topic), "TOPIC_ALREADY_EXISTS")
    for name in ["no spaces", "..", ".", "ümlaut", "x" * 250, "a/b"]:
        refused(lambda: create(cluster, name), "TOPIC_EXCEPTION")
    new = cluster.name()
    refused(lambda: create(cluster, new, partitions=0), "INVALID_PARTITIONS")
    refused(lambda: create(cluster, new, replicas=3), "INVALID_REPLICATION_FACTOR")
    refused(lambda: create(cluster, new, **{"no.such.config": "1"}), "INVALID_CONFIG")
    refused(lambda: create(cluster, new, **{"retention.ms": "soon"}), "INVALID_CONFIG")
    refused(lambda: create(cluster, new, **{"cleanup.policy": "burn"}), "INVALID_CONFIG")
    check(new not in cluster.admin.list_topics(timeout=10).topics, "a refused topic isn't there")


@case
def names_that_collide_in_metrics_are_refused(cluster):
    stem = cluster.name("a")
    create(cluster, f"{stem}.b_c")
    refused(lambda: create(cluster, f"{stem}_b.c"), "TOPIC_EXCEPTION")


@case
def validation_creates_nothing(cluster):
    new = cluster.name()
    create(cluster, new, validate=True)
    check(new not in cluster.admin.list_topics(timeout=10).topics, "only validated")
    refused(lambda: create(cluster, new, validate=True, **{"retention.ms": "x"}), "INVALID_CONFIG")


@case
def deleting_an_unknown_topic_is_refused(cluster):
    missing = cluster.name("missing")
    refused(
        lambda: cluster.admin.delete_topics([missing])[missing].result(WAIT_S), "UNKNOWN_TOPIC_OR_PART"
    )


@case
def configs_are_shown_changed_and_reset(cluster):
    topic = cluster.topic(retention_ms=123456)
    shown = configs(cluster, topic)
    equal(shown["retention.ms"].value, "123456", "a config given at creation")
    equal(shown["retention.ms"].is_default, False, "it isn't the default")
    equal(shown["cleanup.policy"].value, "delete", "default of cleanup.policy")
    equal(shown["cleanup.policy"].is_default, True, "it is the default")
    equal(shown["max.message.bytes"].value, "1048588", "default of max.message.bytes")
    equal(shown["segment.bytes"].value, "1073741824", "default of segment.bytes")
    equal(shown["min.insync.replicas"].value, "1", "default of min.insync.replicas")
    equal(shown["message.timestamp.type"].value, "CreateTime", "default of message.timestamp.type")
    equal(shown["compression.type"].value, "producer", "default of compression.type")

    def value(name):
        return configs(cluster, topic)[name].value

    alter(cluster, topic, "segment.bytes", AlterConfigOpType.SET, "2097152")
    eventually(lambda: value("segment.bytes") == "2097152", "a changed config")
    equal(value("retention.ms"), "123456", "the other config")
    alter(cluster, topic, "retention.ms", AlterConfigOpType.DELETE)
    eventually(lambda: value("retention.ms") == "604800000", "a config set back to its default")
    alter(cluster, topic, "cleanup.policy", AlterConfigOpType.APPEND, "compact")
    eventually(lambda: value("cleanup.policy") == "delete,compact", "a list that was appended to")
    alter(cluster, topic, "cleanup.policy", AlterConfigOpType.SUBTRACT, "delete")
    eventually(lambda: value("cleanup.policy") == "compact", "a list that was subtracted from")


@case
def configs_are_shown_in_one_form_however_they_were_written(cluster):
    topic = cluster.name("forms")
    written = {
        "cleanup.policy": "delete, compact",
        "unclean.leader.election.enable": "FALSE",
        "min.cleanable.dirty.ratio": "0",
        "retention.ms": " 5000",
    }
    create(cluster, topic, **written)
    shown = {"delete,compact", "false", "0.0", "5000"}
    equal({configs(cluster, topic)[name].value for name in written}, shown, "values")
    for value, shown in [("", ""), ("compact,delete", "compact,delete")]:
        alter(cluster, topic, "cleanup.policy", AlterConfigOpType.SET, value)
        eventually(lambda: configs(cluster, topic)["cleanup.policy"].value == shown, f"policy {value!r}")


@case
def invalid_configs_are_refused(cluster):
    topic = cluster.topic()
    set_to = AlterConfigOpType.SET
    throttled = "leader.replication.throttled.replicas"
    refused(lambda: alter(cluster, topic, throttled, set_to, "all"), "INVALID_CONFIG")
    refused(lambda: alter(cluster, topic, "no.such.config", set_to, "1"), "INVALID_CONFIG")
    refused(lambda: alter(cluster, topic, "retention.ms", set_to, "never"), "INVALID_CONFIG")
    refused(lambda: alter(cluster, topic, "max.message.bytes", set_to, "-5"), "INVALID_CONFIG")
    refused(
        lambda: alter(cluster, topic, "segment.bytes", AlterConfigOpType.APPEND, "5"), "INVALID_CONFIG"
    )
    missing = cluster.name("missing")
    refused(lambda: alter(cluster, missing, "retention.ms", set_to, "1"), "UNKNOWN_TOPIC_OR_PART")
    refused(lambda: configs(cluster, missing), "UNKNOWN_TOPIC_OR_PART")


@case
def a_lower_size_limit_holds_at_once(cluster):
    topic = cluster.topic()
    cluster.produce(topic, [b"x" * 5000])
    alter(cluster, topic, "max.message.bytes", AlterConfigOpType.SET, "1000")
    eventually(lambda: configs(cluster, topic)["max.message.bytes"].value == "1000", "the new limit")
    refused(lambda: cluster.produce(topic, [b"x" * 5000]), "MSG_SIZE_TOO_LARGE")
    cluster.produce(topic, [b"x" * 500])


@case
def partitions_are_added_never_taken(cluster):
    topic = cluster.topic(partitions=2)
    cluster.produce(topic, [{"value": b"v", "partition": 1}])

    def grow(total):
        return cluster.admin.create_partitions([NewPartitions(topic, total)])[topic].result(WAIT_S)

    grow(5)
    eventually(lambda: cluster.partition_count(topic) == 5, "5 partitions")
    cluster.produce(topic, [{"value": b"w", "partition": 4}])
    equal(cluster.values(topic, partitions=5), [b"v", b"w"], "values")
    refused(lambda: grow(5), "INVALID_PARTITIONS")
    refused(lambda: grow(3), "INVALID_PARTITIONS")
    missing = cluster.name("missing")
    refused(
        lambda: cluster.admin.create_partitions([NewPartitions(missing, 3)])[missing].result(WAIT_S),
        "UNKNOWN_TOPIC_OR_PART",
    )


@case
def topics_and_the_cluster_are_described(cluster):
    topic = cluster.topic(partitions=3)
    described = cluster.admin.describe_topics(TopicCollection([topic]))[topic].result(WAIT_S)
    equal(described.name, topic, "name")
    equal([p.id for p in described.partitions], [0, 1, 2], "partitions")
    check(str(described.topic_id) not in ("", "AAAAAAAAAAAAAAAAAAAAAA"), "a topic has an id")
    equal(described.is_internal, False, "internal")
    whole = cluster.admin.describe_cluster().result(WAIT_S)
    equal(len(whole.nodes), 1, "nodes")
    check(whole.cluster_id, "the cluster has an id")
    node = whole.nodes[0]
    for partition in described.partitions:
        equal(partition.leader.id, node.id, "leader")
        equal([n.id for n in partition.isr], [node.id], "in-sync replicas")
    equal(f"{node.host}:{node.port}", cluster.bootstrap, "advertised address")
    missing = cluster.name("missing")
    refused(
        lambda: cluster.admin.describe_topics(TopicCollection([missing]))[missing].result(WAIT_S),
        "UNKNOWN_TOPIC_OR_PART",
    )


@case
def offsets_are_listed_by_kind(cluster):
    topic = cluster.topic(retention_ms=-1)
    times = [5_000, 9_000, 7_000]
    cluster.produce(topic, [{"value": b"v", "timestamp": t} for t in times])
    partition = TopicPartition(topic, 0)

    def offset(spec):
        return cluster.admin.list_offsets({partition: spec})[partition].result(WAIT_S)

    equal(offset(OffsetSpec.earliest()).offset, 0, "earliest")
    equal(offset(OffsetSpec.latest()).offset, 3, "latest")
    greatest = offset(OffsetSpec.max_timestamp())
    equal((greatest.offset, greatest.timestamp), (1, 9_000), "greatest time stamp")
    found = offset(OffsetSpec.for_timestamp(6_000))
    equal((found.offset, found.timestamp), (1, 9_000), "first at or after a time")
    equal(offset(OffsetSpec.for_timestamp(10_000)).offset, -1, "after the last time")


@case
def the_broker_shows_its_configs(cluster):
    node = cluster.admin.describe_cluster().result(WAIT_S).nodes[0]
    resource = ConfigResource(ResourceType.BROKER, str(node.id))
    shown = cluster.admin.describe_configs([resource])[resource].result(WAIT_S)
    equal(shown["transaction.max.timeout.ms"].value, "900000", "the longest transaction time-out")
    check("group.min.session.timeout.ms" in shown, "the shortest session time-out is shown")
