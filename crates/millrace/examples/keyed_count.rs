//! Runs one side of the benchmark once, to be measured from outside.
//!
//! ```text
//! keyed_count hand ROWS
//! keyed_count millrace ROWS PARALLELISM CHECKPOINT_DIR
//! ```

#[path = "../benches/workload.rs"]
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    match arguments[..] {
        ["hand", rows] => {
            let Some(rows) = number(rows) else { return ExitCode::from(2) };
            println!("{:?}", workload::by_hand(rows));
            ExitCode::SUCCESS
        }
        ["millrace", rows, parallelism, directory] => {
            let Some((rows, parallelism)) = number(rows).zip(number(parallelism)) else {
                return ExitCode::from(2);
            };
            match workload::by_millrace(rows, parallelism as usize, directory) {
                Ok((total, report)) => {
                    println!("{total:?}");
                    let checkpoint = report.checkpoint.map(|(id, _)| id.0);
                    eprintln!("{:?}, last checkpoint {checkpoint:?}", report.elapsed);
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    eprintln!("error: {}", error.full_report());
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            eprintln!("usage: keyed_count hand ROWS | millrace ROWS PARALLELISM CHECKPOINT_DIR");
            ExitCode::from(2)
        }
    }
}
