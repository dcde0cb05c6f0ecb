#!/usr/bin/env bash
# Runs the year's job at parallelism 1, 2 and 4 with batches of 1, 7 and 4,096 rows, and compares its rows
# whole with the oracle's. Needs python3; makes the data where it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -d examples/flights/year ] || python3 examples/flights/make_data.py --year
python3 examples/flights/oracle.py examples/flights/year >"$work/hourly_delays.csv"
python3 examples/flights/oracle.py --late examples/flights/year >"$work/late_departures.csv"
cargo build --release --locked --quiet -p millrace-cli

for parallelism in 1 2 4; do
    for batch_rows in 1 7 4096; do
        echo "parallelism $parallelism, batches of $batch_rows:"
        target/release/millrace run examples/flights/hourly_delays_year.sql --output csv \
            --parallelism "$parallelism" --batch-rows "$batch_rows" \
            >"$work/rows.csv" 2>"$work/summary"
        head -1 "$work/summary"
        python3 examples/flights/compare.py "$work/hourly_delays.csv" "$work/rows.csv"
        python3 examples/flights/compare.py "$work/late_departures.csv" "$work/rows.csv"
    done
done
