//! Which seeds a test runs, and how a failing one is run again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Names one seed to run instead of all.
pub const SEED_VARIABLE: &str = "MILLRACE_SIM_SEED";

/// Runs `check` with the seeds `0..count`, or with the one that `MILLRACE_SIM_SEED` names. When one
/// fails, prints the command that runs just that one again.
///
/// `package` and `test` are the names of the Cargo package and of the test function.
///
/// # Panics
/// When `check` does, or when the variable is not a number.
pub fn for_each_seed(package: &str, test: &str, count: u64, check: impl Fn(u64)) {
    let seeds = match std::env::var(SEED_VARIABLE) {
        Ok(text) => match text.parse::<u64>() {
            Ok(seed) => seed..=seed,
            Err(cause) => panic!("{SEED_VARIABLE}=`{text}` is not a seed: {cause}"),
        },
        Err(_) if count == 0 => return,
        Err(_) => 0..=count - 1,
    };
    for seed in seeds {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!(
                "seed {seed} fails; again with\n  {SEED_VARIABLE}={seed} cargo test -p {package} \
                 {test}"
            );
            resume_unwind(payload);
        }
    }
}
