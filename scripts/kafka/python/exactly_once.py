"""Kills a pipeline and its broker at random moments; its output must be that of an undisturbed run.

    exactly_once.py MILLRACE CONTROL DATA [--seeds FIRST-LAST] [--broker-kills N] [--in-job]

MILLRACE is the binary, CONTROL the script that runs the broker (broker.sh or embedded.sh) and DATA the
directory where it does so; --broker-kills is how often a run kills the broker at most (default 3). With --in-job
the job serves the log itself, so that each kill is that of both; CONTROL (embedded.sh) only serves it before and
after, to write the input and to read the outputs.

A seed chooses the records, their disorder, the number of partitions, the interval of checkpoints, what is
killed when, and the parallelism of the job at each start. Odd seeds have their input complete before the job
begins, and the job ends by itself; for even ones a producer writes while processes are killed. In the end the
output topics, read with `read_committed`, are compared whole with a recomputation from the input topic.

What a process is doing when it is killed is up to the machine too, so a seed that failed may pass another
time. What is left of a failed run stays in DATA.
"""

import argparse
import json
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections import Counter, namedtuple

from confluent_kafka import TopicPartition
from harness import BrokerControl, Cluster, check, equal
from pipeline import OUTPUTS, Job, expected, row, script

FIRST_MS = 1_767_225_600_000  # 2026-01-01
COMPLETE_WITHIN_S = 120

# target: "job", "broker" or "both"; moment: when the job is killed, see `Run.await_moment`; downtime_s: how
# long what was killed stays down; parallelism: of the job's next start.
Kill = namedtuple("Kill", "target moment after_s downtime_s parallelism")


class Plan:
    """What a seed decides."""

    def __init__(self, seed, broker_kills, in_job):
        dice = random.Random(seed)
        self.seed, self.in_job, self.bounded = seed, in_job, in_job or seed % 2 == 1
        self.records = dice.randint(3_000, 12_000)
        self.keys = dice.choice([1, 5, 50])
        self.partitions, self.output_partitions = dice.randint(1, 4), dice.randint(1, 3)
        self.step_ms = dice.choice([10, 50, 200])
        self.window_s = dice.choice([1, 2, 5])
        self.delay_ms = dice.choice([0, 500, 2_000])
        self.disorder_ms = dice.choice([0, 400, 2_500, 6_000])
        self.interval_ms = dice.randint(50, 300)
        self.batch_rows = dice.choice([20, 100, 4096])
        self.produce_for_s = dice.uniform(2, 5)
        # What is there already comes in small portions, so that there is time to kill.
        self.portion, self.portion_pause_ms = dice.randint(20, 100), dice.randint(20, 60)
        self.parallelism = dice.randint(1, 3)
        self.kills = [self.kill(dice) for _ in range(dice.randint(3, 8))]
        broker = [kill for kill in self.kills if kill.target != "job"]
        for spared in broker[broker_kills:]:
            self.kills[self.kills.index(spared)] = spared._replace(target="job")
        self.dice = dice

    @staticmethod
    def kill(dice):
        target = dice.choices(["job", "broker", "both"], [60, 30, 10])[0]
        moment = dice.choice(["start", "checkpoint", "checkpoint", "time"])
        longest_s = {"start": 0.5, "checkpoint": 0.03, "time": 1.0}[moment]
        return Kill(target, moment, dice.uniform(0, longest_s), dice.uniform(0, 0.5), dice.randint(1, 3))

    def input(self):
        """The records in the order in which they are written, each with its partition."""
        dice = random.Random(f"{self.seed} records")
        for n in range(self.records):
            ms = FIRST_MS + n * self.step_ms - dice.randint(0, self.disorder_ms)
            key = f"key-{dice.randrange(self.keys)}"
            yield dice.randrange(self.partitions), {"n": n, "k": key, "v": dice.randint(0, 1000), "ms": ms}
        # They close all windows but their own.
        for partition in range(self.partitions):
            n, ms = self.records + partition, FIRST_MS + self.records * self.step_ms + 3_600_000
            yield partition, {"n": n, "k": "last", "v": 0, "ms": ms}

    def __str__(self):
        kills = ", ".join(f"{k.target} ({k.moment} + {k.after_s:.3f} s)" for k in self.kills)
        return (
            f"{self.records} records, {self.partitions} partitions, {'bounded' if self.bounded else 'endless'}, "
            f"{'the log in the job, ' if self.in_job else ''}"
            f"checkpoints every {self.interval_ms} ms, batches of {self.batch_rows}; kills: {kills}"
        )


