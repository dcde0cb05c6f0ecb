#!/usr/bin/env python3
"""Records per CPU-second, client and broker together: the embedded log against real Kafka, in one run.

Writes 100-byte records to a topic and reads them back through the same client, `millrace log produce` and
`millrace log consume`, against each broker in turn; rounds alternate, and medians are shown. Then a job
(examples/bench/count_from_log.sql) reads the same number of JSON records and counts them by window. CPU-seconds
are those of the client's or the job's process plus what the broker's process used meanwhile (user and system).

    scripts/kafka/throughput.py [--records N] [--rounds N] [--partitions N] [--cores 0-1]

Needs target/release/millrace; what scripts/kafka/broker.sh needs for the real broker. One round before the
measured ones warms the JVM."""

import argparse
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MILLRACE = pathlib.Path(os.environ.get("MILLRACE", ROOT / "target/release/millrace"))
BROKER = ROOT / "scripts/kafka/broker.sh"
VERBS = ("produce", "consume", "count by window")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """What a process has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Embedded:
    name = "embedded log"

    def __init__(self, work, pin):
        self.process = subprocess.Popen(
            [*pin, MILLRACE, "log", "serve", "--listen", "127.0.0.1:0", "--data", work / "embedded"],
            stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"127\.0\.0\.1:\d+", line)
            if found:
                self.address = found.group()
                break
        else:
            sys.exit("the embedded log did not start")
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Kafka:
    name = "Apache Kafka"

    def __init__(self, work, pin):
        self.data = work / "kafka"
        environment = dict(os.environ, KAFKA_HEAP_MB="1024")
        started = subprocess.run([*pin, BROKER, "start", self.data], stdout=subprocess.PIPE, text=True,
                                 env=environment)
        if started.returncode != 0:
            sys.exit("no real Kafka to compare with")
        self.address = started.stdout.strip()
        self.pid = subprocess.run([BROKER, "pid", self.data], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.strip()

    def stop(self):
        subprocess.run([BROKER, "stop", self.data], check=True)


def measured(broker, pin, arguments, script=None):
    """Runs a command of the binary; its and the broker's CPU-seconds, and the seconds on the wall."""
    before = cpu_seconds(broker.pid)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([*pin, MILLRACE, *arguments], stdout=subprocess.DEVNULL, check=True, text=True, input=script)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    return client, cpu_seconds(broker.pid) - before, wall


def main():
    parser = argparse.ArgumentParser(description="records per CPU-second against both brokers")
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--cores", default="0-1")
    options = parser.parse_args()
    pin = ["taskset", "-c", options.cores] if shutil.which("taskset") else []
    work = pathlib.Path(tempfile.mkdtemp(prefix="millrace-throughput-"))
    lines = work / "lines"
    with lines.open("w") as file:
        for number in range(options.records):
            file.write(f"{number:012d}{'x' * 88}\n")
    events = work / "events"
    with events.open("w") as file:
        for number in range(options.records):
            second, milli = divmod(number // 20, 1000)
            minute, second = divmod(second, 60)
            hour, minute = divmod(minute, 60)
            file.write(f'{{"page":"/p{number * 7919 % 1000}","took":{number % 997},'
                       f'"at":"2026-11-21 {hour:02}:{minute:02}:{second:02}.{milli:03}"}}\n')
    job = (ROOT / "examples/bench/count_from_log.sql").read_text()
    brokers = []
    try:
        for kind in (Embedded, Kafka):
            brokers.append(kind(work, pin))
        results = {(broker.name, verb): [] for broker in brokers for verb in VERBS}
        for round_number in range(options.rounds + 1):
            for broker in brokers if round_number % 2 else reversed(brokers):
                topic, input_topic = f"round-{round_number}", f"events-{round_number}"
                at = ["--bootstrap", broker.address]
                subprocess.run([MILLRACE, "log", "topic", "create", topic, input_topic, "--partitions",
                                str(options.partitions), *at],
                               check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                subprocess.run([MILLRACE, "log", "produce", input_topic, events, "--quiet", *at], check=True)
                script = job.replace("127.0.0.1:9092", broker.address).replace("'events'", f"'{input_topic}'")
                steps = {
                    "produce": (["log", "produce", topic, str(lines), "--quiet", *at], None),
                    "consume": (["log", "consume", topic, "--from", "earliest", "--max", str(options.records),
                                 "--quiet", *at], None),
                    "count by window": (["run", "-", "--quiet", "--output", "csv"], script),
                }
                for verb, (arguments, script) in steps.items():
                    figures = measured(broker, pin, arguments, script)
                    if round_number:
                        results[broker.name, verb].append(figures)
        print(f"{options.records} records of 100 bytes, {options.partitions} partitions, "
              f"median of {options.rounds} rounds")
        rates = {}
        for (name, verb), figures in results.items():
            client, server, wall = (statistics.median(column) for column in zip(*figures))
            rate = statistics.median(options.records / (c + s) for c, s, _ in figures)
            rates[name, verb] = rate
            print(f"{name:12} {verb:15}: {rate / 1e6:.2f} M records per CPU-second "
                  f"(client {client:.2f} s, broker {server:.2f} s, wall {wall:.2f} s)")
        for verb in VERBS:
            ratio = rates[Embedded.name, verb] / rates[Kafka.name, verb]
            print(f"{verb}: embedded log / Apache Kafka = {ratio:.2f}")
    finally:
        for broker in brokers:
            broker.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
