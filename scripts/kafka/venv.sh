# The Python of the tests with Kafka's clients (sourced, in the workspace).

# prepare_venv DIR: sees to it that DIR/venv has what python/requirements.txt names. If that can't be, says
# why on stdout and returns 1.
prepare_venv() {
    local dir=$1 pinned=scripts/kafka/python/requirements.txt
    command -v python3 >/dev/null || { echo "there is no python3" && return 1; }
    cmp -s "$pinned" "$dir/venv/installed.txt" && return
    mkdir -p "$dir"
    rm -rf "$dir/venv"
    { python3 -m venv "$dir/venv" && "$dir/venv/bin/pip" install --quiet --requirement "$pinned"; } >"$dir/pip.log" 2>&1 || {
        echo "$(tr '\n' ' ' <"$pinned")can't be installed, see $dir/pip.log"
        return 1
    }
    cp "$pinned" "$dir/venv/installed.txt"
}
