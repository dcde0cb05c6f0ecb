# What the scripts that run a broker share (sourced): a broker is a process of its own with a data directory,
# which holds its process id in `pid` and its log in `server.log`. The sourcing script sets `here`, and
# `command_marker`, a part of the broker's command line that stands before the data directory.

start_timeout_s=90

fail() {
    echo "kafka: $1" >&2
    exit "${2:-1}"
}
skip() { fail "skipped: $1" 77; }

# take_verb ARG…: sets `verb`, and `data` for the verbs that have a directory; `taken` is how many these were.
take_verb() {
    verb=${1:-} taken=1
    [ -n "$verb" ] || fail "which verb? see the head of $0" 2
    case $verb in
        start | start-again | address | pid | stop | kill | user)
            [ -n "${2:-}" ] || fail "\`$verb\` needs the broker's data directory" 2
            data=$(realpath -m "$2")
            taken=2
            ;;
    esac
}

free_port() {
    local port
    for port in $(shuf -i 20000-32000 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port was found"
}

# The process must be this broker: its id may have gone to another process since.
pid() {
    local id
    id=$(cat "$data/pid" 2>/dev/null) || return 1
    tr '\0' ' ' <"/proc/$id/cmdline" 2>/dev/null | grep -qF -- "$command_marker$data" || return 1
    echo "$id"
}

# await_start ID COMMAND…: waits until the command holds, while the process lives.
await_start() {
    local id=$1 began=$SECONDS
    shift
    until "$@"; do
        if ! kill -0 "$id" 2>/dev/null; then
            tail -n 20 "$data/server.log" >&2
            fail "the broker ended at its start; its log is $data/server.log"
        fi
        if [ $((SECONDS - began)) -ge $start_timeout_s ]; then
            kill -9 "$id"
            fail "the broker was not ready within $start_timeout_s s; its log is $data/server.log"
        fi
        sleep 0.05
    done
}

# end_by SIGNAL: returns when the process is gone, so that its port and files are free.
end_by() {
    local id waited_ds=0
    id=$(pid) || return 0
    kill "-$1" "$id"
    while pid >/dev/null; do
        sleep 0.1
        waited_ds=$((waited_ds + 1))
        if [ $waited_ds -eq 300 ]; then
            echo "kafka: the broker did not end within 30 s of SIG$1 and is killed" >&2
            kill -9 "$id"
        fi
    done
    rm -f "$data/pid"
}
