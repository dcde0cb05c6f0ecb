"""Runs the cases against a broker: run.py BOOTSTRAP [--control SCRIPT DATA] [CASE…]

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
import transactions  # noqa: F401
from harness import CASES, RESTARTING_CASES, BrokerControl, Cluster

# Most cases wait for time-outs, not for the processor.
CASES_AT_ONCE = 8


def run_one(name, function, *arguments):
    began = time.monotonic()
    try:
        function(*arguments)
    except Exception:
        print(f"FAIL  python {name} ({time.monotonic() - began:.1f} s)\n{traceback.format_exc()}", flush=True)
        return False
    print(f"pass  python {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("--control", nargs=2, metavar=("SCRIPT", "DATA"))
    parser.add_argument("case", nargs="*")
    arguments = parser.parse_intermixed_args()

    def selected(cases):
        wanted = arguments.case
        return {n: f for n, f in cases.items() if not wanted or any(w in n for w in wanted)}

    cluster = Cluster(arguments.bootstrap)
    with ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        running = [pool.submit(run_one, name, f, cluster) for name, f in selected(CASES).items()]
        passed = [future.result() for future in running]
    for name, function in selected(RESTARTING_CASES).items():
        if arguments.control:
            passed.append(run_one(name, function, cluster, BrokerControl(*arguments.control)))
        else:
            print(f"skip  python {name} (needs --control to kill the broker)")
    print(f"{passed.count(True)} passed, {passed.count(False)} failed (python, {arguments.bootstrap})")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
