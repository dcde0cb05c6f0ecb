#!/usr/bin/env bash
# Kills a pipeline from Kafka through windows to Kafka, and its broker, at random moments, and compares what it
# wrote with a recomputation (scripts/kafka/python/exactly_once.py tells more):
#
#   scripts/exactly-once-test.sh [embedded|in-job|kafka] [SEED|FIRST-LAST]
#
# The default is `embedded 1-3`: the embedded log as a process of its own, seeds 1 to 3. With `in-job` the job
# serves the log itself, as one does whose tables name no brokers, so that both die together. With `kafka` the
# broker is real Apache Kafka, which is killed once in a run at most: it takes long to start.
#
# MILLRACE is the binary (default: target/debug/millrace, which is built). What is missing (python3 with an index
# to install from; java) is said, and the exit code is 77. Logs of failed seeds stay in the build directory.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/kafka/venv.sh
build=${CARGO_TARGET_DIR:-$PWD/target}/kafka-test
broker=${1:-embedded} seeds=${2:-1-3}

case $broker in
    embedded) control=scripts/kafka/embedded.sh broker_kills=3 more= ;;
    in-job) control=scripts/kafka/embedded.sh broker_kills=0 more=--in-job ;;
    kafka) control=scripts/kafka/broker.sh broker_kills=1 more= ;;
    *)
        echo "exactly-once-test: there is no broker \`$broker\`; use \`embedded\`, \`in-job\` or \`kafka\`" >&2
        exit 2
        ;;
esac
problem=$(prepare_venv "$build") || { echo "exactly-once-test: skipped: $problem"; exit 77; }
if [ "$broker" = kafka ]; then
    scripts/kafka/broker.sh resolve >/dev/null || exit
fi
if [ -z "${MILLRACE:-}" ]; then
    cargo build --quiet --locked --package millrace-cli || exit 1
    MILLRACE=${CARGO_TARGET_DIR:-$PWD/target}/debug/millrace
fi
export MILLRACE_LOG_SERVER="$MILLRACE log serve"

work=$(mktemp -d "$build/exactly-once.XXXXXX")
trap '"$control" kill "$work" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
"$build/venv/bin/python" scripts/kafka/python/exactly_once.py "$MILLRACE" "$control" "$work" \
    --seeds "$seeds" --broker-kills "$broker_kills" ${more:+"$more"} --again "scripts/exactly-once-test.sh $broker" \
    2>"$work/clients.log"
result=$?
if [ $result -eq 0 ]; then
    "$control" kill "$work" && rm -rf "$work"
    echo "exactly-once-test: passed"
else
    echo "exactly-once-test: FAILED; logs are in $work"
fi
exit $result
