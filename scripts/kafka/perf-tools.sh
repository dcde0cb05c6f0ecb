#!/usr/bin/env bash
# Kafka's own producer and consumer perf tools against the embedded log and real Kafka in turn: CPU-seconds of
# the client (user, system), wall seconds, and CPU-seconds of the broker, for a million records of 100 bytes.
# Round 0 warms the JVM of the broker. Needs the release build of millrace-log's example `serve`.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
records=${1:-1000000}
server=
trap 'kill "$server" 2>/dev/null; scripts/kafka/broker.sh stop "$work/kafka" || true; rm -rf "$work"' EXIT
cargo build --release --quiet -p millrace-log --example serve
target/release/examples/serve --listen 127.0.0.1:0 --data "$work/embedded" >"$work/address" 2>"$work/log" &
server=$!
until [ -s "$work/address" ]; do sleep 0.1; done
kafka=$(KAFKA_HEAP_MB=1024 scripts/kafka/broker.sh start "$work/kafka")
kafka_pid=$(scripts/kafka/broker.sh pid "$work/kafka")
classpath=$(scripts/kafka/broker.sh resolve)

cpu() { awk '{ sub(/.*\) /, ""); print ($12 + $13) / 100 }' "/proc/$1/stat"; }

# measure NAME PID TOOL ARG...
measure() {
    local name=$1 pid=$2 before
    shift 2
    before=$(cpu "$pid")
    /usr/bin/time -o "$work/time" -f "client %U + %S s, wall %e s" \
        java -Xmx512m -cp "$classpath" "$@" >/dev/null 2>&1
    echo "$name: $(cat "$work/time"), broker $(awk "BEGIN { print $(cpu "$pid") - $before }") s"
}

both() {
    local name=$1 pid=$2 address=$3 round=$4
    measure "round $round, $name, produce" "$pid" org.apache.kafka.tools.ProducerPerformance --topic "t$round" \
        --num-records "$records" --record-size 100 --throughput -1 --producer-props "bootstrap.servers=$address"
    measure "round $round, $name, consume" "$pid" org.apache.kafka.tools.ConsumerPerformance --topic "t$round" \
        --messages "$records" --bootstrap-server "$address"
}

for round in 0 1 2 3; do
    both "embedded log" "$server" "$(cat "$work/address")" "$round"
    both "Apache Kafka" "$kafka_pid" "$kafka" "$round"
done
