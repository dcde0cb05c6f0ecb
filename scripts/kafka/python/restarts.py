"""What was acknowledged is there after the broker was killed, and nothing else has changed."""

import threading
import time

from confluent_kafka import TopicPartition

from harness import check, equal, eventually, restarting_case, take
from transactions import committed, transactional, uncommitted, write

# Until a client has found the broker again.
RECOVERY_S = 90
IN_FLIGHT_LIMIT = 5000


@restarting_case
def acknowledged_records_outlive_a_kill(cluster, broker):
    topic = cluster.topic(partitions=3)
    producer = cluster.producer(
        enable_idempotence=True, message_timeout_ms=120_000, reconnect_backoff_max_ms=500, linger_ms=2
    )
    acknowledged, failed, stop = [], [], threading.Event()

    def on_delivery(error, message):
        if error:
            failed.append(error)
        else:
            acknowledged.append((message.partition(), message.offset(), message.value()))

    def produce():
        number = 0
        while not stop.is_set():
            # While the broker is away, no more than the client's queue takes.
            if len(producer) > IN_FLIGHT_LIMIT:
                producer.poll(0.05)
                continue
            producer.produce(topic, b"%d" % number, partition=number % 3, on_delivery=on_delivery)
            number += 1
            producer.poll(0)
            if number % 50 == 0:
                time.sleep(0.005)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        for _ in range(2):
            before = len(acknowledged)
            eventually(lambda: len(acknowledged) > before + 500, "records are acknowledged", RECOVERY_S)
            broker.kill_and_restart()
        before = len(acknowledged)
        eventually(lambda: len(acknowledged) > before + 500, "records are acknowledged again", RECOVERY_S)
    finally:
        stop.set()
        thread.join()
    equal(producer.flush(60), 0, "records left undelivered")
    equal(failed, [], "records that failed")
    read = cluster.read_all(topic, partitions=3)
    equal(
        [(m.partition(), m.offset(), m.value()) for m in read],
        sorted(acknowledged),
        "records read against records acknowledged",
    )
    for partition in range(3):
        numbers = [int(m.value()) for m in read if m.partition() == partition]
        check(numbers == sorted(set(numbers)), f"partition {partition} is in order, without doubles")


@restarting_case
def topics_offsets_and_configs_outlive_a_kill(cluster, broker):
    from admin import configs

    topic = cluster.topic(partitions=2, retention_ms=987654321)
    cluster.produce(topic, [{"value": str(i), "partition": 0} for i in range(10)])
    group = cluster.name("g")
    consumer = cluster.consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 4, "note")], asynchronous=False)
    list(cluster.admin.delete_records([TopicPartition(topic, 0, 2)]).values())[0].result(30)
    # Kafka writes down where a log starts once a minute; embedded or not, a stop in order keeps it.
    broker.stop_and_restart()
    broker.kill_and_restart()
    eventually(lambda: cluster.partition_count(topic) == 2, "the topic is there")
    equal(configs(cluster, topic)["retention.ms"].value, "987654321", "its config")
    equal([m.offset() for m in cluster.read_all(topic, 2)], list(range(2, 10)), "its records")
    again = cluster.consumer(group)
    found = again.committed([TopicPartition(topic, 0)], timeout=30)[0]
    equal((found.offset, found.metadata), (4, "note"), "the group's offset")
    again.subscribe([topic])
    equal(take(again, 1)[0].offset(), 4, "the offset resumed from")
    again.close()


@restarting_case
def a_transaction_open_during_a_kill_can_be_committed(cluster, broker):
    topic = cluster.topic()
    open_one = transactional(cluster, transaction_timeout_ms=60_000)
    ended = transactional(cluster)
    for values, end in [([b"aborted"], ended.abort_transaction), ([b"committed"], ended.commit_transaction)]:
        ended.begin_transaction()
        write(ended, topic, values)
        end(30)
    open_one.begin_transaction()
    write(open_one, topic, [b"open"])
    broker.kill_and_restart()
    equal(committed(cluster, topic), [b"committed"], "read committed after the restart")
    equal(uncommitted(cluster, topic), [b"aborted", b"committed", b"open"], "read uncommitted")
    write(open_one, topic, [b"more"])
    open_one.commit_transaction(60)
    equal(committed(cluster, topic), [b"committed", b"open", b"more"], "read committed after the commit")


@restarting_case
def a_transaction_left_open_by_a_kill_is_aborted(cluster, broker):
    topic = cluster.topic()
    identity = cluster.name("tx")
    gone = transactional(cluster, identity, transaction_timeout_ms=3000, message_timeout_ms=3000)
    gone.begin_transaction()
    write(gone, topic, [b"left open"])
    del gone
    broker.kill_and_restart()
    cluster.produce(topic, [b"plain"])
    eventually(lambda: committed(cluster, topic) == [b"plain"], "it is aborted by its time-out", pause_s=0.5)
    back = transactional(cluster, identity)
    back.begin_transaction()
    write(back, topic, [b"back"])
    back.commit_transaction(30)
    equal(committed(cluster, topic), [b"plain", b"back"], "read committed")


