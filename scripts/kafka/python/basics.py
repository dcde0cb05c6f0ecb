"""Producing and consuming: keys, headers, time stamps, codecs, seeking, sizes, numbers of things."""

import os
import time

from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from harness import case, check, equal, eventually, refused, take

# Long ago: where it is used, nothing may be dropped by age.
NOON_MS = 1_700_000_000_000


@case
def records_come_back_with_key_value_and_offset(cluster):
    topic = cluster.topic()
    delivered = cluster.produce(topic, [{"key": f"k{i}", "value": f"v{i}"} for i in range(100)])
    equal([m.offset() for m in delivered], list(range(100)), "offsets told to the producer")
    read = cluster.read_all(topic)
    equal([m.offset() for m in read], list(range(100)), "offsets")
    equal([m.key() for m in read], [b"k%d" % i for i in range(100)], "keys")
    equal([m.value() for m in read], [b"v%d" % i for i in range(100)], "values")


@case
def null_and_empty_keys_and_values_stay_apart(cluster):
    topic = cluster.topic()
    pairs = [(None, None), (b"", b""), (None, b""), (b"", None), (b"k", None), (None, b"v")]
    cluster.produce(topic, [{"key": k, "value": v} for k, v in pairs])
    equal([(m.key(), m.value()) for m in cluster.read_all(topic)], pairs, "pairs")


@case
def order_is_kept_in_each_partition(cluster):
    topic = cluster.topic(partitions=4)
    cluster.produce(topic, [{"key": f"k{i % 37}", "value": str(i)} for i in range(5000)])
    read = cluster.read_all(topic, partitions=4)
    equal(len(read), 5000, "records")
    check(len({m.partition() for m in read}) == 4, "all partitions got records")
    home = {}
    for partition in range(4):
        mine = [m for m in read if m.partition() == partition]
        equal([m.offset() for m in mine], list(range(len(mine))), "offsets without gaps")
        numbers = [int(m.value()) for m in mine]
        equal(numbers, sorted(numbers), f"order in partition {partition}")
        for m in mine:
            equal(home.setdefault(m.key(), partition), partition, "a key's partition")


@case
def headers_keep_order_duplicates_nulls_and_bytes(cluster):
    topic = cluster.topic()
    headers = [("a", b"1"), ("b", None), ("a", b""), ("ключ", bytes(range(256))), ("", b"x")]
    cluster.produce(topic, [{"value": b"v", "headers": headers}, {"value": b"w"}])
    with_headers, without = cluster.read_all(topic)
    equal(with_headers.headers(), headers, "headers")
    equal(without.headers(), None, "no headers")


@case
def create_time_is_the_producers(cluster):
    topic = cluster.topic(retention_ms=-1)
    # Not 0, which means "now" to this client.
    times = [NOON_MS, NOON_MS - 5000, 1, NOON_MS + 7]
    cluster.produce(topic, [{"value": b"v", "timestamp": t} for t in times])
    read = cluster.read_all(topic)
    equal([m.timestamp() for m in read], [(TIMESTAMP_CREATE_TIME, t) for t in times], "time stamps")


@case
def append_time_is_the_brokers(cluster):
    topic = cluster.topic(message_timestamp_type="LogAppendTime")
    before = time.time() * 1000
    cluster.produce(topic, [{"value": b"v", "timestamp": NOON_MS} for _ in range(3)])
    after = time.time() * 1000
    for m in cluster.read_all(topic):
        kind, at = m.timestamp()
        equal(kind, TIMESTAMP_LOG_APPEND_TIME, "kind of time stamp")
        check(before - 1 <= at <= after + 1, f"{at} is between {before} and {after}")


@case
def all_codecs_are_carried(cluster):
    topic = cluster.topic(partitions=5)
    expected = {}
    for partition, codec in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]):
        values = [f"{codec} {i} {'x' * 200}".encode() for i in range(500)]
        producer = cluster.producer(compression_type=codec, linger_ms=50)
        cluster.produce(topic, values, producer, partition=partition)
        expected[partition] = values
    read = cluster.read_all(topic, partitions=5)
    for partition, values in expected.items():
        equal([m.value() for m in read if m.partition() == partition], values, f"partition {partition}")


