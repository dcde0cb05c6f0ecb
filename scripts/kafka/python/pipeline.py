"""The pipeline of exactly_once.py: its script, the process that runs it, and what it has to write.

Records `n, k, v, ms` are counted and summed by key in windows of event time; the sums, the late records and
some of the records themselves go to a topic each, in transactions.
"""

import json
import os
import signal
import subprocess
from collections import Counter
from datetime import datetime, timezone

OUTPUTS = ("sums", "passed", "late")
PASSED_ABOVE = 600


def script(plan, client, topic):
    """`client` are the options by which tables find the log. `topic` gives the name of a table's topic; it is the
    prefix of the transactional ids too."""
    client = f"'connector' = 'kafka', {client}"
    bounded = ""
    if plan.bounded:
        # One of the producer's batches with each request, and a pause before the next.
        bounded = f""",
    'scan.bounded.mode' = 'latest-offset', 'properties.max.partition.fetch.bytes' = '1',
    'properties.queued.min.messages' = '1', 'properties.fetch.queue.backoff.ms' = '{plan.portion_pause_ms}'"""

    def sink(name, columns, more=""):
        return f"""CREATE TABLE {name} ({columns}) WITH ({client}, 'topic' = '{topic(name)}',
    'value.format' = 'json', 'sink.delivery-guarantee' = 'exactly-once',
    'sink.transactional-id-prefix' = '{topic(name)}'{more});
"""

    by_key = ", 'key.format' = 'raw', 'key.fields' = 'k'"
    return f"""SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '1000';
SET 'restart-strategy.fixed-delay.delay' = '100 ms';
SET 'table.exec.source.idle-timeout' = '0 s';
CREATE TABLE input (n BIGINT, k STRING, v BIGINT, ms BIGINT, at AS TO_TIMESTAMP_LTZ(ms, 3),
    WATERMARK FOR at AS at - INTERVAL '{plan.delay_ms / 1000:.3f}' SECOND)
WITH ({client}, 'topic' = '{topic("input")}', 'format' = 'json',
    'scan.startup.mode' = 'earliest-offset'{bounded});
{sink("sums", "k STRING, window_start TIMESTAMP_LTZ(3), numbers BIGINT, total BIGINT", by_key)}
{sink("passed", "n BIGINT, v BIGINT")}
{sink("late", "n BIGINT, k STRING", by_key)}
EXECUTE STATEMENT SET BEGIN
INSERT INTO sums SELECT k, window_start, COUNT(*), SUM(v)
    FROM TABLE(TUMBLE(TABLE input, DESCRIPTOR(at), INTERVAL '{plan.window_s}' SECOND))
    GROUP BY k, window_start, window_end;
INSERT INTO passed SELECT n, v FROM input WHERE v > {PASSED_ABOVE};
INSERT INTO late SELECT n, k FROM `input$late`;
END;
"""


def expected(plan, partitions):
    """The rows of each output, from the records of each input partition in their order.

    A record is late by those before it in its own partition; a window is written when all partitions have
    passed it, or have ended.
    """
    size_ms, sums, passed, late = plan.window_s * 1000, {}, Counter(), Counter()
    watermarks = []
    for records in partitions:
        watermark = -1
        for record in records:
            start = record["ms"] - record["ms"] % size_ms
            if start + size_ms - 1 <= watermark:
                late[record["n"], record["k"]] += 1
            else:
                numbers, total = sums.get((record["k"], start), (0, 0))
                sums[record["k"], start] = (numbers + 1, total + record["v"])
            if record["v"] > PASSED_ABOVE:
                passed[record["n"], record["v"]] += 1
            watermark = max(watermark, record["ms"] - plan.delay_ms)
        watermarks.append(float("inf") if plan.bounded else watermark)
    over = min(watermarks)
    closed = {window: sum for window, sum in sums.items() if window[1] + size_ms - 1 <= over}
    return {"sums": Counter((*window, *sum) for window, sum in closed.items()), "passed": passed, "late": late}


def row(output, value):
    """A record of an output as `expected` has it."""
    fields = json.loads(value)
    if output == "sums":
        start = datetime.fromisoformat(fields["window_start"].replace("Z", "")).replace(tzinfo=timezone.utc)
        return fields["k"], round(start.timestamp() * 1000), fields["numbers"], fields["total"]
    return tuple(fields.values())


class Job:
    """The process that runs the script. It is started by the same command again and again, but for the
    parallelism; its checkpoints and what it says are in `directory`."""

    def __init__(self, millrace, directory, plan):
        self.millrace, self.directory, self.plan = millrace, directory, plan
        self.starts, self.process, self.said = 0, None, None

    def start(self, parallelism):
        self.starts += 1
        self.said = os.path.join(self.directory, f"job-{self.starts}.log")
        # fmt: off
        command = [self.millrace, "run", "job.sql", "--parallelism", str(parallelism),
                   "--batch-rows", str(self.plan.batch_rows), "--checkpoint-dir", "checkpoints",
                   "--checkpoint-interval", f"{self.plan.interval_ms}ms"]
        # fmt: on
        environment = {**os.environ, "NO_COLOR": "1", "MILLRACE_LOG": "info"}
        with open(self.said, "w") as said:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    def running(self):
        """Whether it still runs. One that ended by itself must have come to its input's end."""
        code = self.process.poll()
        if code is not None and (code != 0 or not self.plan.bounded):
            raise AssertionError(f"the job ended with exit code {code}: {self.last_words()}")
        return code is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it in order, with a last checkpoint."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the job does not stop: {self.last_words()}") from None

    def newest_checkpoint(self):
        try:
            names = os.listdir(os.path.join(self.directory, "checkpoints", "manifests"))
        except FileNotFoundError:
            return 0
        return max((int(name[:-5]) for name in names if name.endswith(".json")), default=0)

    def last_words(self):
        with open(self.said, errors="replace") as said:
            return "\n" + said.read()[-3000:]
