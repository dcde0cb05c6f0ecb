#!/usr/bin/env bash
# Starts and stops a real Apache Kafka broker (KRaft, one node, loopback), which the log's tests take as
# their oracle. Needs java (17 or later) and, the first time, mvn with a way to a Maven repository.
#
#   broker.sh resolve                 fetches the jars once, checks them against kafka.lock, prints the class path
#   broker.sh start DATA [KEY=VALUE…] formats DATA if it is new, starts a broker, prints HOST:PORT when it is
#                                     ready; a broker that ran there before comes back on the same port
#   broker.sh address DATA            prints HOST:PORT
#   broker.sh pid DATA                prints the broker's process id, fails if it is not running
#   broker.sh stop DATA               ends it in order
#   broker.sh kill DATA               ends it by SIGKILL
#   broker.sh tool CLASS [ARG…]       runs one of Kafka's tools, such as org.apache.kafka.tools.TopicCommand
#   broker.sh lock                    writes kafka.lock anew from what pom.xml resolves to
#
# KEY=VALUE are broker settings, kept for later starts. The broker's log is DATA/server.log.
# MILLRACE_KAFKA_CACHE (default ~/.cache/millrace/kafka) holds the jars, KAFKA_HEAP_MB (default 512) is the
# broker's heap, KAFKA_PORT its port if a certain one is wanted.
# Exit codes: 0 done, 1 failed, 2 misuse, 77 java or the jars can't be had (said on stderr).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${MILLRACE_KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millrace/kafka}
dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
command_marker='kafka.Kafka '
. "$here/process.sh"

# The jars as the lock has them, and no others.
verified() {
    [ -d "$1" ] && [ "$(find "$1" -name '*.jar' | wc -l)" -eq "$(wc -l <"$here/kafka.lock")" ] &&
        (cd "$1" && sha256sum --check --strict --quiet "$here/kafka.lock" >&2)
}

# Into a directory of its own beside the cache, which a rename then puts in place: several may do this at once.
fetch() {
    command -v mvn >/dev/null || skip "there is no mvn to fetch the jars with"
    mvn --batch-mode --quiet -Dstyle.color=never --file "$here/pom.xml" "$dependency_plugin:copy-dependencies" \
        -DincludeScope=runtime -DoutputDirectory="$1" >&2 || skip "mvn can't fetch the jars"
}

# Prints the directory of jars. Its name has the lock's checksum: another lock gives another directory, and
# what is there under this name was verified before it got it.
jars() {
    command -v java >/dev/null || skip "there is no java"
    local dir fetched
    dir=$cache/$(sha256sum "$here/kafka.lock" | cut -c 1-16)
    if [ ! -d "$dir" ]; then
        mkdir -p "$cache"
        fetched=$(mktemp -d "$cache/fetch.XXXXXX")
        fetch "$fetched"
        if ! verified "$fetched"; then
            rm -rf "$fetched"
            fail "the jars are not those of kafka.lock; if pom.xml was changed: broker.sh lock"
        fi
        mv -T "$fetched" "$dir" 2>/dev/null || rm -rf "$fetched"
    fi
    echo "$dir"
}

lock() {
    local fetched
    fetched=$(mktemp -d)
    fetch "$fetched"
    (cd "$fetched" && sha256sum ./*.jar | sed 's# \./# #' | sort -k 2) >"$here/kafka.lock"
    rm -rf "$fetched"
    echo "$(wc -l <"$here/kafka.lock") jars are locked"
}

# One node: internal topics have one replica and few partitions. What a test would wait for happens soon:
# groups form at once, retention and the cleaner look every second, a killed broker may soon register again.
settings() {
    local port=$1 controller=$2
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$data/log
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=1000
log.cleaner.backoff.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
controller.quorum.election.timeout.ms=200
controller.quorum.election.backoff.max.ms=100
PROPERTIES
}

format() {
    local classpath=$1
    local formatting=$data/formatting.log
    mkdir -p "$data"
    settings "${KAFKA_PORT:-$(free_port)}" "$(free_port)" >"$data/server.properties"
    java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$classpath" kafka.tools.StorageTool format \
        --cluster-id MillraceOracle00000000 --config "$data/server.properties" >"$formatting" 2>&1 ||
        { cat "$formatting" >&2 && fail "the storage can't be formatted"; }
}

address() {
    [ -f "$data/server.properties" ] || fail "no broker was started in $data"
    sed -n 's#^advertised.listeners=[A-Z_]*://##p' "$data/server.properties" | tail -n 1 | cut -d, -f 1
}

# Replaces the settings that are given again; the others stay.
keep_settings() {
    local setting
    for setting in "$@"; do
        case $setting in
            *=*) ;;
            *) fail "\`$setting\` is not KEY=VALUE" 2 ;;
        esac
        local key=${setting%%=*}
        awk -F= -v key="$key" '$1 != key' "$data/server.properties" >"$data/server.properties.new"
        echo "$setting" >>"$data/server.properties.new"
        mv "$data/server.properties.new" "$data/server.properties"
    done
}

start() {
    local dir began=$SECONDS id
    dir=$(jars)
    if id=$(pid); then fail "a broker runs in $data already (process $id)"; fi
    [ -f "$data/log/meta.properties" ] || format "$dir/*"
    keep_settings "$@"
    : >"$data/server.log"
    setsid java "-Xmx${KAFKA_HEAP_MB:-512}m" -Dorg.slf4j.simpleLogger.showDateTime=true \
        '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS' -cp "$dir/*" \
        kafka.Kafka "$data/server.properties" >>"$data/server.log" 2>&1 </dev/null &
    id=$!
    echo "$id" >"$data/pid"
    await_start "$id" grep -q "Kafka Server started" "$data/server.log"
    address
}

take_verb "$@"
shift "$taken"
case $verb in
    resolve)
        dir=$(jars)
        echo "$dir/*"
        ;;
    lock) lock ;;
    start) start "$@" ;;
    address) address ;;
    pid) pid ;;
    stop) end_by TERM ;;
    kill) end_by KILL ;;
    tool)
        dir=$(jars)
        exec java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
            -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_TOOL_LOG_LEVEL:-warn}" -cp "$dir/*" "$@"
        ;;
    *) fail "there is no verb \`$verb\`; see the head of scripts/kafka/broker.sh" 2 ;;
esac
