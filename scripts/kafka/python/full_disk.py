"""Fills a file system under the embedded log, and under the checkpoints of a job.

    full_disk.py MILLRACE SMALL WORK

SMALL is a directory on a file system of its own, a few dozen MiB large; WORK has room. Each part fills SMALL, looks
what clients and jobs are told, makes room in one of the ways there are, and compares in the end what was
acknowledged with what is there: every acknowledged record, once, at the offset that was acknowledged.
"""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from harness import check, equal, eventually

MILLRACE, SMALL, WORK = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
KIB = 1024


def told(line):
    print(f"--- {line}", flush=True)


class Ballast:
    """Takes all the room there is, and gives it back."""

    def __init__(self):
        self.path = SMALL / "ballast"

    def fill(self):
        with open(self.path, "ab", buffering=0) as file:
            for size in (256 * KIB, 4 * KIB, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass

    def drop(self):
        self.path.unlink(missing_ok=True)


class Log:
    """A server whose data is on the small file system."""

    def __init__(self, name, fsync, listen="127.0.0.1:0"):
        self.name, self.fsync, self.listen = name, fsync, listen
        self.data, self.process = SMALL / name, None

    def start(self):
        errors = open(WORK / f"{self.name}.log", "a+b")
        command = [MILLRACE, "log", "serve", "--data", str(self.data), "--listen", self.listen, "--fsync", self.fsync]
        at = errors.seek(0, os.SEEK_END)
        self.process = subprocess.Popen(command, stderr=errors)

        def address():
            check(self.process.poll() is None, f"the log ended with code {self.process.poll()} at its start")
            errors.seek(at)
            lines = errors.read().decode().splitlines()
            return next((line.split()[-1] for line in lines if line.startswith("listening on ")), None)

        self.address = eventually(address, "the log listens")
        self.admin = AdminClient(self.client())
        atexit.register(self.kill)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        equal(self.process.wait(timeout=20), 0, "the log's exit code")

    def client(self, **more):
        return {"bootstrap.servers": self.address, "log_level": 0} | {k.replace("_", "."): v for k, v in more.items()}

    def create(self, topic, partitions=1, **config):
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        created = self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])
        created[topic].result(20)


class Writing:
    """Writes numbered records until it is told to stop, and keeps what was acknowledged, and what was refused."""

    def __init__(self, log, topic, **more):
        self.topic, self.acknowledged, self.refused, self.stopping = topic, {}, [], threading.Event()
        self.producer = Producer(log.client(linger_ms=5, batch_size=32 * KIB, **more))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        number = 0
        while not self.stopping.is_set():
            value = f"{number:08}".encode() * 64
            try:
                self.producer.produce(self.topic, value, on_delivery=self.delivered)
                number += 1
            except BufferError:
                pass
            self.producer.poll(0 if number % 100 else 0.01)

    def delivered(self, error, record):
        if error is None:
            self.acknowledged[(record.partition(), record.offset())] = record.value()
        else:
            self.refused.append(error)

    def count(self):
        return len(self.acknowledged)

    def goes_on(self, what):
        before = self.count()
        eventually(lambda: self.count() > before + 200, what, within_s=60)

    def stands_still(self):
        """Waits until nothing is acknowledged any more."""

        def still():
            before = self.count()
            time.sleep(1)
            return self.count() == before

        eventually(still, "the file system is full", within_s=60)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.producer.flush(60)
        return self.acknowledged


def read_all(log, topic, partitions, isolation="read_uncommitted"):
    """All records from the first to the present end, by partition and offset."""
    consumer = Consumer(log.client(group_id="reader", enable_auto_commit=False, enable_partition_eof=True,
                                   isolation_level=isolation))
    starts = [TopicPartition(topic, p, consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[0])
              for p in range(partitions)]
    consumer.assign(starts)
    found, ended, deadline = {}, set(), time.monotonic() + 60
    while len(ended) < partitions:
        check(time.monotonic() < deadline, f"`{topic}` was not read to its end within 60 s")
        record = consumer.poll(1)
        if record is None:
            continue
        if record.error() is None:
            found[(record.partition(), record.offset())] = record.value()
        elif record.error().code() == KafkaError._PARTITION_EOF:
            ended.add(record.partition())
        else:
            raise KafkaException(record.error())
    consumer.close()
    return found, {start.partition: start.offset for start in starts}


def compare(log, topic, acknowledged, partitions, once):
    found, starts = read_all(log, topic, partitions)
    kept = {place: value for place, value in acknowledged.items() if place[1] >= starts[place[0]]}
    lost = [place for place, value in kept.items() if found.get(place) != value]
    check(not lost, f"{len(lost)} acknowledged records of `{topic}` are lost or changed, such as {lost[:3]}")
    if once:
        equal(len(set(found.values())), len(found), f"different records in `{topic}`")
    return len(kept)


def set_config(log, topic, name, value):
    entry = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource("TOPIC", topic, incremental_configs=[entry])
    return log.admin.incremental_alter_configs([resource])[resource].result(20)


