#!/usr/bin/env bash
# Starts and stops the embedded log as a broker, with the verbs of broker.sh:
#
#   embedded.sh start DATA [OPTION…]     starts it, prints HOST:PORT when it is ready; one that ran there before
#                                        comes back on the same port, and with the same OPTIONs of the server if
#                                        none are given
#   embedded.sh address|pid|stop|kill DATA
#   embedded.sh user DATA NAME PASSWORD  gives a user a password while no server runs
#
# MILLRACE_LOG_SERVER is the command to run, to which `--listen ADDR --data DIR` are given (default: the
# example of millrace-log, which must have been built). The broker's log is DATA/server.log, its data
# DATA/log.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
server=${MILLRACE_LOG_SERVER:-${CARGO_TARGET_DIR:-$here/../../target}/debug/examples/serve}
command_marker='--data '
. "$here/process.sh"

# Whether somebody listens there.
accepts() { (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null; }

start() {
    local id
    if id=$(pid); then fail "a broker runs in $data already (process $id)"; fi
    mkdir -p "$data/log"
    [ -f "$data/address" ] || echo "127.0.0.1:$(free_port)" >"$data/address"
    [ $# -eq 0 ] || printf '%s\n' "$@" >"$data/options"
    local options=()
    [ ! -f "$data/options" ] || mapfile -t options <"$data/options"
    # The server's command is split into words on purpose.
    # shellcheck disable=SC2086
    setsid $server --listen "$(cat "$data/address")" "${options[@]}" --data "$data/log" \
        >>"$data/server.log" 2>&1 </dev/null &
    id=$!
    echo "$id" >"$data/pid"
    await_start "$id" accepts "$(cat "$data/address")"
    cat "$data/address"
}

# The command that changes users stands beside the one that serves.
user() {
    mkdir -p "$data/log"
    # shellcheck disable=SC2086
    echo "$2" | ${server% serve} user add "$1" --data "$data/log"
}

take_verb "$@"
shift "$taken"
case $verb in
    start) start "$@" ;;
    user) user "$@" ;;
    address) cat "$data/address" ;;
    pid) pid ;;
    stop) end_by INT ;;
    kill) end_by KILL ;;
    *) fail "there is no verb \`$verb\`; see the head of scripts/kafka/embedded.sh" 2 ;;
esac
