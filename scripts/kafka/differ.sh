#!/usr/bin/env bash
# Sends the same random sequences of requests to the embedded log and to real Apache Kafka and compares the answers
# (java/differ/Differ.java tells more):
#
#   scripts/kafka/differ.sh [SEED|FIRST-LAST] [OPTION=VALUE…]
#
# The default is seeds 1-40. Options: `length` (steps of a sequence, 60), `steps` (only these of them, such as
# 1,2,7-9), `seconds` (no further seed is begun after so many), `shrink=no` (leave differing sequences as they are),
# `kinds=yes` (count the requests by kind). A difference is printed with the command that replays it.
#
# The embedded log is the example of millrace-log in a debug build; MILLRACE_LOG_SERVER is another command to serve it
# with. Brokers that run already are taken from DIFFER_KAFKA and DIFFER_EMBEDDED (HOST:PORT). Exit codes: 0 no
# difference, 1 some or a failure, 2 misuse, 77 java or Kafka's jars can't be had (said on stderr).
set -uo pipefail
cd "$(dirname "$0")/../.."
build=${CARGO_TARGET_DIR:-$PWD/target}/kafka-test

# What is not understood must not pass for a comparison that was made.
for argument in "$@"; do
    [[ $argument =~ ^([0-9]+(-[0-9]+)?|(length|seconds)=[0-9]+|steps=[0-9,-]+|(shrink|kinds)=(yes|no))$ ]] || {
        echo "differ: \`$argument\` is no seed and no option; see the head of scripts/kafka/differ.sh" >&2
        exit 2
    }
done

command -v javac >/dev/null || { echo "differ: skipped: there is no javac" >&2; exit 77; }
classpath=$(scripts/kafka/broker.sh resolve) || exit
mkdir -p "$build"
work=$(mktemp -d "$build/differ.XXXXXX")
finish() {
    local code=$?
    scripts/kafka/broker.sh kill "$work/kafka" 2>/dev/null
    scripts/kafka/embedded.sh kill "$work/embedded" 2>/dev/null
    rm -rf "$work"/*/log "$work/classes"
    if [ $code -eq 0 ]; then rm -rf "$work"; else echo "differ: logs of the brokers are in $work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir "$work/classes"
javac -Xlint:all,-classfile,-processing -cp "$classpath" -d "$work/classes" \
    scripts/kafka/java/*.java scripts/kafka/java/differ/*.java || exit 1
kafka=${DIFFER_KAFKA:-} embedded=${DIFFER_EMBEDDED:-}
if [ -z "$kafka" ]; then
    # On a busy machine a broker that is taken for dead for a moment would get another leader epoch.
    # Groups whose offsets are in one partition are in one transaction, and the embedded log has one partition for all.
    kafka=$(scripts/kafka/broker.sh start "$work/kafka" broker.session.timeout.ms=60000 \
        offsets.topic.num.partitions=1) || exit
fi
if [ -z "$embedded" ]; then
    if [ -z "${MILLRACE_LOG_SERVER:-}" ]; then
        cargo build --quiet --locked --package millrace-log --example serve || exit 1
    fi
    embedded=$(scripts/kafka/embedded.sh start "$work/embedded") || exit
fi
java -Xmx512m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
    -cp "$classpath:$work/classes" Differ "$kafka" "$embedded" "$@"