def log_part(fsync):
    told(f"the log, --fsync {fsync}")
    ballast, log = Ballast(), Log(f"log-{fsync}", fsync).start()
    log.create("waits", 2, segment_bytes=1 << 20)
    log.create("fails", 1, segment_bytes=1 << 20)
    log.create("old", 1, segment_bytes=1 << 20)
    aside = Writing(log, "old")
    eventually(lambda: aside.count() > 6_000, "the old topic is written")
    old = aside.stop()
    waits = Writing(log, "waits", enable_idempotence=True, message_timeout_ms=300_000)
    fails = Writing(log, "fails", retries=0, message_timeout_ms=300_000)
    eventually(lambda: waits.count() > 1_000 and fails.count() > 1_000, "the log is written")
    ballast.fill()
    waits.stands_still()
    codes = {error.name() for error in fails.refused}
    equal(codes, {"KAFKA_STORAGE_ERROR"}, "what a producer without retries is told")
    check(not waits.refused, f"a producer that tries again is told nothing: {waits.refused[:3]}")
    fails.stop()
    compare(log, "waits", dict(waits.acknowledged), 2, True)
    told("full: producers are refused and all that was acknowledged is read")

    ballast.drop()
    waits.goes_on("writing goes on when another file is deleted")
    ballast.fill()
    waits.stands_still()
    deleted = log.admin.delete_records([TopicPartition("old", 0, 5_000)])
    equal([future.result(20).low_watermark for future in deleted.values()], [5_000], "deleted to")
    waits.goes_on("writing goes on after records were deleted")
    told("another file's deletion and DeleteRecords made room")

    ballast.fill()
    waits.stands_still()
    set_config(log, "fails", "retention.bytes", 1 << 20)
    waits.goes_on("writing goes on after retention")
    told("retention made room")

    ballast.fill()
    waits.stands_still()
    log.kill()
    log = Log(log.name, fsync, log.address).start()
    told("killed and started on the full disk")
    compare(log, "waits", dict(waits.acknowledged), 2, True)
    consumer = Consumer(log.client(group_id="g", enable_auto_commit=False))
    try:
        consumer.commit(offsets=[TopicPartition("old", 0, 1)], asynchronous=False)
    except KafkaException as refused:
        told(f"a commit of offsets on the full disk: {refused.args[0].name()}")
    ballast.drop()
    eventually(lambda: commits(consumer), "offsets are committed when there is room")
    consumer.close()
    waits.goes_on("writing goes on after the start")
    acknowledged = waits.stop()
    check(not waits.refused, f"a producer that tries again is told nothing: {waits.refused[:3]}")
    compare(log, "waits", acknowledged, 2, True)
    compare(log, "fails", fails.acknowledged, 1, False)
    compare(log, "old", old, 1, False)
    log.stop()
    log = Log(log.name, fsync, log.address).start()
    counted = compare(log, "waits", acknowledged, 2, True)
    log.stop()
    shutil.rmtree(log.data)
    told(f"{counted} acknowledged records of `waits` are there after another start")


def commits(consumer):
    try:
        consumer.commit(offsets=[TopicPartition("old", 0, 1)], asynchronous=False)
        return True
    except KafkaException:
        return False


JOB = """
CREATE TABLE numbers (n BIGINT, at AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR at AS at) WITH (
    'connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '{rate}',
    'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000');
CREATE TABLE sums (k BIGINT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = 'csv');
INSERT INTO sums SELECT n, COUNT(*) FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(at), INTERVAL '2' SECOND))
    GROUP BY window_start, window_end, n;
"""


def job_part():
    told("the checkpoints of a job")
    ballast, rows, rate = Ballast(), 60_000, 5_000
    out = WORK / "out"
    (WORK / "job.sql").write_text(JOB.format(rows=rows, rate=rate, out=out))
    errors = open(WORK / "job.log", "w+b")
    job = subprocess.Popen(
        [MILLRACE, "run", "job.sql", "--checkpoint-dir", str(SMALL / "ckpt"), "--checkpoint-interval", "200ms"],
        cwd=WORK, stderr=errors)

    def said(text):
        errors.flush()
        return text in pathlib.Path(errors.name).read_text()

    eventually(lambda: (SMALL / "ckpt" / "manifests").exists() and any((SMALL / "ckpt" / "manifests").iterdir()),
               "a first checkpoint")
    time.sleep(1)
    ballast.fill()
    eventually(lambda: said("No space left on device"), "the job says that the disk is full")
    time.sleep(3)
    equal(job.poll(), None, "the job goes on")
    ballast.drop()
    told("full: the job says so and tries on; room was made")
    equal(job.wait(timeout=90), 0, "the job's exit code")
    lines = [line for part in out.rglob("*.csv") for line in part.read_text().splitlines()]
    equal(sorted(int(line.split(",")[0]) for line in lines), list(range(1, rows + 1)), "the rows")
    equal({line.split(",")[1] for line in lines}, {"1"}, "the counts")
    told(f"each of {rows} rows was written once")


def main():
    log_part("always")
    log_part("1s")
    job_part()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
