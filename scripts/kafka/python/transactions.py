"""Transactions: what readers see, fencing, time-outs, offsets, and what a broken producer leaves."""

import time

from confluent_kafka import KafkaException, TopicPartition

from harness import case, check, equal, eventually, refused, take


def transactional(cluster, identity=None, **settings):
    producer = cluster.producer(transactional_id=identity or cluster.name("tx"), **settings)
    producer.init_transactions(30)
    return producer


def write(producer, topic, values, partition=0):
    """In the open transaction, and with the broker before this returns."""
    failures = []
    for value in values:
        producer.produce(
            topic, value, partition=partition, on_delivery=lambda e, _: failures.append(e) if e else None
        )
    equal(producer.flush(30), 0, "records left undelivered")
    if failures:
        raise KafkaException(failures[0])


def committed(cluster, topic, **settings):
    return cluster.values(topic, **settings)


def uncommitted(cluster, topic, **settings):
    return cluster.values(topic, isolation="read_uncommitted", **settings)


@case
def committed_records_are_seen_by_all(cluster):
    topic = cluster.topic(partitions=2)
    producer = transactional(cluster)
    producer.begin_transaction()
    write(producer, topic, [b"a", b"b"], 0)
    write(producer, topic, [b"c"], 1)
    equal(committed(cluster, topic, partitions=2), [], "read committed before the commit")
    equal(uncommitted(cluster, topic, partitions=2), [b"a", b"b", b"c"], "read uncommitted before it")
    producer.commit_transaction(30)
    equal(committed(cluster, topic, partitions=2), [b"a", b"b", b"c"], "read committed after the commit")
    high = [
        cluster.consumer().get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in (0, 1)
    ]
    equal(high, [3, 2], "a marker takes an offset")


@case
def aborted_records_are_not_seen_by_committed_readers(cluster):
    topic = cluster.topic()
    producer = transactional(cluster)
    for number in range(6):
        producer.begin_transaction()
        write(producer, topic, [b"%d" % number] * 3)
        producer.commit_transaction(30) if number % 2 else producer.abort_transaction(30)
    equal(committed(cluster, topic), [b"1"] * 3 + [b"3"] * 3 + [b"5"] * 3, "read committed")
    equal(len(uncommitted(cluster, topic)), 18, "read uncommitted")


@case
def the_first_open_transaction_holds_readers_back(cluster):
    topic = cluster.topic()
    cluster.produce(topic, [b"before"])
    first, second = transactional(cluster), transactional(cluster)
    first.begin_transaction()
    write(first, topic, [b"first"])
    second.begin_transaction()
    write(second, topic, [b"second"])
    second.commit_transaction(30)
    cluster.produce(topic, [b"plain"])
    equal(committed(cluster, topic), [b"before"], "before the first transaction ends")
    equal(len(uncommitted(cluster, topic)), 4, "read uncommitted")
    reader = cluster.consumer(isolation_level="read_committed")
    reader.assign([TopicPartition(topic, 0, 0)])
    equal(take(reader, 1)[0].value(), b"before", "first value")
    check(reader.poll(1) is None, "nothing comes while it is open")
    first.abort_transaction(30)
    equal([m.value() for m in take(reader, 2)], [b"second", b"plain"], "after it was aborted")
    reader.close()


@case
def interleaved_transactions_end_each_for_themselves(cluster):
    topic = cluster.topic()
    producers = [transactional(cluster) for _ in range(4)]
    expected = set()
    for turn in range(5):
        for producer in producers:
            producer.begin_transaction()
        for part in range(3):
            for number, producer in enumerate(producers):
                write(producer, topic, [f"{turn}-{number}-{part}".encode()])
        for number, producer in enumerate(producers):
            if (turn + number) % 3:
                producer.commit_transaction(30)
                expected.update(f"{turn}-{number}-{part}".encode() for part in range(3))
            else:
                producer.abort_transaction(30)
    read = committed(cluster, topic)
    equal(sorted(read), sorted(expected), "read committed")
    equal(len(uncommitted(cluster, topic)), 60, "read uncommitted")


