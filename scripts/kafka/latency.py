#!/usr/bin/env python3
"""How long a record takes from produce to consume, on loopback, through librdkafka.

A producer sends one record at a time, stamped with the clock, and a consumer in another process that waits for
it says how old it is. Percentiles over all records but the first tenth, against the embedded log or any broker:

    scripts/kafka/latency.py [--bootstrap ADDRESS] [--records N] [--every MS]

Without an address it starts target/release/millrace (or $MILLRACE) as `log serve`. Needs confluent-kafka, which
the virtual environment of scripts/kafka-test.sh has."""

import argparse
import multiprocessing
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = pathlib.Path(__file__).resolve().parents[2]
MILLRACE = os.environ.get("MILLRACE", ROOT / "target/release/millrace")


def consume(address, topic, count, ready, ages):
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic, "auto.offset.reset": "earliest",
                         "fetch.wait.max.ms": 500, "enable.auto.commit": False})
    consumer.subscribe([topic], on_assign=lambda *_: ready.set())
    found = []
    while len(found) < count:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            found.append(time.monotonic_ns() - int(message.value()[:20]))
    ages.put(found)
    consumer.close()


def measure(address, records, every_ms):
    topic = f"latency-{os.getpid()}"
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    ready, ages = multiprocessing.Event(), multiprocessing.Queue()
    consumer = multiprocessing.Process(target=consume, args=(address, topic, records, ready, ages))
    consumer.start()
    if not ready.wait(30):
        sys.exit("the consumer was given no partition")
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
    due = time.monotonic()
    for _ in range(records):
        producer.produce(topic, f"{time.monotonic_ns():020}".encode() + b"x" * 80)
        producer.poll(0)
        due += every_ms / 1000
        time.sleep(max(0, due - time.monotonic()))
    if producer.flush(30):
        sys.exit("records were not acknowledged")
    found = ages.get()
    consumer.join()
    found = sorted(found[records // 10:])
    shown = ", ".join(f"p{percent:g} {found[min(len(found) - 1, int(len(found) * percent / 100))] / 1e6:.2f} ms"
                      for percent in (50, 95, 99, 99.9))
    print(f"{records} records of 100 bytes, one each {every_ms:g} ms: {shown}, longest {found[-1] / 1e6:.2f} ms")


def main():
    parser = argparse.ArgumentParser(description="age of records when they are consumed")
    parser.add_argument("--bootstrap")
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=1.0, help="milliseconds between records")
    options = parser.parse_args()
    if options.bootstrap:
        return measure(options.bootstrap, options.records, options.every)
    with tempfile.TemporaryDirectory(prefix="millrace-latency-") as data:
        server = subprocess.Popen([MILLRACE, "log", "serve", "--listen", "127.0.0.1:0", "--data", data],
                                  stderr=subprocess.PIPE, text=True)
        try:
            for line in server.stderr:
                found = re.search(r"127\.0\.0\.1:\d+", line)
                if found:
                    return measure(found.group(), options.records, options.every)
            sys.exit("the embedded log did not start")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
