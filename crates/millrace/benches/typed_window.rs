//! Keyed tumbling counts: Millrace's typed path beside a loop written by hand.

mod workload;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u64 = 10_000_000;

fn typed_window(criterion: &mut Criterion) {
    let expected = workload::by_hand(ROWS);
    let mut group = criterion.benchmark_group("keyed tumbling count");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    group.bench_function("by hand", |bencher| bencher.iter(|| workload::by_hand(ROWS)));
    for parallelism in [1, 2] {
        let id = BenchmarkId::new("millrace", parallelism);
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let (total, _) = workload::by_millrace(ROWS, parallelism, "memory:").unwrap();
                assert_eq!(total, expected);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, typed_window);
criterion_main!(benches);
