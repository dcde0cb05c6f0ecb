#!/usr/bin/env bash
# Fills a real file system under the embedded log, and under a job's checkpoints, and sees that nothing which was
# acknowledged is lost and that all goes on when there is room (scripts/kafka/python/full_disk.py tells more):
#
#   scripts/full-disk-test.sh [tmpfs|ext4]
#
# It needs the right to mount in a namespace of its own (root, or unprivileged user namespaces), python3 with an
# index to install from, and for ext4 a loop device. What is missing is said, and the exit code is 77. MILLRACE is the
# binary (default: target/debug/millrace, which is built).
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/kafka/venv.sh
build=${CARGO_TARGET_DIR:-$PWD/target}/kafka-test
kind=${1:-tmpfs}

# mount_small MiB DIR: mounts a new file system of this size.
mount_small() {
    case $kind in
        tmpfs) mount -t tmpfs -o "size=$1m" millrace "$2" ;;
        ext4)
            truncate -s "$1M" "$2.img" && mkfs.ext4 -q -m 0 "$2.img" && mount -o loop "$2.img" "$2"
            ;;
        *)
            echo "full-disk-test: there is no file system \`$kind\`; use \`tmpfs\` or \`ext4\`" >&2
            return 2
            ;;
    esac
}

if [ "${FULL_DISK_INSIDE:-}" != yes ]; then
    problem=$(prepare_venv "$build") || { echo "full-disk-test: skipped: $problem"; exit 77; }
    if [ -z "${MILLRACE:-}" ]; then
        cargo build --quiet --locked --package millrace-cli || exit 1
        MILLRACE=${CARGO_TARGET_DIR:-$PWD/target}/debug/millrace
    fi
    MILLRACE=$(realpath "$MILLRACE")
    # In a mount namespace of its own, what is mounted is gone with the last process.
    for inside in "unshare --mount" "unshare --map-root-user --mount"; do
        if $inside true 2>/dev/null; then
            MILLRACE=$MILLRACE FULL_DISK_INSIDE=yes exec $inside "$0" "$kind"
        fi
    done
    echo "full-disk-test: skipped: nothing can be mounted here"
    exit 77
fi

work=$(mktemp -d "$build/full-disk.XXXXXX")
mkdir "$work/small"
if ! mount_small 48 "$work/small"; then
    rm -rf "$work"
    [ "$kind" = tmpfs ] || [ "$kind" = ext4 ] || exit 2
    echo "full-disk-test: skipped: $kind can't be mounted here"
    exit 77
fi
"$build/venv/bin/python" scripts/kafka/python/full_disk.py "$MILLRACE" "$work/small" "$work" 2>"$work/clients.log"
result=$?
umount "$work/small"
if [ $result -eq 0 ]; then
    rm -rf "$work"
    echo "full-disk-test: passed"
else
    echo "full-disk-test: FAILED; logs are in $work"
fi
exit $result