@case
def a_topics_own_codec_is_readable(cluster):
    for codec in ["gzip", "snappy", "lz4", "zstd", "uncompressed", "producer"]:
        topic = cluster.topic(compression_type=codec)
        values = [f"{i} {'y' * 100}".encode() for i in range(100)]
        cluster.produce(topic, values, cluster.producer(compression_type="lz4", linger_ms=20))
        equal(cluster.values(topic), values, f"values under compression.type={codec}")


@case
def offsets_for_times_are_the_first_at_or_after(cluster):
    topic = cluster.topic(retention_ms=-1)
    cluster.produce(topic, [{"value": b"v", "timestamp": NOON_MS + i * 1000} for i in range(5)])
    consumer = cluster.consumer()
    for asked, offset in [(-1, 0), (0, 0), (1, 1), (1000, 1), (3999, 4), (4000, 4), (4001, -1)]:
        found = consumer.offsets_for_times([TopicPartition(topic, 0, NOON_MS + asked)], timeout=10)[0]
        equal(found.offset, offset, f"offset for {asked} ms after the first")
    equal(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (0, 5), "watermarks")
    consumer.close()


@case
def seek_goes_back_and_forward(cluster):
    topic = cluster.topic()
    cluster.produce(topic, [str(i).encode() for i in range(100)])
    consumer = cluster.consumer()
    consumer.assign([TopicPartition(topic, 0, 0)])
    equal(take(consumer, 100)[99].value(), b"99", "last")
    for offset in [10, 95, 0, 50]:
        consumer.seek(TopicPartition(topic, 0, offset))
        equal(take(consumer, 1)[0].offset(), offset, "first after a seek")
    consumer.seek(TopicPartition(topic, 0, OFFSET_END))
    time.sleep(0.5)
    cluster.produce(topic, [b"new"])
    equal(take(consumer, 1)[0].value(), b"new", "first after a seek to the end")
    consumer.close()


@case
def a_position_outside_the_log_is_reset_or_refused(cluster):
    topic = cluster.topic()
    cluster.produce(topic, [b"a", b"b"])
    consumer = cluster.consumer(auto_offset_reset="error")
    consumer.assign([TopicPartition(topic, 0, 1000)])
    message = eventually(lambda: consumer.poll(1), "an answer")
    check(message.error() is not None, "an error is given")
    equal(message.error().code(), KafkaError._AUTO_OFFSET_RESET, "its code")
    consumer.close()
    consumer = cluster.consumer(auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0, 1000)])
    equal(take(consumer, 1)[0].offset(), 0, "offset after the reset")
    consumer.close()


@case
def large_records_pass_up_to_the_topics_limit(cluster):
    big = {"message_max_bytes": 20_000_000}
    topic = cluster.topic(max_message_bytes=6_000_000)
    value = os.urandom(5_500_000)
    cluster.produce(topic, [value], cluster.producer(**big))
    equal(cluster.values(topic), [value], "a record of 5.5 MB")
    equal(cluster.values(topic, fetch_message_max_bytes=1000), [value], "with fetches of 1000 bytes")
    refused(
        lambda: cluster.produce(topic, [os.urandom(6_500_000)], cluster.producer(**big)),
        "MSG_SIZE_TOO_LARGE",
    )
    ordinary = cluster.topic()
    cluster.produce(ordinary, [os.urandom(1_000_000)], cluster.producer(**big))
    refused(
        lambda: cluster.produce(ordinary, [os.urandom(1_100_000)], cluster.producer(**big)),
        "MSG_SIZE_TOO_LARGE",
    )
    equal(len(cluster.values(ordinary)), 1, "records after a refusal")


@case
def unknown_topics_and_partitions_are_refused(cluster):
    topic = cluster.topic(partitions=2)
    refused(
        lambda: cluster.produce(topic, [{"value": b"v", "partition": 7}]),
        "_UNKNOWN_PARTITION",
        "UNKNOWN_TOPIC_OR_PART",
    )
    consumer = cluster.consumer()
    consumer.subscribe([cluster.name("missing")])
    message = eventually(lambda: consumer.poll(1), "an answer")
    equal(message.error().code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "error for a missing topic")
    consumer.close()


@case
def producing_creates_a_topic(cluster):
    topic = cluster.name("created-by-producing")
    cluster.produce(topic, [b"first"])
    equal(cluster.values(topic), [b"first"], "values")


@case
def an_invalid_topic_name_is_refused_to_a_producer(cluster):
    refused(lambda: cluster.produce("no spaces!", [b"v"]), "TOPIC_EXCEPTION")


