# Shortcuts for development; nothing else needs them. `just --list` shows them.

# Format, lint and test
check: fmt lint test

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- -D warnings

test:
    cargo test --workspace

# What continuous integration does
ci:
    .ci/run

# The month of flights
flights *ARGS:
    cargo run --release -- run examples/flights/hourly_delays.sql {{ARGS}}

# All of 2013: makes the data if it is not there
year *ARGS:
    test -d examples/flights/year || python3 examples/flights/make_data.py --year
    cargo run --release -- run examples/flights/hourly_delays_year.sql {{ARGS}}

# The month's rows against the independent computation
oracle:
    cargo run --release -- run examples/flights/hourly_delays.sql --output csv --quiet \
        | python3 examples/flights/compare.py examples/flights/expected/hourly_delays.csv -
