//! What is refused before anything is connected to.

use millrace_core::ErrorKind;

use super::cluster::numbers;
use crate::harness::open_sink;

#[test]
fn what_cannot_be_written_is_refused_by_its_option() {
    for (more, wanted) in [
        (
            &[("sink.delivery-guarantee", "exactly-once")][..],
            "`sink.transactional-id-prefix` is missing",
        ),
        (&[("sink.delivery-guarantee", "twice")], "`twice` is not a delivery guarantee"),
        (&[("sink.partitioner", "org.example.Mine")], "`sink.partitioner`"),
        (&[("sink.parallelism", "0")], "`sink.parallelism`"),
        (&[("properties.transactional.id", "x")], "`properties.transactional.id`"),
        (
            &[("key.format", "csv"), ("key.fields", "n"), ("sink.partitioner", "round-robin")],
            "`round-robin`",
        ),
        (&[("sink.buffer", "1")], "unknown option `sink.buffer`"),
    ] {
        let table = numbers("localhost:9", "out", more.iter().copied());
        let error = open_sink("kafka", &table).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::FixInput);
        assert!(error.message().contains(wanted), "{error}");
    }
    let list = numbers("localhost:9", "a;b", []);
    assert!(open_sink("kafka", &list).err().unwrap().message().contains("names 2 topics"));
}
