//! How fast rows come out of sources. Not a test: run it with
//! `cargo test --release -p millrace-connect -- --ignored --nocapture speed`.

use std::path::Path;

use arrow_schema::DataType;
use millrace_core::seam::{Clock, SystemClock};
use millrace_core::{Read, Source};

use crate::harness::{context, millis, open_source, table};

async fn rows_per_second(name: &str, source: &dyn Source, times: usize) {
    let clock = SystemClock::default();
    let (mut rows, mut bytes) = (0u64, 0u64);
    let start = clock.elapsed();
    for _ in 0..times {
        for split in source.discover().await.unwrap() {
            let mut reader = source.open(&split, &context(4096)).await.unwrap();
            loop {
                match reader.next().await.unwrap() {
                    Read::Rows(batch) => {
                        assert_eq!(batch.bad, []);
                        rows += batch.rows.map_or(0, |rows| rows.rows() as u64);
                        bytes += batch.bytes;
                    }
                    Read::Pending => {
                        reader.ready().await;
                    }
                    Read::End => break,
                }
            }
        }
    }
    let seconds = (clock.elapsed() - start).as_secs_f64();
    let (millions, megabytes) = (rows as f64 / 1e6, bytes as f64 / 1e6);
    println!("{name}: {:.2} M rows/s, {:.0} MB/s read", millions / seconds, megabytes / seconds);
}

#[tokio::test]
#[ignore = "measures"]
async fn speed_of_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
    let path = root.join("flights-2013-01.csv.gz");
    let columns = [
        ("dep_time", millis()),
        ("origin", DataType::Utf8),
        ("dep_delay", DataType::Float64),
        ("tailnum", DataType::Utf8),
    ];
    let options = [("path", path.to_str().unwrap()), ("format", "csv")];
    let more = [("csv.header", "true"), ("csv.null-literal", "")];
    let flights = open_source("filesystem", &table(&columns[1..], [options, more].concat()));
    rows_per_second("flights, csv.gz, 3 columns", &*flights.unwrap().source, 20).await;

    let directory = tempfile::tempdir().unwrap();
    let (csv, json) = (directory.path().join("a.csv"), directory.path().join("a.json"));
    let (mut csv_text, mut json_text) = (String::new(), String::new());
    for n in 0..500_000 {
        let at = format!("2013-01-{:02} 05:15:{:02}", n % 28 + 1, n % 60);
        csv_text.push_str(&format!("{at},JFK,{}.5,N{n}\n", n % 400));
        json_text.push_str(&format!(
            "{{\"dep_time\":\"{at}\",\"origin\":\"JFK\",\"dep_delay\":{}.5,\"tailnum\":\"N{n}\"}}\n",
            n % 400
        ));
    }
    std::fs::write(&csv, csv_text).unwrap();
    std::fs::write(&json, json_text).unwrap();
    for (name, path, format) in [("csv", &csv, "csv"), ("json", &json, "json")] {
        let options = [("path", path.to_str().unwrap()), ("format", format)];
        let source = open_source("filesystem", &table(&columns, options)).unwrap().source;
        rows_per_second(&format!("{name}, 4 columns"), &*source, 4).await;
    }

    let numbers = [
        ("id", DataType::Int64),
        ("key", DataType::Int32),
        ("value", DataType::Int64),
        ("price", DataType::Float64),
    ];
    let options = [
        ("number-of-rows", "100000000"),
        ("rows-per-second", "1000000000000"),
        ("fields.id.kind", "sequence"),
        ("fields.id.start", "0"),
        ("fields.id.end", "1000000000"),
        ("fields.key.min", "0"),
        ("fields.key.max", "100000"),
    ];
    let source = open_source("datagen", &table(&numbers, options)).unwrap().source;
    rows_per_second("datagen, 4 columns", &*source, 1).await;
}
