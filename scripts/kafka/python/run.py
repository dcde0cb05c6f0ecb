"""Runs the cases against a broker: run.py BOOTSTRAP [--control SCRIPT DATA] [--tools] [CASE…]

With --tools the cases are those that run Kafka's own tools and a Streams program, which need java: their
environment is KAFKA_TEST_CLASSES, the directory of the compiled program, and KAFKA_TEST_DATA, the broker's.
A name selects all cases that it is a part of. Prints a line for each case; exits with 1 if one failed.
"""

import argparse
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import admin  # noqa: F401  (imported for their cases)
import basics  # noqa: F401
import groups  # noqa: F401
import restarts  # noqa: F401
import retention  # noqa: F401
import tools  # noqa: F401
import transactions  # noqa: F401
from harness import CASES, RESTARTING_CASES, TOOL_CASES, BrokerControl, Cluster

# Most cases wait for time-outs, not for the processor; tools do not.
CASES_AT_ONCE = 8
TOOLS_AT_ONCE = 3


def run_one(name, function, *arguments):
    began = time.monotonic()
    try:
        function(*arguments)
    except Exception:
        print(f"FAIL  {name} ({time.monotonic() - began:.1f} s)\n{traceback.format_exc()}", flush=True)
        return False
    print(f"pass  {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("--control", nargs=2, metavar=("SCRIPT", "DATA"))
    parser.add_argument("--tools", action="store_true")
    parser.add_argument("case", nargs="*")
    arguments = parser.parse_intermixed_args()

    def selected(cases):
        wanted = arguments.case
        return {n: f for n, f in cases.items() if not wanted or any(w in n for w in wanted)}

    cluster = Cluster(arguments.bootstrap)
    passed = []
    # First, while the broker has little to recover.
    restarting = {} if arguments.tools else selected(RESTARTING_CASES)
    for name, function in restarting.items():
        if arguments.control:
            passed.append(run_one(name, function, cluster, BrokerControl(*arguments.control)))
        else:
            print(f"skip  {name} (needs --control to kill the broker)")
    cases, at_once = (TOOL_CASES, TOOLS_AT_ONCE) if arguments.tools else (CASES, CASES_AT_ONCE)
    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(run_one, name, f, cluster) for name, f in selected(cases).items()]
        passed += [future.result() for future in running]
    print(f"{passed.count(True)} passed, {passed.count(False)} failed ({arguments.bootstrap})")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