@case
def large_transactions_of_many_batches_abort_whole(cluster):
    topic = cluster.topic(partitions=3)
    producer = transactional(cluster, compression_type="lz4", batch_num_messages=50)
    for outcome in ["abort", "commit"]:
        producer.begin_transaction()
        for partition in range(3):
            write(producer, topic, [f"{outcome}-{i}".encode() for i in range(1000)], partition)
        producer.abort_transaction(30) if outcome == "abort" else producer.commit_transaction(30)
    read = committed(cluster, topic, partitions=3)
    equal(read, [f"commit-{i}".encode() for _ in range(3) for i in range(1000)], "read committed")


@case
def a_second_producer_fences_the_first(cluster):
    topic = cluster.topic()
    identity = cluster.name("tx")
    first = transactional(cluster, identity)
    first.begin_transaction()
    write(first, topic, [b"first"])
    second = transactional(cluster, identity)
    equal(committed(cluster, topic), [], "the first's open transaction was aborted")
    error = refused(lambda: first.commit_transaction(30), "_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED")
    equal(error.fatal(), True, "fatal")
    second.begin_transaction()
    write(second, topic, [b"second"])
    second.commit_transaction(30)
    equal(committed(cluster, topic), [b"second"], "read committed")


@case
def a_fenced_producer_cannot_write(cluster):
    topic = cluster.topic()
    identity = cluster.name("tx")
    first = transactional(cluster, identity)
    first.begin_transaction()
    write(first, topic, [b"first"])
    transactional(cluster, identity)
    refused(
        lambda: write(first, topic, [b"more"]), "_FENCED", "INVALID_PRODUCER_EPOCH", "_PURGE_QUEUE"
    )
    equal(uncommitted(cluster, topic), [b"first"], "read uncommitted")


@case
def a_transaction_that_takes_too_long_is_aborted(cluster):
    topic = cluster.topic()
    producer = transactional(cluster, transaction_timeout_ms=2000, message_timeout_ms=2000)
    producer.begin_transaction()
    write(producer, topic, [b"late"])
    cluster.produce(topic, [b"after"])
    equal(committed(cluster, topic), [], "while it is open")
    eventually(lambda: committed(cluster, topic) == [b"after"], "it is aborted", pause_s=0.3)
    refused(
        lambda: producer.commit_transaction(30),
        "_FENCED",
        "INVALID_PRODUCER_EPOCH",
        "INVALID_TXN_STATE",
        "PRODUCER_FENCED",
    )


@case
def too_long_a_timeout_is_refused(cluster):
    producer = cluster.producer(transactional_id=cluster.name("tx"), transaction_timeout_ms=900_001)
    refused(lambda: producer.init_transactions(30), "INVALID_TRANSACTION_TIMEOUT")


@case
def a_producer_that_comes_back_aborts_what_it_left(cluster):
    topic = cluster.topic()
    identity = cluster.name("tx")
    gone = transactional(cluster, identity)
    gone.begin_transaction()
    write(gone, topic, [b"left open"])
    del gone
    back = transactional(cluster, identity)
    equal(committed(cluster, topic), [], "read committed")
    back.begin_transaction()
    write(back, topic, [b"back"])
    back.commit_transaction(30)
    equal(committed(cluster, topic), [b"back"], "read committed")


@case
def an_empty_transaction_ends(cluster):
    topic = cluster.topic()
    producer = transactional(cluster)
    for end in [producer.commit_transaction, producer.abort_transaction]:
        producer.begin_transaction()
        end(30)
    producer.begin_transaction()
    write(producer, topic, [b"v"])
    producer.commit_transaction(30)
    equal(committed(cluster, topic), [b"v"], "read committed")


def in_group(cluster, source):
    consumer = cluster.consumer(isolation_level="read_committed")
    consumer.subscribe([source])
    return consumer


def stored(cluster, consumer, topic):
    return consumer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset


