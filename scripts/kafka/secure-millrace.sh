#!/usr/bin/env bash
# Runs the commands of `millrace log` and jobs against a broker that secure.sh has started, which wants TLS and logins:
#
#   secure-millrace.sh MILLRACE kafka|embedded DATA [CASE…]
#
# MILLRACE is the binary, DATA the broker's directory. CASEs are parts of names of cases; without one all are run.
# A line is printed for each case, `pass` or `FAIL`; what was said meanwhile goes to standard error. The last cases
# kill the broker and start it again.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
millrace=$(realpath "$1") broker=$2 data=$(realpath "$3")
shift 3
cases=("$@")
work=$(mktemp -d)
job=
finish() {
    [ -z "$job" ] || kill -9 "$job" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
failed=0

address=$("$here/secure.sh" "$broker" address "$data") || exit
export MILLRACE_BOOTSTRAP=$address

# who MECHANISM [PASSWORD]: what a client needs to be `root`.
who() {
    printf -- '--property %s ' security.protocol=sasl_ssl "ssl.ca.location=$data/tls/ca.pem" \
        "sasl.mechanism=$1" sasl.username=root "sasl.password=${2:-root-secret}"
}

# options MECHANISM [USER]: the same for a table.
options() {
    local module=org.apache.kafka.common.security.scram.ScramLoginModule
    [ "$1" != PLAIN ] || module=org.apache.kafka.common.security.plain.PlainLoginModule
    cat <<OPTIONS
'connector' = 'kafka', 'format' = 'json', 'properties.bootstrap.servers' = '$address',
'properties.security.protocol' = 'SASL_SSL', 'properties.sasl.mechanism' = '$1',
'properties.sasl.jaas.config' = '$module required username="${2:-root}" password="root-secret";',
'properties.ssl.truststore.type' = 'PEM', 'properties.ssl.truststore.location' = '$data/tls/ca.pem'
OPTIONS
}

# The properties are split into words on purpose.
# shellcheck disable=SC2046
log() {
    local mechanism=$1
    shift
    "$millrace" log "$@" $(who "$mechanism")
}

# same WHAT WANTED FOUND
same() { [ "$2" = "$3" ] || { echo "$1: wanted \`$2\`, found \`$3\`" >&2 && return 1; }; }

# The numbers of a topic's rows, in order, without an end of line each.
numbers() { log SCRAM-SHA-256 consume "$1" -q | sed 's/[^0-9]//g' | sort -n | tr '\n' ' '; }

commands_speak_with_every_mechanism() {
    local mechanism topic read
    for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512; do
        topic=commands-$mechanism
        log "$mechanism" topic create "$topic" --partitions 2 || return
        seq 1 2000 | log "$mechanism" produce "$topic" -q || return
        seq 2001 3000 | log "$mechanism" produce "$topic" -q --transaction || return
        read=$(log "$mechanism" consume "$topic" -q --group "$topic" | sort -n | tr '\n' ' ')
        same "$topic" "$(seq 1 3000 | tr '\n' ' ')" "$read" || return
        log "$mechanism" groups describe "$topic" | grep -q "$topic" || return
        log "$mechanism" groups delete "$topic" --yes || return
        log "$mechanism" topic delete "$topic" --yes || return
    done
}

a_job_reads_and_writes_exactly_once() {
    log PLAIN topic create orders --partitions 3 && log PLAIN topic create doubled dead || return
    { seq 1 1500 | sed 's/.*/{"n": &}/' && echo oops; } | log PLAIN produce orders -q || return
    cat >"$work/job.sql" <<SQL
CREATE TABLE orders (n BIGINT) WITH ($(options SCRAM-SHA-512), 'topic' = 'orders',
    'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
    'bad-records' = 'dead-letter', 'bad-records.topic' = 'dead');
CREATE TABLE doubled (n BIGINT) WITH ($(options SCRAM-SHA-256), 'topic' = 'doubled',
    'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'doubled');
INSERT INTO doubled SELECT n * 2 FROM orders;
SQL
    (cd "$work" && "$millrace" run job.sql) || return
    same doubled "$(seq 2 2 3000 | tr '\n' ' ')" "$(numbers doubled)" || return
    same dead oops "$(log PLAIN consume dead -q)"
}

# refused WORDS PROPERTY…: the command fails within ten seconds and says so.
refused() {
    local words=$1 said began=$SECONDS
    shift
    if said=$("$millrace" log topic list "$@" 2>&1); then
        echo "it was let in with $*" >&2
        return 1
    fi
    if ! grep -qF -- "$words" <<<"$said" || [ $((SECONDS - began)) -gt 10 ]; then
        echo "wanted \`$words\` within 10 s, found after $((SECONDS - began)) s: $said" >&2
        return 1
    fi
}

# shellcheck disable=SC2046
who_is_turned_away_reads_why() {
    local property=--property mechanism
    for mechanism in PLAIN SCRAM-SHA-256 SCRAM-SHA-512; do
        refused 'refuses the login of `root`' $(who "$mechanism" guess) || return
    done
    refused 'UnknownIssuer' $(who PLAIN | sed 's/ca\.pem/stranger.pem/') || return
    refused 'wants encryption' || return
    refused 'wants a login' $property security.protocol=ssl $property "ssl.ca.location=$data/tls/ca.pem" || return
    options PLAIN | sed 's/root-secret/guess/' >"$work/options"
    cat >"$work/refused.sql" <<SQL
CREATE TABLE t (n BIGINT) WITH ($(cat "$work/options"), 'topic' = 'orders', 'scan.startup.mode' = 'earliest-offset');
SELECT n FROM t;
SQL
    local said began=$SECONDS
    said=$(cd "$work" && "$millrace" run refused.sql 2>&1) && return 1
    grep -qF 'refuses the login of `root`' <<<"$said" && [ $((SECONDS - began)) -le 15 ] ||
        { echo "after $((SECONDS - began)) s: $said" >&2 && return 1; }
}

# A job that goes on reading and writing while the broker dies twice.
a_broker_that_dies_under_load_loses_and_doubles_nothing() {
    local round count=0 wanted began
    log PLAIN topic create load --partitions 3 && log PLAIN topic create loaded --partitions 2 || return
    cat >"$work/load.sql" <<SQL
SET 'execution.checkpointing.interval' = '500 ms';
CREATE TABLE load (n BIGINT) WITH ($(options SCRAM-SHA-256), 'topic' = 'load',
    'scan.startup.mode' = 'earliest-offset', 'properties.reconnect.backoff.max.ms' = '500');
CREATE TABLE loaded (n BIGINT) WITH ($(options SCRAM-SHA-512), 'topic' = 'loaded',
    'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'loaded',
    'properties.transaction.timeout.ms' = '120000', 'properties.reconnect.backoff.max.ms' = '500');
INSERT INTO loaded SELECT n FROM load;
SQL
    (cd "$work" && exec "$millrace" run load.sql --checkpoint-dir "$work/checkpoints") >&2 &
    job=$!
    for round in 1 2 3; do
        seq $((round * 20000 - 19999)) $((round * 20000)) | sed 's/.*/{"n": &}/' | log PLAIN produce load -q || return
        [ "$round" -lt 3 ] || break
        sleep 1
        "$here/secure.sh" "$broker" kill "$data" || return
        "$here/secure.sh" "$broker" start-again "$data" >/dev/null || return
    done
    wanted=$(seq 1 60000 | tr '\n' ' ')
    began=$SECONDS
    while [ "$count" -lt 60000 ] && [ $((SECONDS - began)) -lt 120 ] && kill -0 "$job" 2>/dev/null; do
        sleep 1
        count=$(log PLAIN consume loaded -q | wc -l)
    done
    end_job && same loaded "$wanted" "$(numbers loaded)"
}

# A broker that has begun to listen may know its users only later. It does so for longer than a client of the job waits.
a_login_that_is_refused_for_a_while_does_not_end_a_job() {
    log PLAIN topic create shy && log PLAIN topic create told || return
    set_password worker SCRAM-SHA-256 root-secret || return
    tool org.apache.kafka.tools.AclCommand --add --allow-principal User:worker --operation All --topic '*' --group '*' || return
    cat >"$work/shy.sql" <<SQL
SET 'execution.checkpointing.interval' = '500 ms';
CREATE TABLE shy (n BIGINT) WITH ($(options SCRAM-SHA-256 worker), 'topic' = 'shy',
    'scan.startup.mode' = 'earliest-offset', 'properties.reconnect.backoff.max.ms' = '500');
CREATE TABLE told (n BIGINT) WITH ($(options SCRAM-SHA-256 worker), 'topic' = 'told',
    'properties.reconnect.backoff.max.ms' = '500');
INSERT INTO told SELECT n FROM shy;
SQL
    (cd "$work" && exec "$millrace" run shy.sql --checkpoint-dir "$work/shy") >&2 2>"$work/shy.log" &
    job=$!
    seq 1 1000 | sed 's/.*/{"n": &}/' | log PLAIN produce shy -q && await_numbers told 1000 &&
        set_password worker SCRAM-SHA-256 another-secret && "$here/secure.sh" "$broker" kill "$data" &&
        "$here/secure.sh" "$broker" start-again "$data" >/dev/null &&
        await "the job is restarted" grep -q 'starts again .*refuses the login of `worker`' "$work/shy.log" &&
        set_password worker SCRAM-SHA-256 root-secret &&
        seq 1001 2000 | sed 's/.*/{"n": &}/' | log PLAIN produce shy -q && await_numbers told 2000
    local code=$?
    end_job || code=1
    cat "$work/shy.log" >&2
    return $code
}

# Ends the job, and says whether it had gone on until then.
end_job() {
    kill -INT "$job" && wait "$job"
    local code=$?
    job=
    same "the job's exit code" 0 $code
}

# await WHAT COMMAND…: until the command succeeds, for two minutes, while the job runs.
await() {
    local what=$1 began=$SECONDS
    shift
    until "$@"; do
        [ $((SECONDS - began)) -lt 120 ] && kill -0 "$job" || { echo "not after 120 s: $what" >&2 && return 1; }
        sleep 0.5
    done
}

# await_numbers TOPIC LAST: until the topic has all of them. At least once.
await_numbers() { await "$1 has $2 numbers" has_numbers "$1" "$2"; }
has_numbers() { [ "$(log PLAIN consume "$1" -q | sort -u | wc -l)" -eq "$2" ]; }

# tool CLASS ARGUMENT…: one of Kafka's, as `root`.
tool() {
    cat >"$work/client.properties" <<PROPERTIES
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="root" password="root-secret";
ssl.truststore.type=PEM
ssl.truststore.location=$data/tls/ca.pem
PROPERTIES
    "$here/broker.sh" tool "$1" --bootstrap-server "$address" --command-config "$work/client.properties" "${@:2}" >&2
}

# set_password USER MECHANISM PASSWORD
set_password() {
    tool kafka.admin.ConfigCommand --alter --entity-type users --entity-name "$1" --add-config "$2=[password=$3]"
}

# Of Kafka's users, only those of PLAIN are there from the beginning. Kafka takes one mechanism at a time.
add_scram_user() { set_password root SCRAM-SHA-256 root-secret && set_password root SCRAM-SHA-512 root-secret; }

[ "$broker" = embedded ] || add_scram_user || exit
for name in commands_speak_with_every_mechanism a_job_reads_and_writes_exactly_once who_is_turned_away_reads_why \
    a_broker_that_dies_under_load_loses_and_doubles_nothing a_login_that_is_refused_for_a_while_does_not_end_a_job; do
    chosen=yes
    if [ ${#cases[@]} -gt 0 ]; then
        chosen=no
        for part in "${cases[@]}"; do [[ $name != *"$part"* ]] || chosen=yes; done
    fi
    [ $chosen = yes ] || continue
    if [[ $name = a_login_* ]] && ! "$here/broker.sh" resolve >/dev/null; then
        echo "skip  $name (needs Kafka's tools, which can't be had)"
        continue
    fi
    began=$SECONDS
    if "$name" >&2; then
        echo "pass  $name ($((SECONDS - began)) s)"
    else
        echo "FAIL  $name" && failed=1
    fi
done
exit $failed
