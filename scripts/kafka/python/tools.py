"""Kafka's own command-line tools, unchanged, with checks of what they print, and a Kafka Streams program."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import TopicPartition

from harness import check, equal, eventually, take, tool_case

BROKER_SCRIPT = Path(__file__).parent.parent / "broker.sh"
TOOL_TIMEOUT_S = 120


def tool(name, *arguments, stdin=None, fails=False):
    """Runs a tool to its end and returns what it printed on standard output."""
    command = [str(BROKER_SCRIPT), "tool", name, *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S
    )
    if (done.returncode != 0) != fails:
        raise AssertionError(f"{name} {arguments} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + (done.stderr if fails else "")


def topics(cluster, *arguments, **options):
    return tool(
        "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", cluster.bootstrap, *arguments, **options
    )


def groups(cluster, *arguments, **options):
    return tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "--bootstrap-server",
        cluster.bootstrap,
        *arguments,
        **options,
    )


def contains(text, *patterns):
    for pattern in patterns:
        check(re.search(pattern, text, re.MULTILINE), f"`{pattern}` is printed in:\n{text}")


@tool_case
def kafka_topics(cluster):
    topic = cluster.name()
    contains(topics(cluster, "--create", "--topic", topic, "--partitions", 2), f"Created topic {topic}")
    contains(
        topics(cluster, "--create", "--topic", topic, fails=True), f"Topic '{topic}' already exists"
    )
    contains(topics(cluster, "--list"), f"^{topic}$")
    topics(cluster, "--alter", "--topic", topic, "--partitions", 3)
    contains(
        topics(cluster, "--describe", "--topic", topic),
        f"Topic: {topic}\\s+TopicId: \\S{{22}}\\s+PartitionCount: 3\\s+ReplicationFactor: 1",
        f"Topic: {topic}\\s+Partition: 2\\s+Leader: (\\d+)\\s+Replicas: \\1\\s+Isr: \\1",
    )
    equal(topics(cluster, "--describe", "--unavailable-partitions").strip(), "", "unavailable partitions")
    topics(cluster, "--delete", "--topic", topic)
    eventually(lambda: topic not in cluster.admin.list_topics(timeout=10).topics, "the topic is gone")
    contains(topics(cluster, "--describe", "--topic", topic, fails=True), "does not exist")


@tool_case
def kafka_configs(cluster):
    topic = cluster.topic()
    which = ["--bootstrap-server", cluster.bootstrap, "--entity-type", "topics", "--entity-name", topic]
    config = "kafka.admin.ConfigCommand"
    added = tool(config, *which, "--alter", "--add-config", "retention.ms=4000000,cleanup.policy=[compact,delete]")
    contains(added, f"Completed updating config for topic {topic}")
    shown = tool(config, *which, "--describe")
    contains(shown, "retention.ms=4000000", "cleanup.policy=compact,delete")
    contains(tool(config, *which, "--describe", "--all"), "segment.bytes=1073741824")
    tool(config, *which, "--alter", "--delete-config", "retention.ms")
    check("retention.ms" not in tool(config, *which, "--describe"), "a deleted config is shown no more")
    contains(tool(config, *which, "--alter", "--add-config", "no.such=1", fails=True), "no.such")


@tool_case
def kafka_console_producer_and_consumer(cluster):
    topic = cluster.topic()
    lines = ["h:1,i:2\tk1\tv1", "h:3\tk2\tNULL", "NULL\tNULL\tv3 ✓"]
    tool(
        "org.apache.kafka.tools.ConsoleProducer",
        *["--bootstrap-server", cluster.bootstrap, "--topic", topic],
        *["--property", "parse.key=true", "--property", "parse.headers=true", "--property", "null.marker=NULL"],
        *["--compression-codec", "zstd"],
        stdin="\n".join(lines) + "\n",
    )
    printed = tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--from-beginning"],
        *["--max-messages", 3, "--timeout-ms", 30000, "--property", "print.key=true"],
        *["--property", "print.headers=true", "--property", "print.offset=true"],
        *["--property", "print.partition=true", "--property", "null.literal=NULL"],
        *["--property", "headers.separator=,"],
    )
    expected = [f"Partition:0\tOffset:{i}\t{line}" for i, line in enumerate(lines)]
    expected[2] = expected[2].replace("\tNULL\tNULL", "\tNO_HEADERS\tNULL")
    equal(printed.splitlines(), expected, "lines")


@tool_case
def kafka_consumer_groups(cluster):
    topic = cluster.topic(partitions=2)
    cluster.produce(topic, [{"value": str(i), "partition": i % 2} for i in range(20)])
    name = cluster.name("g")
    consumer = cluster.consumer(name)
    consumer.subscribe([topic])
    take(consumer, 20)
    consumer.commit(asynchronous=False)
    contains(groups(cluster, "--list"), f"^{name}$")
    contains(groups(cluster, "--list", "--state"), f"^{name}\\s+Classic\\s+Stable|^{name}\\s+.*Stable")
    member = "\\S*rdkafka-\\S+\\s+/127.0.0.1\\s+rdkafka"
    described = groups(cluster, "--describe", "--group", name)
    contains(described, f"^{name}\\s+{topic}\\s+0\\s+10\\s+10\\s+0\\s+{member}")
    contains(groups(cluster, "--describe", "--group", name, "--members", "--verbose"), f"{topic}.*[0(].*1")
    contains(groups(cluster, "--describe", "--group", name, "--state"), f"^{name}\\s.*range\\s+Stable\\s+1")
    reset = ["--reset-offsets", "--group", name, "--topic", topic]
    contains(groups(cluster, *reset, "--to-earliest", "--execute"), "inactive")
    consumer.close()
    contains(groups(cluster, *reset, "--to-offset", 4, "--execute"), f"{name}\\s+{topic}\\s+1\\s+4")
    contains(groups(cluster, "--describe", "--group", name), f"{topic}\\s+0\\s+4\\s+10\\s+6\\s+-")
    contains(
        groups(cluster, "--delete-offsets", "--group", name, "--topic", f"{topic}:0"), f"{topic}\\s+0\\s+Successful"
    )
    contains(groups(cluster, "--delete", "--group", name), "Deletion of requested consumer groups .* was successful")
    contains(groups(cluster, "--delete", "--group", name), "could not be deleted .*GroupIdNotFoundException")


@tool_case
def kafka_get_offsets_and_delete_records(cluster):
    topic = cluster.topic(partitions=2)
    cluster.produce(topic, [{"value": str(i), "partition": 0, "timestamp": int(time.time() * 1000)} for i in range(10)])

    def offsets(at):
        printed = tool(
            "org.apache.kafka.tools.GetOffsetShell",
            *["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--time", at],
        )
        return sorted(printed.split())

    equal(offsets("latest"), [f"{topic}:0:10", f"{topic}:1:0"], "latest offsets")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"partitions": [{"topic": topic, "partition": 0, "offset": 6}], "version": 1}, file)
        file.flush()
        printed = tool(
            "org.apache.kafka.tools.DeleteRecordsCommand",
            *["--bootstrap-server", cluster.bootstrap, "--offset-json-file", file.name],
        )
    contains(printed, f"partition: {topic}-0\\s+low_watermark: 6")
    equal(offsets("earliest"), [f"{topic}:0:6", f"{topic}:1:0"], "earliest offsets")
    check(f"{topic}:0:" in offsets("max-timestamp")[0], "the offset of the greatest time stamp")


@tool_case
def kafka_verifiable_producer_and_consumer(cluster):
    topic = cluster.topic(partitions=2)
    printed = tool(
        "org.apache.kafka.tools.VerifiableProducer",
        *["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--max-messages", 500, "--acks", -1],
    )
    events = Counter(json.loads(line)["name"] for line in printed.splitlines())
    equal(events["producer_send_success"], 500, f"acknowledged records in {events}")
    printed = tool(
        "org.apache.kafka.tools.VerifiableConsumer",
        *["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--group-id", cluster.name("g")],
        *["--max-messages", 500, "--reset-policy", "earliest"],
    )
    events = [json.loads(line) for line in printed.splitlines()]
    names = Counter(event["name"] for event in events)
    equal(sum(e["count"] for e in events if e["name"] == "records_consumed"), 500, "records consumed")
    check(names["partitions_assigned"] >= 1 and names["offsets_committed"] >= 1, f"events {names}")
    committed = {
        (o["partition"]): o["offset"]
        for e in events
        if e["name"] == "offsets_committed"
        for o in e["offsets"]
    }
    equal(sum(committed.values()), 500, "offsets committed")


@tool_case
def kafka_perf_tests(cluster):
    topic = cluster.topic(partitions=2)
    printed = tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *["--topic", topic, "--num-records", 50000, "--record-size", 100, "--throughput", -1],
        *["--producer-props", f"bootstrap.servers={cluster.bootstrap}", "acks=all"],
    )
    contains(printed, "^50000 records sent, .* records/sec")
    printed = tool(
        "org.apache.kafka.tools.ConsumerPerformance",
        *["--bootstrap-server", cluster.bootstrap, "--topic", topic, "--messages", 50000],
    )
    consumed = int(printed.splitlines()[-1].split(",")[4])
    equal(consumed, 50000, "records consumed")


@tool_case
def kafka_producer_perf_test_in_transactions(cluster):
    topic = cluster.topic()
    tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *["--topic", topic, "--num-records", 5000, "--record-size", 100, "--throughput", 10000],
        *["--transaction-duration-ms", 50, "--transactional-id", cluster.name("tx")],
        *["--producer-props", f"bootstrap.servers={cluster.bootstrap}"],
    )
    equal(len(cluster.read_all(topic)), 5000, "records read committed")


@tool_case
def kafka_transactions(cluster):
    topic, identity = cluster.topic(), cluster.name("tx")
    producer = cluster.producer(transactional_id=identity)
    producer.init_transactions(30)
    producer.begin_transaction()
    cluster.produce(topic, [b"open"], producer)

    def transactions(*arguments):
        command = "org.apache.kafka.tools.TransactionsCommand"
        return tool(command, "--bootstrap-server", cluster.bootstrap, *arguments)

    contains(transactions("list"), f"^{identity}\\s+\\d+\\s+\\d+\\s+Ongoing")
    contains(transactions("describe", "--transactional-id", identity), f"{identity}.*Ongoing.*{topic}-0")
    contains(transactions("describe-producers", "--topic", topic, "--partition", 0), "^\\d+\\s+0\\s+")
    transactions("abort", "--topic", topic, "--partition", 0, "--start-offset", 0)
    equal(cluster.read_all(topic), [], "read committed")
    reader = cluster.consumer(isolation_level="read_committed")
    equal(reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1], 2, "the end after the abort")


@tool_case
def kafka_broker_api_versions_and_cluster(cluster):
    printed = tool(
        "org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", cluster.bootstrap
    )
    contains(printed, "Produce\\(0\\): .*usable", "Fetch\\(1\\): .*usable", "InitProducerId\\(22\\): .*usable")
    printed = tool(
        "org.apache.kafka.tools.ClusterTool", "cluster-id", "--bootstrap-server", cluster.bootstrap
    )
    contains(printed, "Cluster ID: \\S{22}")


@tool_case
def kafka_dump_log(cluster):
    data = os.environ.get("KAFKA_TEST_DATA")
    if not data:
        return print("  kafka_dump_log: nothing to read, the broker's files are elsewhere")
    topic = cluster.topic()
    producer = cluster.producer(enable_idempotence=True, compression_type="lz4", linger_ms=50)
    cluster.produce(topic, [{"key": f"k{i}", "value": f"value {i}"} for i in range(10)], producer)
    found = [p for p in Path(data).rglob("*.log") if re.search(f"{topic}[-/]0/[0-9]{{20}}.log$", str(p))]
    equal(len(found), 1, f"segments of {topic} in {data}")
    printed = tool("kafka.tools.DumpLogSegments", "--files", found[0], "--print-data-log", "--deep-iteration")
    contains(printed, "Log starting offset: 0", "baseOffset: 0 .*isvalid: true", "compresscodec: lz4")
    contains(printed, *[f"offset: {i} .*key: k{i} payload: value {i}" for i in range(10)])


TEXT = [
    "the quick brown fox jumps over the lazy dog",
    "the dog sleeps the fox does not",
    "Alice was beginning to get very tired of sitting by her sister on the bank",
    "and of having nothing to do once or twice she had peeped into the book",
    "her sister was reading but it had no pictures or conversations in it",
]
# How often the text comes: words are counted over all of it.
ROUNDS = 60


class WordCount:
    """The Streams program, as a process."""

    def __init__(self, cluster, source, target, application, state):
        classes = os.environ["KAFKA_TEST_CLASSES"]
        classpath = subprocess.run(
            [str(BROKER_SCRIPT), "resolve"], check=True, capture_output=True, text=True
        ).stdout.strip()
        self.process = subprocess.Popen(
            ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
            + ["-cp", f"{classpath}:{classes}", "WordCount"]
            + [cluster.bootstrap, application, source, target, state],
            stderr=open(os.path.join(state, "stderr"), "a"),
        )

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def word_count(cluster, kills):
    source, target = cluster.topic(partitions=2), cluster.topic(partitions=2)
    expected = Counter(word for line in TEXT for word in line.lower().split())
    expected = {word: count * ROUNDS for word, count in expected.items()}

    def counts():
        read = [(m.key().decode(), int(m.value())) for m in cluster.read_all(target, 2)]
        return read, dict(read)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state:
        application = cluster.name("word-count")
        running = WordCount(cluster, source, target, application, state)
        try:
            producer = cluster.producer()
            for part in range(kills + 1):
                lines = TEXT * (ROUNDS // (kills + 1))
                cluster.produce(source, [{"key": str(i), "value": v} for i, v in enumerate(lines)], producer)
                if part < kills:
                    # Killed once it has written some of it, with the rest on its way.
                    before = len(counts()[0])
                    eventually(lambda: len(counts()[0]) > before, "the program writes", 60, 0.2)
                    running.kill()
                    running = WordCount(cluster, source, target, application, state)

            def complete():
                # Nothing may be counted twice on the way either.
                for word, count in counts()[0]:
                    check(count <= expected[word], f"`{word}` is counted {count} times of {expected[word]}")
                return counts()[1] == expected

            eventually(complete, "all words are counted", 90, 0.5)
            # Each word's counts go up one after another: what is read committed has no repetition.
            for word in expected:
                series = [count for w, count in counts()[0] if w == word]
                equal(series, sorted(set(series)), f"counts of `{word}`")
        except BaseException:
            print(Path(state, "stderr").read_text()[-3000:])
            raise
        finally:
            running.kill()


@tool_case
def kafka_streams_word_count_exactly_once(cluster):
    word_count(cluster, kills=0)


@tool_case
def kafka_streams_word_count_killed_in_the_middle(cluster):
    word_count(cluster, kills=2)