@case
def a_waiting_consumer_is_woken(cluster):
    topic = cluster.topic()
    consumer = cluster.consumer(fetch_wait_max_ms=5000)
    consumer.assign([TopicPartition(topic, 0, 0)])
    consumer.poll(1)
    producer = cluster.producer(linger_ms=0)
    cluster.produce(topic, [b"warm"], producer)
    take(consumer, 1)
    delays = []
    for _ in range(20):
        began = time.monotonic()
        producer.produce(topic, b"v")
        producer.poll(0)
        take(consumer, 1)
        delays.append(time.monotonic() - began)
        producer.flush(10)
    equal(sorted(delays)[10] < 0.5, True, f"median below 0.5 s, delays {delays}")
    consumer.close()


@case
def acks_of_every_kind_keep_the_record(cluster):
    topic = cluster.topic()
    for acks in ["0", "1", "all"]:
        cluster.produce(topic, [acks.encode()], cluster.producer(acks=acks))
        eventually(lambda: cluster.values(topic)[-1:] == [acks.encode()], f"acks={acks}")
    equal(cluster.values(topic), [b"0", b"1", b"all"], "values")


@case
def many_partitions_are_read_at_once(cluster):
    topic = cluster.topic(partitions=100)
    records = [{"value": str(i), "partition": i % 100} for i in range(1000)]
    cluster.produce(topic, records)
    read = cluster.read_all(topic, partitions=100)
    equal([m.partition() for m in read], [p for p in range(100) for _ in range(10)], "partitions")
    equal(sorted(int(m.value()) for m in read), list(range(1000)), "values")


@case
def many_topics_are_read_by_pattern(cluster):
    prefix = cluster.name("pattern")
    topics = [cluster.topic(name=f"{prefix}-{i}") for i in range(30)]
    producer = cluster.producer()
    for topic in topics:
        cluster.produce(topic, [topic.encode()], producer)
    consumer = cluster.consumer()
    consumer.subscribe([f"^{prefix}-.*"])
    equal(sorted(m.value().decode() for m in take(consumer, 30)), sorted(topics), "values")
    consumer.close()


@case
def paused_partitions_give_nothing(cluster):
    topic = cluster.topic(partitions=2)
    cluster.produce(topic, [{"value": b"v", "partition": i % 2} for i in range(20)])
    consumer = cluster.consumer()
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    consumer.pause([TopicPartition(topic, 1)])
    equal({m.partition() for m in take(consumer, 10)}, {0}, "partitions while one is paused")
    consumer.resume([TopicPartition(topic, 1)])
    equal({m.partition() for m in take(consumer, 10)}, {1}, "partitions after it was resumed")
    consumer.close()


@case
def a_hundred_thousand_records_pass(cluster):
    topic = cluster.topic(partitions=3)
    count = 100_000
    began = time.monotonic()
    producer = cluster.producer(linger_ms=5, queue_buffering_max_messages=count + 1)
    cluster.produce(topic, (b"%099d" % i for i in range(count)), producer)
    read = cluster.read_all(topic, partitions=3)
    took = time.monotonic() - began
    equal(sorted(int(m.value()) for m in read), list(range(count)), "values")
    check(took < 60, f"100,000 records took {took:.0f} s")


@case
def an_idempotent_producer_keeps_order_with_many_in_flight(cluster):
    topic = cluster.topic()
    producer = cluster.producer(
        enable_idempotence=True, linger_ms=0, batch_num_messages=10, max_in_flight=5
    )
    cluster.produce(topic, [str(i).encode() for i in range(5000)], producer)
    equal(cluster.values(topic), [str(i).encode() for i in range(5000)], "values")


@case
def a_deleted_topic_starts_again_from_nothing(cluster):
    topic = cluster.topic()
    cluster.produce(topic, [b"old"] * 10)
    cluster.admin.delete_topics([topic])[topic].result(30)
    eventually(lambda: topic not in cluster.admin.list_topics(timeout=10).topics, "the topic is gone")

    def created():
        try:
            return cluster.topic(name=topic)
        except KafkaException:
            return None

    eventually(created, "the topic can be created again")
    cluster.produce(topic, [b"new"])
    equal([(m.offset(), m.value()) for m in cluster.read_all(topic)], [(0, b"new")], "records")