@case
def offsets_are_committed_with_the_transaction(cluster):
    source, target = cluster.topic(), cluster.topic()
    cluster.produce(source, [str(i).encode() for i in range(10)])
    consumer, producer = in_group(cluster, source), transactional(cluster)
    taken = take(consumer, 5)
    for outcome, offset in [("abort", -1001), ("commit", 5), ("abort", 5)]:
        producer.begin_transaction()
        write(producer, target, [outcome.encode() + b"-" + m.value() for m in taken])
        position = [TopicPartition(source, 0, 5 if offset != 5 or outcome == "commit" else 9)]
        producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), 30)
        producer.abort_transaction(30) if outcome == "abort" else producer.commit_transaction(30)
        equal(stored(cluster, consumer, source), offset, f"offset after {outcome}")
    equal(committed(cluster, target), [b"commit-%d" % i for i in range(5)], "read committed")
    consumer.close()


@case
def open_offsets_are_not_stable(cluster):
    source = cluster.topic()
    cluster.produce(source, [b"a"])
    consumer, producer = in_group(cluster, source), transactional(cluster)
    take(consumer, 1)
    producer.begin_transaction()
    producer.send_offsets_to_transaction(
        [TopicPartition(source, 0, 1)], consumer.consumer_group_metadata(), 30
    )
    reader = cluster.consumer(isolation_level="read_committed")
    equal(stored(cluster, reader, source), -1001, "offset of another group")
    producer.commit_transaction(30)
    equal(stored(cluster, consumer, source), 1, "offset after the commit")
    consumer.close()


@case
def a_member_that_left_cannot_commit_in_a_transaction(cluster):
    source = cluster.topic()
    cluster.produce(source, [b"a"])
    consumer, producer = in_group(cluster, source), transactional(cluster)
    take(consumer, 1)
    stale = consumer.consumer_group_metadata()
    consumer.close()
    producer.begin_transaction()
    refused(
        lambda: producer.send_offsets_to_transaction([TopicPartition(source, 0, 1)], stale, 30),
        "UNKNOWN_MEMBER_ID",
        "ILLEGAL_GENERATION",
        "COMMIT_FAILED",
    )
    producer.abort_transaction(30)
    fresh = in_group(cluster, source)
    equal(take(fresh, 1)[0].value(), b"a", "read again")
    fresh.close()


@case
def a_pipeline_counts_each_record_once(cluster):
    source, target = cluster.topic(), cluster.topic()
    cluster.produce(source, [str(i).encode() for i in range(300)])
    group, identity = cluster.name("g"), cluster.name("tx")
    done = 0
    while done < 300:
        # Each turn is a new instance, which ends its third transaction in nothing.
        consumer = cluster.consumer(group, isolation_level="read_committed")
        consumer.subscribe([source])
        producer = transactional(cluster, identity)
        for turn in range(3):
            left = min(40, 300 - done)
            if left == 0:
                break
            records = take(consumer, left)
            producer.begin_transaction()
            write(producer, target, [m.value() for m in records])
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
            )
            if turn < 2:
                producer.commit_transaction(30)
                done += left
        consumer.close()
        del producer
    transactional(cluster, identity)
    equal(committed(cluster, target), [b"%d" % i for i in range(300)], "read committed")


@case
def uncommitted_ends_after_committed(cluster):
    topic = cluster.topic()
    producer = transactional(cluster)
    producer.begin_transaction()
    write(producer, topic, [b"open"])
    from confluent_kafka import IsolationLevel
    from confluent_kafka.admin import OffsetSpec

    partition = TopicPartition(topic, 0)
    for level, end in [(IsolationLevel.READ_COMMITTED, 0), (IsolationLevel.READ_UNCOMMITTED, 1)]:
        listed = cluster.admin.list_offsets({partition: OffsetSpec.latest()}, isolation_level=level)
        equal(listed[partition].result(30).offset, end, f"end under {level}")
    producer.abort_transaction(30)
    time.sleep(0.1)
    listed = cluster.admin.list_offsets(
        {partition: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED
    )
    equal(listed[partition].result(30).offset, 2, "end after the abort")