@restarting_case
def members_rejoin_after_a_kill(cluster, broker):
    from groups import group_of, partitions_of, shared_out

    topic = cluster.topic(partitions=4)
    with group_of(cluster, [topic], reconnect_backoff_max_ms=500) as group:
        group.join()
        group.join()
        group.settle(shared_out(partitions_of(topic, 4), [2, 2]), "two members share")
        broker.kill_and_restart()
        cluster.produce(topic, [{"value": b"v", "partition": p} for p in range(4)])
        group.settle(shared_out(partitions_of(topic, 4), [2, 2]), "two members share again")
        commit = [TopicPartition(topic, p.partition, 1) for p in group.members[0].assignment()]

        def commits():
            group.poll()
            try:
                return group.members[0].commit(offsets=commit, asynchronous=False)
            except Exception as error:
                return print(f"  commit after the restart: {error}")

        eventually(commits, "a member can commit")


@restarting_case
def members_of_a_divided_group_go_on_after_a_kill(cluster, broker):
    from divided_groups import CHANGE_S, divided_group
    from groups import partitions_of, shared_out

    def seen():
        return [(m.memberid(), sorted(p.partition for p in m.assignment())) for m in group.members]

    topic = cluster.topic(partitions=4)
    with divided_group(cluster, [topic], reconnect_backoff_max_ms=500) as group:
        lost = []
        group.join()
        group.join()
        group.settle(shared_out(partitions_of(topic, 4), [2, 2]), "two members share", CHANGE_S)
        for member in group.members:
            member.subscribe([topic], on_revoke=lambda _, parts: lost.append(parts), on_lost=lambda _, p: lost.append(p))
        group.poll()
        before = seen()
        broker.kill_and_restart()
        cluster.produce(topic, [{"value": b"v", "partition": p} for p in range(4)])
        commit = [TopicPartition(topic, p.partition, 1) for p in group.members[0].assignment()]

        def commits():
            group.poll()
            try:
                return group.members[0].commit(offsets=commit, asynchronous=False)
            except Exception as error:
                return print(f"  commit after the restart: {error}")

        eventually(commits, "a member can commit")
        # Both have been heard by then.
        heard = time.monotonic() + 12
        while time.monotonic() < heard:
            group.poll()
        equal(seen(), before, "members and their partitions")
        equal(lost, [], "what members lost")


@restarting_case
def workers_of_a_queue_go_on_after_a_kill(cluster, broker):
    from share_wire import ShareWire

    unknown_member, unknown_group, fenced = 25, 69, 110
    topic, queue = cluster.topic(partitions=2), cluster.name("q")
    wire = ShareWire(cluster.bootstrap)

    def has_partitions(member):
        told = wire.beat(queue, member, epochs[member])
        check(told.code == 0, f"a heartbeat of {member} was answered with code {told.code}: {told.message}")
        epochs[member] = told.epoch
        # What is told once is not told again; a member that begins anew is told.
        assigned[member] = assigned.get(member) if told.assignment is None else told.assignment
        return bool(assigned.get(member))

    epochs, assigned = {}, {}
    for member in ("stays", "leaves"):
        told = wire.beat(queue, member, 0, [topic])
        equal(told.code, 0, f"{member} joins")
        epochs[member], assigned[member] = told.epoch, told.assignment
        eventually(lambda: has_partitions(member), f"{member} has partitions", pause_s=0.5)
    equal(wire.beat(queue, "leaves", -1).code, 0, "it leaves")
    broker.kill_and_restart()
    equal(wire.beat(queue, "leaves", epochs["leaves"]).code, unknown_member, "one that left before the kill")
    equal(wire.beat(queue, "nobody", 1).code, unknown_member, "one that never joined")
    equal(wire.beat(cluster.name("q"), "stays", 1).code, unknown_group, "a queue that nobody joined")
    equal(wire.beat(queue, "stays", epochs["stays"] + 50).code, fenced, "an epoch that was never told")
    told = wire.beat(queue, "stays", epochs["stays"])
    equal(told.code, 0, "the member that stays")
    check(told.epoch >= epochs["stays"], f"epoch {told.epoch} after {epochs['stays']}")
    epochs["stays"] = told.epoch
    everything = [0, 1]
    eventually(
        lambda: has_partitions("stays") and list(assigned["stays"].values()) == [everything],
        "the member that stays has all partitions",
        pause_s=0.5,
    )
    equal(wire.beat(queue, "stays", -1).code, 0, "it leaves")
    equal(wire.beat(queue, "stays", -1).code, unknown_member, "it leaves again")
