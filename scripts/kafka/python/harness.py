"""What the cases share: their registry, checks, and a cluster seen through librdkafka.

A case is a function that takes a Cluster and raises when the broker behaves otherwise than Apache Kafka
does. Cases run beside each other, so each has topics and groups of its own.
"""

import os
import subprocess
import time
import uuid

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

CASES = {}
RESTARTING_CASES = {}
TOOL_CASES = {}
SECURITY_CASES = {}
WAIT_S = 30


def case(function):
    CASES[function.__name__] = function
    return function


def restarting_case(function):
    """A case that kills the broker: it has the broker for itself, and needs to be told how to control it."""
    RESTARTING_CASES[function.__name__] = function
    return function


def tool_case(function):
    """A case that runs programs of Kafka's: each is a JVM, so that few of them run at once."""
    TOOL_CASES[function.__name__] = function
    return function


def security_case(function):
    """A case for a broker that asks clients who they are."""
    SECURITY_CASES[function.__name__] = function
    return function


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r} instead of {expected!r}")


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def eventually(probe, what, within_s=WAIT_S, pause_s=0.1):
    """Returns the probe's first true answer."""
    deadline = time.monotonic() + within_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s} s (last answer: {answer!r})")
        time.sleep(pause_s)


def refused(action, *names):
    """The action must fail with one of the named errors (KafkaError's constants); returns the error."""
    try:
        result = action()
    except KafkaException as exception:
        error = exception.args[0]
        equal(error.name() in names, True, f"refused with {error.name()} ({error.str()}), expected {names}")
        return error
    raise AssertionError(f"accepted with {result!r}, expected {names}")


def dotted(settings):
    return {name.replace("_", "."): value for name, value in settings.items() if value is not None}


class Cluster:
    def __init__(self, bootstrap, **settings):
        self.bootstrap = bootstrap
        # What every client is given.
        self.common = {"bootstrap.servers": bootstrap, **dotted(settings)}
        self.admin = AdminClient(self.common)

    def name(self, prefix="t"):
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    def topic(self, partitions=1, name=None, **config):
        name = name or self.name()
        new = NewTopic(name, partitions, 1, config={k: str(v) for k, v in dotted(config).items()})
        self.admin.create_topics([new])[name].result(WAIT_S)
        # Metadata of a new topic may be behind its creation for a moment.
        eventually(lambda: self.partition_count(name) == partitions, f"topic {name} has its partitions")
        return name

    def partition_count(self, topic):
        metadata = self.admin.list_topics(timeout=WAIT_S).topics.get(topic)
        if metadata is None or any(p.leader < 0 for p in metadata.partitions.values()):
            return 0
        return len(metadata.partitions)

    def producer(self, **settings):
        return Producer({**self.common, "linger.ms": 1, **dotted(settings)})

    def consumer(self, group=None, **settings):
        return Consumer(
            {
                **self.common,
                "group.id": group or self.name("g"),
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
                **dotted(settings),
            }
        )

    def produce(self, topic, values, producer=None, **arguments):
        """Produces values (bytes, or dicts of produce's arguments) and returns the delivered messages."""
        producer = producer or self.producer()
        delivered, failures = [], []

        def on_delivery(error, message):
            if error:
                failures.append(error)
            else:
                delivered.append(message)

        for value in values:
            record = value if isinstance(value, dict) else {"value": value}
            while True:
                try:
                    producer.produce(topic, on_delivery=on_delivery, **{**arguments, **record})
                    break
                except BufferError:
                    producer.poll(0.05)
            producer.poll(0)
        equal(producer.flush(60), 0, "records left undelivered")
        if failures:
            raise KafkaException(failures[0])
        return delivered

    def read_all(self, topic, partitions=1, isolation="read_committed", **settings):
        """All records from the beginning to the end of the topic as it is now, in the order of offsets."""
        consumer = self.consumer(isolation_level=isolation, enable_partition_eof=True, **settings)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
        records, ended, deadline = [], set(), time.monotonic() + 60
        while len(ended) < partitions:
            check(time.monotonic() < deadline, f"{topic} wasn't read to its end in 60 s, {len(records)} read")
            for message in consumer.consume(1000, 0.2):
                if message.error() is None:
                    records.append(message)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise KafkaException(message.error())
        consumer.close()
        return sorted(records, key=lambda m: (m.partition(), m.offset()))

    def values(self, topic, partitions=1, **settings):
        return [m.value() for m in self.read_all(topic, partitions, **settings)]


def take(consumer, count, within_s=WAIT_S):
    """The next `count` records that this consumer is given."""
    records, deadline = [], time.monotonic() + within_s
    while len(records) < count:
        check(time.monotonic() < deadline, f"{len(records)} records instead of {count} in {within_s} s")
        for message in consumer.consume(count - len(records), 0.2):
            if message.error() is None:
                records.append(message)
            elif message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
    return records


class BrokerControl:
    """The script that starts and kills the broker: `SCRIPT VERB DATA`."""

    def __init__(self, script, data):
        self.script, self.data = script, data

    def run(self, verb):
        # The broker outlives the script, so it mustn't inherit a pipe that is waited for.
        with open(os.path.join(self.data, f"{verb}.out"), "w") as output:
            subprocess.run([self.script, verb, self.data], check=True, stdout=output, timeout=120)

    def kill_and_restart(self, pause_s=0.0):
        self.run("kill")
        time.sleep(pause_s)
        self.run("start")

    def stop_and_restart(self):
        self.run("stop")
        self.run("start")
