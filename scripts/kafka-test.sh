#!/usr/bin/env bash
# Runs one suite of clients against the embedded log and against real Apache Kafka, which says what is right:
#
#   scripts/kafka-test.sh [embedded|kafka|both] [PART…] [CASE…]
#
# PARTs are `python` (librdkafka), `java` (kafka-clients) and `tools` (Kafka's command-line tools and a Kafka
# Streams program); without one all are run. CASEs are parts of names of cases. What is missing (python3 with
# an index to install from; java and mvn) is said, and the parts that need it are skipped: with --strict that
# is a failure.
#
# The embedded log is the example of millrace-log in a debug build; MILLRACE_LOG_SERVER is another command to
# serve it with, such as "target/release/millrace log serve".
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=${CARGO_TARGET_DIR:-$root/target}/kafka-test
. scripts/kafka/venv.sh

strict=no brokers=() parts=() cases=()
for argument in "$@"; do
    case $argument in
        --strict) strict=yes ;;
        both) brokers=(kafka embedded) ;;
        embedded | kafka) brokers+=("$argument") ;;
        python | java | tools) parts+=("$argument") ;;
        -*)
            echo "kafka-test: there is no option \`$argument\`" >&2
            exit 2
            ;;
        *) cases+=("$argument") ;;
    esac
done
[ ${#brokers[@]} -gt 0 ] || brokers=(kafka embedded)
[ ${#parts[@]} -gt 0 ] || parts=(python java tools)

skipped=0
skip() {
    echo "kafka-test: skipped: $1"
    skipped=$((skipped + 1))
}

mkdir -p "$build"
work=$(mktemp -d "$build/run.XXXXXX")
# Logs of failed runs stay where they are; the brokers' data goes.
finish() {
    scripts/kafka/broker.sh kill "$work/kafka" 2>/dev/null
    scripts/kafka/embedded.sh kill "$work/embedded" 2>/dev/null
    rm -rf "$work/kafka/log" "$work/embedded/log"
    [ "$failed" -ne 0 ] || rm -rf "$work"
}
failed=0
trap finish EXIT
trap 'exit 130' INT TERM

has_python=no has_java=no classpath=
prepare_python() {
    local problem
    problem=$(prepare_venv "$build") || { skip "python: $problem"; return; }
    venv=$build/venv
    has_python=yes
}

prepare_java() {
    command -v javac >/dev/null || { skip "java: there is no javac"; return; }
    classpath=$(scripts/kafka/broker.sh resolve) || {
        [ $? -eq 77 ] || failed=1
        skip "kafka's jars can't be had"
        return
    }
    export KAFKA_TEST_CLASSES=$build/classes
    rm -rf "$KAFKA_TEST_CLASSES"
    mkdir -p "$KAFKA_TEST_CLASSES"
    javac -Xlint:all,-classfile,-processing -cp "$classpath" -d "$KAFKA_TEST_CLASSES" scripts/kafka/java/*.java || {
        failed=1
        skip "the Java programs don't compile"
        return
    }
    has_java=yes
}

prepare_embedded() {
    [ -n "${MILLRACE_LOG_SERVER:-}" ] || cargo build --quiet --locked --package millrace-log --example serve
}

# run_part BROKER CONTROL PART: one part against a broker that runs.
run_part() {
    local broker=$1 control=$root/scripts/kafka/$2 part=$3 began=$SECONDS address log result
    address=$("$control" address "$work/$broker")
    log=$work/$broker-$part.log
    case $part in
        python | tools)
            local options=(--control "$control" "$work/$broker")
            [ "$part" = python ] || options=(--tools)
            KAFKA_TEST_DATA=$work/$broker "$venv/bin/python" scripts/kafka/python/run.py "$address" \
                "${options[@]}" "${cases[@]}" 2>"$log"
            ;;
        java)
            java -Xmx512m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
                -cp "$classpath:$KAFKA_TEST_CLASSES" Suite "$address" "${cases[@]}" 2>"$log"
            ;;
    esac
    result=$?
    echo "--- $broker, $part: exit code $result after $((SECONDS - began)) s"
    [ $result -eq 0 ] || { failed=1 && echo "    logs: $log, $work/$broker/server.log"; }
}

prepare_python
prepare_java
for broker in "${brokers[@]}"; do
    control=broker.sh
    if [ "$broker" = embedded ]; then
        control=embedded.sh
        prepare_embedded || { echo "kafka-test: the embedded log doesn't build" && failed=1; continue; }
    elif [ $has_java = no ]; then
        skip "real Kafka needs java and its jars"
        continue
    fi
    echo "=== $broker: $("scripts/kafka/$control" start "$work/$broker")"
    "scripts/kafka/$control" pid "$work/$broker" >/dev/null || { failed=1; continue; }
    for part in "${parts[@]}"; do
        case $part in
            python) [ $has_python = yes ] ;;
            java) [ $has_java = yes ] ;;
            tools) [ $has_python = yes ] && [ $has_java = yes ] ;;
        esac && run_part "$broker" "$control" "$part"
    done
    "scripts/kafka/$control" stop "$work/$broker"
done

[ $skipped -eq 0 ] || [ $strict = no ] || failed=1
[ $failed -eq 0 ] && echo "kafka-test: passed" || echo "kafka-test: FAILED"
exit $failed
