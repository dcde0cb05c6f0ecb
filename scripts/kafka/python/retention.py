"""What leaves a log: compaction, retention by time and size, deletion of records."""

import os
import time

from confluent_kafka import OFFSET_END, TopicPartition

from harness import case, check, equal, eventually, refused, take

LONG_AGO_MS = 1_600_000_000_000


def watermarks(cluster, topic):
    consumer = cluster.consumer()
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    finally:
        consumer.close()


@case
def compaction_keeps_the_last_value_and_drops_tombstones(cluster):
    topic = cluster.topic(
        cleanup_policy="compact",
        segment_ms=500,
        min_cleanable_dirty_ratio=0.01,
        delete_retention_ms=500,
        min_compaction_lag_ms=0,
    )
    producer = cluster.producer()
    for value in range(5):
        cluster.produce(topic, [{"key": f"k{k}", "value": f"{value}"} for k in range(10)], producer)
    cluster.produce(topic, [{"key": f"k{k}", "value": None} for k in range(5)], producer)
    tombstones = {b"k%d" % k: None for k in range(5)}
    kept = {b"k%d" % k: b"4" for k in range(5, 10)}

    def compacted(expected):
        # The active segment isn't cleaned: another record makes the broker roll it.
        cluster.produce(topic, [{"key": b"roll", "value": str(time.time())}], producer)
        read = [m for m in cluster.read_all(topic) if m.key() != b"roll"]
        offsets = [m.offset() for m in read]
        check(offsets == sorted(set(offsets)), f"offsets go up: {offsets}")
        latest = {m.key(): m.value() for m in read}
        for key, value in kept.items():
            equal(latest.get(key), value, f"the last value of {key}")
        for key in tombstones:
            equal(latest.get(key), None, f"{key}, deleted")
        return [(m.key(), m.value(), m.offset()) for m in read] == expected

    expected = [(k, v, 45 + i) for i, (k, v) in enumerate(sorted(kept.items()))]
    eventually(lambda: compacted(expected), "old values and tombstones are gone", within_s=60, pause_s=0.7)
    low, high = watermarks(cluster, topic)
    check(high > 55, f"the end stays where it was: {high}")


@case
def a_compacted_topic_refuses_records_without_key(cluster):
    topic = cluster.topic(cleanup_policy="compact")
    refused(lambda: cluster.produce(topic, [b"no key"]), "INVALID_RECORD")
    cluster.produce(topic, [{"key": b"k", "value": b"v"}])
    equal(cluster.values(topic), [b"v"], "values")


@case
def retention_by_time_drops_old_segments(cluster):
    topic = cluster.topic(segment_ms=500, retention_ms=3000)
    cluster.produce(topic, [{"value": b"old", "timestamp": LONG_AGO_MS} for _ in range(10)])
    time.sleep(0.7)
    cluster.produce(topic, [b"new"])
    eventually(lambda: watermarks(cluster, topic)[0] >= 10, "old records are gone", pause_s=0.3)
    check(all(m.value() != b"old" for m in cluster.read_all(topic)), "old records can't be read")
    equal(watermarks(cluster, topic)[1], 11, "end")


@case
def retention_by_size_drops_old_segments(cluster):
    topic = cluster.topic(segment_bytes=1_048_576, retention_bytes=2_097_152, retention_ms=-1)
    cluster.produce(topic, [os.urandom(100_000) for _ in range(60)], cluster.producer(linger_ms=0))
    low = eventually(lambda: watermarks(cluster, topic)[0], "the first segments are gone", pause_s=0.3)
    # Never less than the size that is to be kept.
    read = cluster.read_all(topic)
    check(len(read) >= 20, f"{len(read)} records of 100 kB are kept")
    check(read[0].offset() >= low and read[-1].offset() == 59, "what is kept is the end")


@case
def deleted_records_are_gone_and_others_stay(cluster):
    topic = cluster.topic(partitions=2)
    cluster.produce(topic, [{"value": str(i), "partition": 0} for i in range(100)])
    cluster.produce(topic, [{"value": str(i), "partition": 1} for i in range(10)])

    def delete(partition, offset):
        asked = TopicPartition(topic, partition, offset)
        return list(cluster.admin.delete_records([asked]).values())[0].result(30).low_watermark

    equal(delete(0, 40), 40, "low watermark")
    equal([m.offset() for m in cluster.read_all(topic, 2) if m.partition() == 0], list(range(40, 100)), "kept")
    equal(delete(0, 20), 40, "low watermark after a deletion below it")
    refused(lambda: delete(0, 101), "OFFSET_OUT_OF_RANGE")
    equal(delete(0, OFFSET_END), 100, "low watermark after a deletion of all")
    equal(len(cluster.read_all(topic, 2)), 10, "records of the other partition")
    cluster.produce(topic, [{"value": b"next", "partition": 0}])
    consumer = cluster.consumer()
    consumer.assign([TopicPartition(topic, 0, 5)])
    equal(take(consumer, 1)[0].offset(), 100, "the first offset after a reset")
    consumer.close()


@case
def records_of_a_compacted_topic_are_not_deleted_by_request(cluster):
    topic = cluster.topic(cleanup_policy="compact")
    cluster.produce(topic, [{"key": b"k", "value": b"v"}])
    deleted = cluster.admin.delete_records([TopicPartition(topic, 0, 1)])
    refused(lambda: list(deleted.values())[0].result(30), "POLICY_VIOLATION")