class Writer(threading.Thread):
    """Writes the input, evenly over `seconds`, through whatever happens to the broker."""

    def __init__(self, cluster, topic, plan, seconds):
        super().__init__(daemon=True)
        self.cluster, self.topic, self.plan, self.seconds = cluster, topic, plan, seconds
        self.acknowledged, self.failures = Counter(), []

    def run(self):
        try:
            self.write()
        except Exception as exception:
            self.failures.append(exception)

    def write(self):
        limits = {"message_timeout_ms": 600_000, "batch_num_messages": self.plan.portion}
        producer = self.cluster.producer(enable_idempotence=True, **limits)
        pause_s = self.seconds / self.plan.records

        def delivered(error, message):
            if error:
                self.failures.append(error)
            else:
                self.acknowledged[json.loads(message.value())["n"]] += 1

        began = time.monotonic()
        for index, (partition, record) in enumerate(self.plan.input()):
            ahead_s = began + index * pause_s - time.monotonic()
            producer.poll(max(0.0, ahead_s) if ahead_s > 0.005 else 0)
            producer.produce(self.topic, json.dumps(record), partition=partition, on_delivery=delivered)
        equal(producer.flush(COMPLETE_WITHIN_S), 0, "records left undelivered")

    def finish(self):
        self.join()
        check(not self.failures, f"the producer failed: {self.failures[:3]}")


class Watcher:
    """Reads the outputs as they become visible. What a reader has seen has to stay."""

    def __init__(self, cluster, topics, partitions):
        self.consumer = cluster.consumer(isolation_level="read_committed")
        self.consumer.assign([TopicPartition(topic, p, 0) for topic in topics for p in range(partitions)])
        self.seen = {}

    def close(self):
        self.consumer.close()

    def look(self, wait_s=0.0):
        for message in self.consumer.consume(10_000, wait_s):
            if message.error() is None:
                self.seen[message.topic(), message.partition(), message.offset()] = message.value()


class Nobody:
    """Stands for a watcher where nobody can look on: a job's own log has another address at each start."""

    seen = {}

    def look(self, wait_s=0.0):
        time.sleep(wait_s)

    def close(self):
        pass


