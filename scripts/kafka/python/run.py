"""Runs the cases against a broker: run.py BOOTSTRAP [--control SCRIPT DATA] [--tools | --security DIR] [CASE…]

With --tools the cases are those that run Kafka's own tools and a Streams program, which need java: their
environment is KAFKA_TEST_CLASSES, the directory of the compiled program, and KAFKA_TEST_DATA, the broker's.
With --security they are those for a broker that secure.sh started; DIR has its certificates.
A name selects all cases that it is a part of. Prints a line for each case; exits with 1 if one failed.

A case that is not over after CASE_TIMEOUT_S (or what the environment has under this name) has failed: the
stacks of all threads are printed, and the cases behind it go on without it. One that keeps the interpreter
from going on at all (librdkafka that waits in a callback does) ends the run in the same way.
"""

import argparse
import faulthandler
import os
import sys
import threading
import time
import traceback

import admin  # noqa: F401  (imported for their cases)
import basics  # noqa: F401
import divided_groups  # noqa: F401
import groups  # noqa: F401
import restarts  # noqa: F401
import retention  # noqa: F401
import security
import tools  # noqa: F401
import transactions  # noqa: F401
from harness import CASES, RESTARTING_CASES, SECURITY_CASES, TOOL_CASES, BrokerControl, Cluster

# Most cases wait for time-outs, not for the processor; tools do not.
CASES_AT_ONCE = 8
TOOLS_AT_ONCE = 3
CASE_TIMEOUT_S = float(os.environ.get("CASE_TIMEOUT_S", "300"))
# The loop below comes round many times a second, unless somebody does not give back the interpreter.
STANDSTILL_S = 60


class Case:
    """A case in a thread of its own, which nobody can end if it does not end itself."""

    def __init__(self, name, function, *arguments):
        self.name, self.passed, self.began = name, None, time.monotonic()
        self.thread = threading.Thread(target=self.run, args=(function, *arguments), name=name, daemon=True)
        self.thread.start()

    def run(self, function, *arguments):
        failure = None
        try:
            function(*arguments)
        except Exception:
            failure = traceback.format_exc()
        if self.passed is None:
            self.tell(failure)

    def tell(self, failure):
        self.passed = failure is None
        took = f"({time.monotonic() - self.began:.1f} s)"
        print(f"pass  {self.name} {took}" if self.passed else f"FAIL  {self.name} {took}\n{failure}", flush=True)

    def is_over(self):
        """Gives the case up when its time is over."""
        if self.passed is None and time.monotonic() - self.began > CASE_TIMEOUT_S:
            self.tell(f"it is not over after {CASE_TIMEOUT_S:g} s; all threads (thread {self.thread.ident:#x} is its):")
            faulthandler.dump_traceback(sys.stdout)
        return self.passed is not None


def run_all(cases, at_once, *arguments):
    """Runs cases, so many at once; returns for each whether it passed."""
    waiting, running, over = list(cases.items()), [], []
    while waiting or running:
        faulthandler.dump_traceback_later(STANDSTILL_S, exit=True, file=sys.stdout)
        over += [case for case in running if case.is_over()]
        running = [case for case in running if case not in over]
        while waiting and len(running) < at_once:
            running.append(Case(*waiting.pop(0), *arguments))
        time.sleep(0.05)
    faulthandler.cancel_dump_traceback_later()
    return [case.passed for case in over]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("--control", nargs=2, metavar=("SCRIPT", "DATA"))
    parser.add_argument("--tools", action="store_true")
    parser.add_argument("--security", metavar="DIR")
    parser.add_argument("case", nargs="*")
    arguments = parser.parse_intermixed_args()

    def selected(cases):
        wanted = arguments.case
        return {n: f for n, f in cases.items() if not wanted or any(w in n for w in wanted)}

    passed = []
    if arguments.security:
        cluster = security.secure_cluster(arguments.bootstrap, arguments.security)
        passed += run_all(selected(SECURITY_CASES), CASES_AT_ONCE, cluster)
    elif arguments.tools:
        passed += run_all(selected(TOOL_CASES), TOOLS_AT_ONCE, Cluster(arguments.bootstrap))
    else:
        cluster = Cluster(arguments.bootstrap)
        # First, while the broker has little to recover.
        if arguments.control:
            passed += run_all(selected(RESTARTING_CASES), 1, cluster, BrokerControl(*arguments.control))
        else:
            for name in selected(RESTARTING_CASES):
                print(f"skip  {name} (needs --control to kill the broker)")
        passed += run_all(selected(CASES), CASES_AT_ONCE, cluster)
    print(f"{passed.count(True)} passed, {passed.count(False)} failed ({arguments.bootstrap})", flush=True)
    # A case that was given up may keep the interpreter from its end.
    os._exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
