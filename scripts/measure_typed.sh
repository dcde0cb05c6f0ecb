#!/usr/bin/env bash
# Measures the typed path beside the loop written by hand, and one subtask beside two.
# usage: scripts/measure_typed.sh [ROWS] [ROUNDS]
# Runs alternate, so that whatever else the machine does falls on all; medians are printed.
set -euo pipefail
rows=${1:-100000000} rounds=${2:-9}
cargo build --quiet --release -p millrace --example keyed_count
program=${CARGO_TARGET_DIR:-target}/release/examples/keyed_count
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
export TIMEFORMAT='%U %S %R'
timed() { # FILE COMMAND...: appends user, system and wall seconds
  local file=$1
  shift
  rm -rf "$directory/checkpoints"
  { time "$@" >/dev/null 2>&1; } 2>>"$directory/$file"
}
for _ in $(seq "$rounds"); do
  timed hand taskset -c 0 "$program" hand "$rows"
  timed one taskset -c 0 "$program" millrace "$rows" 1 "$directory/checkpoints"
  timed free1 "$program" millrace "$rows" 1 "$directory/checkpoints"
  timed free2 "$program" millrace "$rows" 2 "$directory/checkpoints"
done
python3 - "$directory" "$rows" <<'PYTHON'
import statistics, sys
directory, rows = sys.argv[1], int(sys.argv[2])
runs = {name: [list(map(float, line.split())) for line in open(f"{directory}/{name}")]
        for name in ("hand", "one", "free1", "free2")}
cpu = lambda name: [user + system for user, system, _ in runs[name]]
wall = lambda name: [real for _, _, real in runs[name]]
median = statistics.median
for name, what in (("hand", "by hand, pinned"), ("one", "Millrace, pinned"),
                   ("free1", "Millrace, 1 subtask"), ("free2", "Millrace, 2 subtasks")):
    print(f"{what:22} {median(cpu(name)):7.2f} s CPU {median(wall(name)):7.2f} s wall "
          f"{rows / median(cpu(name)) / 1e6:7.1f} M rows per CPU-second")
ratios = sorted(h / m for h, m in zip(cpu("hand"), cpu("one")))
print(f"rows per CPU-second, Millrace / by hand: {median(ratios):.2f} "
      f"(of {len(ratios)} pairs: {ratios[0]:.2f} to {ratios[-1]:.2f})")
gains = sorted(a / b for a, b in zip(wall("free1"), wall("free2")))
print(f"wall time, 1 subtask / 2 subtasks: {median(gains):.2f} ({gains[0]:.2f} to {gains[-1]:.2f})")
PYTHON