class Run:
    """One seed."""

    def __init__(self, options, control, cluster, plan):
        self.plan, self.control, self.cluster = plan, control, cluster
        self.directory = os.path.join(options.data, f"seed-{plan.seed}")
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self.job = Job(os.path.abspath(options.millrace), self.directory, plan)
        self.prefix = cluster.name(f"seed-{plan.seed}")
        self.killed, self.unkilled = Counter(), 0

    def topic(self, table):
        return f"{self.prefix}-{table}"

    def pause(self, seconds):
        """Looks at the outputs meanwhile. Returns whether the job still runs."""
        until = time.monotonic() + seconds
        while self.job.running() and time.monotonic() < until:
            self.watcher.look(min(0.02, max(0.0, until - time.monotonic())))
        return self.job.running()

    def await_moment(self, kill):
        """Waits for the moment of the kill. Returns whether there still is something to kill."""
        if kill.moment == "checkpoint":
            # Just behind a manifest: what it names is being committed.
            newest, until = self.job.newest_checkpoint(), time.monotonic() + COMPLETE_WITHIN_S
            while self.job.running() and self.job.newest_checkpoint() == newest:
                check(time.monotonic() < until, f"no checkpoint came: {self.job.last_words()}")
                time.sleep(0.002)
            time.sleep(kill.after_s)
            return self.job.running()
        return self.pause(kill.after_s)

    def carry_out(self, kill):
        self.killed[kill.target] += 1
        if kill.target == "broker":
            self.control.kill_and_restart(kill.downtime_s)
            return
        if kill.target == "both":
            self.control.run("kill")
        self.job.kill()
        time.sleep(kill.downtime_s)
        # With both, the job may find its broker away at its start.
        self.job.start(kill.parallelism)
        if kill.target == "both":
            self.control.run("start")

    def client(self):
        """The options by which the job's tables find the log."""
        if self.plan.in_job:
            # Where embedded.sh has it.
            return f"'log.data-dir' = '{os.path.abspath(self.control.data)}/log'"
        return f"'properties.bootstrap.servers' = '{self.cluster.bootstrap}'"

    def kills(self):
        for index, kill in enumerate(self.plan.kills):
            if not self.await_moment(kill):
                self.unkilled = len(self.plan.kills) - index
                return
            self.carry_out(kill)

    def run(self):
        plan, cluster = self.plan, self.cluster
        cluster.topic(plan.partitions, self.topic("input"))
        outputs = {output: cluster.topic(plan.output_partitions, self.topic(output)) for output in OUTPUTS}
        with open(os.path.join(self.directory, "job.sql"), "w") as file:
            file.write(script(plan, self.client(), self.topic))
        self.watcher = Nobody() if plan.in_job else Watcher(cluster, outputs.values(), plan.output_partitions)
        writer = Writer(cluster, self.topic("input"), plan, 0 if plan.bounded else plan.produce_for_s)
        writer.start()
        if plan.bounded:
            writer.finish()
        if plan.in_job:
            wanted = expected(plan, self.read_input(writer.acknowledged))
            self.control.run("kill")
        try:
            self.job.start(plan.parallelism)
            self.kills()
            if not plan.in_job:
                writer.finish()
                wanted = expected(plan, self.read_input(writer.acknowledged))
            self.complete(sum(rows.total() for rows in wanted.values()))
        finally:
            if self.job.process:
                self.job.kill()
            if plan.in_job:
                self.control.run("start")
        self.watcher.close()
        for output, topic in outputs.items():
            self.compare(output, topic, wanted[output])
        return {output: rows.total() for output, rows in wanted.items()}

    def read_input(self, acknowledged):
        records = self.cluster.read_all(self.topic("input"), self.plan.partitions)
        partitions = [[] for _ in range(self.plan.partitions)]
        for message in records:
            partitions[message.partition()].append(json.loads(message.value()))
        found = Counter(record["n"] for records in partitions for record in records)
        self.same(found, acknowledged, "the input has not what was acknowledged")
        return partitions

    def complete(self, rows):
        """Lets the job come to its end: by itself, or by a signal once all is written and committed."""
        until = time.monotonic() + COMPLETE_WITHIN_S

        def in_time():
            seen = f"{len(self.watcher.seen)} of {rows} rows are visible"
            check(time.monotonic() < until, f"{seen}: {self.job.last_words()}")

        if self.plan.bounded:
            while self.pause(0.1):
                in_time()
            # Started once more, it has nothing left to write.
            self.job.start(self.plan.parallelism)
            while self.pause(0.1):
                in_time()
            return
        while len(self.watcher.seen) < rows:
            in_time()
            self.pause(0.1)
        # What is written twice comes later.
        newest = self.job.newest_checkpoint()
        while self.job.newest_checkpoint() < newest + 2:
            in_time()
            self.pause(0.02)
        self.job.stop()

    def compare(self, output, topic, wanted):
        records = self.cluster.read_all(topic, self.plan.output_partitions)
        self.same(Counter(row(output, m.value()) for m in records), wanted, f"`{output}` is not as it should be")
        stands = {(m.partition(), m.offset()): m.value() for m in records}
        for (name, *place), value in self.watcher.seen.items():
            if name == topic:
                equal(stands.get(tuple(place)), value, f"a record of `{output}` that was visible, at {place}")

    @staticmethod
    def same(found, wanted, what):
        lost, more = wanted - found, found - wanted
        if lost or more:
            few = {"lost": lost.most_common(5), "too many": more.most_common(5)}
            raise AssertionError(f"{what}: {lost.total()} lost, {more.total()} too many, such as {few}")


def run_seed(options, control, seed):
    began, plan = time.monotonic(), Plan(seed, options.broker_kills, options.in_job)
    address = open(os.path.join(options.data, "start.out")).read().strip()
    run = Run(options, control, Cluster(address), plan)
    try:
        rows = run.run()
    except Exception:
        print(f"FAIL  seed {seed}: {plan}\n{traceback.format_exc()}again: {options.again} {seed}", flush=True)
        return None
    shutil.rmtree(run.directory)
    kills = ", ".join(f"{count} × {target}" for target, count in sorted(run.killed.items()))
    missed = f", {run.unkilled} after its end" if run.unkilled else ""
    seconds = time.monotonic() - began
    print(f"pass  seed {seed} ({seconds:.1f} s): kills {kills or 'none'}{missed}; rows {rows}", flush=True)
    return run.killed


def seeds(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("millrace")
    parser.add_argument("control")
    parser.add_argument("data")
    parser.add_argument("--seeds", type=seeds, default=seeds("1-3"))
    parser.add_argument("--broker-kills", type=int, default=3)
    parser.add_argument("--in-job", action="store_true", help="the job serves the log itself")
    parser.add_argument("--again", default="exactly_once.py … --seeds", help="what runs a seed again")
    options = parser.parse_args()
    os.makedirs(options.data, exist_ok=True)
    control = BrokerControl(options.control, options.data)
    control.run("start")
    try:
        results = [run_seed(options, control, seed) for seed in options.seeds]
    finally:
        control.run("kill")
    passed = [killed for killed in results if killed is not None]
    kills = sum(passed, Counter())
    failed = len(results) - len(passed)
    print(f"{len(passed)} seeds passed, {failed} failed; kills: {dict(kills)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
