#!/usr/bin/env bash
# Runs the checkpoint store's S3 tests against moto's S3 server on the loopback interface.
# Needs Python 3 with venv, and a package index to install moto from; nothing is sent elsewhere.
# Without them it says so and exits with 0; with --strict it exits with 1.
set -euo pipefail
cd "$(dirname "$0")/.."

moto_version=5.2.5
venv=target/s3-test-venv

skip() {
    echo "s3-test: skipped: $1" >&2
    if [ "${strict:-no}" = yes ]; then exit 1; fi
    exit 0
}
[ "${1:-}" != --strict ] || strict=yes

command -v python3 >/dev/null || skip "there is no python3"
if ! "$venv/bin/python" -c "import moto; assert moto.__version__ == '$moto_version'" 2>/dev/null; then
    rm -rf "$venv"
    python3 -m venv "$venv" || skip "python3 has no venv"
    "$venv/bin/pip" install --quiet "moto[server,s3]==$moto_version" || skip "moto can't be installed"
fi

# Built before the server starts, so that it doesn't idle meanwhile.
cargo test --package millrace-checkpoint --features aws --test it --no-run

"$venv/bin/python" - <<'PYTHON'
import logging
import os
import socket
import subprocess
import sys

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
server.start()
try:
    endpoint = f"http://127.0.0.1:{port}"
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_REGION="us-east-1",
        AWS_ENDPOINT=endpoint,
        AWS_ALLOW_HTTP="true",
        MILLRACE_S3_TEST_URI="s3://checkpoints",
    )
    import boto3

    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(
        Bucket="checkpoints"
    )
    tests = "cargo test --package millrace-checkpoint --features aws --test it s3:: -- --ignored"
    sys.exit(subprocess.run(tests.split()).returncode)
finally:
    server.stop()
PYTHON
