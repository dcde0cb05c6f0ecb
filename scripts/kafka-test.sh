#!/usr/bin/env bash
# Runs one suite of clients against the embedded log and against real Apache Kafka, which says what is right:
#
#   scripts/kafka-test.sh [embedded|kafka|both] [PART…] [CASE…]
#
# PARTs are `python` (librdkafka), `java` (kafka-clients), `tools` (Kafka's command-line tools and a Kafka
# Streams program) and `security` (both clients, and commands and jobs of Millrace itself, with a broker that asks
# who they are, over TLS); without one all are run. CASEs are parts of names of cases; one that fits no case is a
# failure. So is a case that does not come to its end. What is missing (python3 with an index to install from; java
# and mvn; openssl) is said, and the parts that need it are skipped: with --strict that is a failure.
#
# A case that fails on real Kafka is run once more, and told by name if it passes then: that broker's news reach its
# coordinators when they do, and it is not what is tested. On the embedded log a case that fails has failed.
#
# The embedded log is the example of millrace-log in a debug build; MILLRACE_LOG_SERVER is another command to
# serve it with, such as "target/release/millrace log serve". MILLRACE is the binary for commands and jobs; a debug
# build is made without it.
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
        python | java | tools | security) parts+=("$argument") ;;
        -*)
            echo "kafka-test: there is no option \`$argument\`" >&2
            exit 2
            ;;
        *) cases+=("$argument") ;;
    esac
done
[ ${#brokers[@]} -gt 0 ] || brokers=(kafka embedded)
[ ${#parts[@]} -gt 0 ] || parts=(python java tools security)

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
    scripts/kafka/secure.sh kafka kill "$work/kafka-secure" 2>/dev/null
    scripts/kafka/secure.sh embedded kill "$work/embedded-secure" 2>/dev/null
    rm -rf "$work"/*/log
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

prepare_millrace() {
    [ -z "${MILLRACE:-}" ] || return 0
    cargo build --quiet --locked --package millrace-cli || return
    MILLRACE=${CARGO_TARGET_DIR:-$root/target}/debug/millrace
}

# The programs, whose lines about cases are kept: what was asked for must be among them.
run_python() {
    local log=$1
    shift
    "$venv/bin/python" scripts/kafka/python/run.py "$@" "${cases[@]}" 2>>"$log" | tee -a "$work/cases"
    return "${PIPESTATUS[0]}"
}

# run_java LOG BOOTSTRAP [OPTION…]: with options of the machine.
run_java() {
    local log=$1 address=$2
    shift 2
    java -Xmx512m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error "$@" \
        -cp "$classpath:$KAFKA_TEST_CLASSES" Suite "$address" "${cases[@]}" 2>>"$log" | tee -a "$work/cases"
    return "${PIPESTATUS[0]}"
}

# run_millrace LOG BROKER DATA
run_millrace() {
    scripts/kafka/secure-millrace.sh "$MILLRACE" "$2" "$3" "${cases[@]}" 2>>"$1" | tee -a "$work/cases"
    return "${PIPESTATUS[0]}"
}

# report BROKER PART BEGAN CODE LOG…
report() {
    echo "--- $1, $2: exit code $4 after $((SECONDS - $3)) s"
    [ "$4" -eq 0 ] || { failed=1 && echo "    logs: ${*:5}"; }
}

# attempt BROKER COMMAND…: runs cases.
attempt() {
    local broker=$1 seen
    shift
    seen=$(wc -l <"$work/cases")
    "$@" && return
    [ "$broker" = kafka ] || return
    # Those of the command are `cases` to it.
    local -a cases
    mapfile -t cases < <(tail -n "+$((seen + 1))" "$work/cases" | sed -nE 's/^FAIL +([^ ]+).*/\1/p')
    [ ${#cases[@]} -gt 0 ] || return 1
    echo "kafka-test: once more: ${cases[*]}"
    "$@" || return
    echo "kafka-test: passed at the second try only: ${cases[*]}"
}

# run_part BROKER CONTROL PART: one part against a broker that runs.
run_part() {
    local broker=$1 control=$root/scripts/kafka/$2 part=$3 began=$SECONDS address log
    address=$("$control" address "$work/$broker")
    log=$work/$broker-$part.log
    case $part in
        python) attempt "$broker" run_python "$log" "$address" --control "$control" "$work/$broker" ;;
        tools) KAFKA_TEST_DATA=$work/$broker attempt "$broker" run_python "$log" "$address" --tools ;;
        java) attempt "$broker" run_java "$log" "$address" ;;
    esac
    report "$broker" "$part" "$began" $? "$log" "$work/$broker/server.log"
}

# run_security BROKER: both clients, and Millrace, against a broker of its own.
run_security() {
    local broker=$1 data=$work/$1-secure log=$work/$1-security began=$SECONDS address code=0
    command -v openssl >/dev/null || { skip "security: there is no openssl"; return; }
    address=$(scripts/kafka/secure.sh "$broker" start "$data") || { failed=1; return; }
    [ $has_python = no ] || attempt "$broker" run_python "$log-python.log" "$address" --security "$data/tls" || code=1
    [ $has_java = no ] || attempt "$broker" run_java "$log-java.log" "$address" "-Dkafka.test.secrets=$data/tls" \
        -Dkafka.test.access=scripts/kafka/java/access.txt || code=1
    attempt "$broker" run_millrace "$log-millrace.log" "$broker" "$data" || code=1
    scripts/kafka/secure.sh "$broker" stop "$data"
    report "$broker" security "$began" $code "$log-*.log" "$data/server.log"
}

# A name with a slip in it must not pass for a suite that passed.
check_names() {
    local name
    for name in "${cases[@]}"; do
        grep -qE "^(pass|FAIL) +[^ ]*$name" "$work/cases" || {
            echo "kafka-test: no case with \`$name\` in its name was run"
            failed=1
        }
    done
}

: >"$work/cases"
prepare_python
prepare_java
if [[ " ${parts[*]} " = *" security "* ]]; then
    prepare_millrace || { echo "kafka-test: millrace doesn't build" && exit 1; }
fi
for broker in "${brokers[@]}"; do
    control=broker.sh
    if [ "$broker" = embedded ]; then
        control=embedded.sh
        prepare_embedded || { echo "kafka-test: the embedded log doesn't build" && failed=1; continue; }
    elif [ $has_java = no ]; then
        skip "real Kafka needs java and its jars"
        continue
    fi
    if [ "${parts[*]}" != security ]; then
        echo "=== $broker: $("scripts/kafka/$control" start "$work/$broker")"
        "scripts/kafka/$control" pid "$work/$broker" >/dev/null || { failed=1; continue; }
    fi
    for part in "${parts[@]}"; do
        case $part in
            python) [ $has_python = no ] || run_part "$broker" "$control" "$part" ;;
            java) [ $has_java = no ] || run_part "$broker" "$control" "$part" ;;
            tools) [ $has_python$has_java != yesyes ] || run_part "$broker" "$control" "$part" ;;
            security) run_security "$broker" ;;
        esac
    done
    "scripts/kafka/$control" stop "$work/$broker"
done
check_names

[ $skipped -eq 0 ] || [ $strict = no ] || failed=1
[ $failed -eq 0 ] && echo "kafka-test: passed" || echo "kafka-test: FAILED"
exit $failed
