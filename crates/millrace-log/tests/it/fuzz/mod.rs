//! Hostile clients: requests of every kind and version are spoiled and sent to a server beside a client that
//! behaves, and whose records must stay what they are.
//!
//! What must hold: nothing panics, memory stays within bounds, the other client meets no error, the server
//! goes on serving, and what was written can be opened again.
//!
//! `MILLRACE_FUZZ_SEED` begins with that seed, `MILLRACE_FUZZ_ROUNDS` does so many rounds of each kind.

#![expect(clippy::disallowed_methods, reason = "the test works on the real clock")]

mod disk;
mod mutate;
mod records;
mod requests;
mod seeds;
mod watch;

use mutate::Dice;

/// Rounds where nobody says how many: enough to see that the fuzzer works, not to find much.
const ROUNDS: u64 = 1_500;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// How many rounds, where one of a kind costs so many times more than a request.
fn rounds(cost: u64) -> u64 {
    variable("MILLRACE_FUZZ_ROUNDS").unwrap_or(ROUNDS).div_ceil(cost)
}

/// The numbers of one round, by which it can be played again.
fn dice(round: u64) -> Dice {
    Dice::new(first_seed().wrapping_add(round))
}

fn first_seed() -> u64 {
    variable("MILLRACE_FUZZ_SEED").unwrap_or(1)
}

/// What plays a round again.
fn replay(test: &str, round: u64) -> String {
    format!(
        "replay: MILLRACE_FUZZ_SEED={} MILLRACE_FUZZ_ROUNDS=1 cargo test -p millrace-log --test it {test}",
        first_seed().wrapping_add(round)
    )
}
