#!/usr/bin/env bash
# The commands of docs/guide/log.md, and whether their result is the one that stands there.
#
#   run.sh            against the embedded log, served for this on a free port, its data in a temporary directory
#   run.sh HOST:PORT  against the log or Kafka there, whose topics `clicks` and `pages` must not exist; they are
#                     deleted at the end
#
# MILLRACE is the binary (default: millrace in the path).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
millrace=${MILLRACE:-millrace}
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill -INT "$server" 2>/dev/null && wait "$server"; } || true
    rm -rf "$work"
}
trap finish EXIT

if [ $# -eq 0 ]; then
    "$millrace" log serve --listen 127.0.0.1:0 --data "$work/log" 2>"$work/serve.err" &
    server=$!
    for _ in $(seq 100); do
        grep -q "listening on" "$work/serve.err" && break
        sleep 0.1
    done
    MILLRACE_BOOTSTRAP=$(sed -n 's/^listening on //p' "$work/serve.err")
    [ -n "$MILLRACE_BOOTSTRAP" ] || { cat "$work/serve.err" >&2; exit 1; }
else
    MILLRACE_BOOTSTRAP=$1
fi
export MILLRACE_BOOTSTRAP

# The rows of a script, which have to be those of a file.
rows_of() {
    sed "s/127.0.0.1:9092/$MILLRACE_BOOTSTRAP/" "$here/$1" | "$millrace" run - --quiet --output csv >"$work/rows.csv"
    diff <(head -1 "$here/$2") <(head -1 "$work/rows.csv")
    diff <(tail -n +2 "$here/$2" | sort) <(tail -n +2 "$work/rows.csv" | sort)
}

"$millrace" log topic create clicks --partitions 2
"$millrace" log produce clicks "$here/clicks.jsonl"
"$millrace" log consume clicks --quiet | sort | diff - <(sort "$here/clicks.jsonl")
rows_of clicks_per_minute.sql expected.csv

"$millrace" log topic create pages --config cleanup.policy=compact
"$millrace" log produce pages "$here/pages.tsv" --key-separator '\t' --null-marker gone
rows_of pages.sql expected_pages.csv
"$millrace" log topic delete clicks pages --yes
echo "the rows are those of the guide"
