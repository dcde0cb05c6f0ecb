#!/usr/bin/env bash
# Every invariant of ARCHITECTURE.md names the tests that guard it; this checks that they exist.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=$(sed -n '/^## Invariants/,/^## Time/p' ARCHITECTURE.md | grep -oE '`[a-z0-9]+(_[a-z0-9]+){2,}`' | tr -d '`' || true)
[ -n "$tests" ] || { echo "error: ARCHITECTURE.md names no tests" >&2; exit 1; }
missing=0
for test in $tests; do
    if ! grep -rqE "(fn |^    )$test(\(|:)" crates --include='*.rs'; then
        echo "error: no test is called \`$test\`" >&2
        missing=$((missing + 1))
    fi
done
echo "$(wc -w <<<"$tests") tests named, $missing missing"
[ "$missing" -eq 0 ]
