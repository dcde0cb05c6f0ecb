//! What records have beside key and value.

use super::{ALL, job};
use crate::log::Log;

#[test]
fn headers_are_read_looked_into_passed_on_and_made() {
    let log = Log::serve();
    log.run("topic create a b c --config retention.ms=-1").expect(0);
    let lines = concat!(
        r#"{"value":{"n":1,"m":{"x":1,"y":null}},"timestamp":5,"headers":{"trace":"t-1","more":"m"}}"#,
        "\n",
        r#"{"value":{"n":2,"m":{}},"timestamp":6}"#,
        "\n",
    );
    log.feed("produce a --format json -q", lines).expect(0);
    let script = format!(
        "CREATE TABLE a (n BIGINT, m MAP<STRING, INT>, headers MAP<STRING, BYTES> METADATA,
            h MAP<STRING, STRING> METADATA FROM 'headers' VIRTUAL,
            o BIGINT METADATA FROM 'offset' VIRTUAL,
            at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp') WITH (@, 'topic' = 'a', 'format' = 'json', {ALL});
         CREATE TABLE b (n BIGINT, m MAP<STRING, INT>, headers MAP<STRING, BYTES> METADATA)
            WITH (@, 'topic' = 'b', 'format' = 'json');
         CREATE TABLE c (n BIGINT, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
            headers MAP<STRING, STRING> METADATA) WITH (@, 'topic' = 'c', 'format' = 'json');
         INSERT INTO b SELECT n, m, headers FROM a WHERE h['trace'] IS NULL OR h['trace'] LIKE 't-%';
         INSERT INTO c SELECT n, at, MAP['n', CAST(n AS STRING), 'k', 'gone', 'k', h['trace']] FROM a;
         SELECT n, m['x'] AS x, m['z'] AS z, CAST(headers['trace'] AS STRING) AS t, a.h['more'] AS more, o
         FROM a;"
    );
    let ended = job(&log, &script, "--output csv").expect(0);
    assert_eq!(ended.stdout, "n,x,z,t,more,o\n1,1,,t-1,m,0\n2,,,,,1\n");
    let consumed = |topic: &str, fields: &[&str]| {
        let text = log.run(&format!("consume {topic} --output json -q")).expect(0).stdout;
        let mut records: Vec<String> = text
            .lines()
            .map(|line| {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                let fields: Vec<String> =
                    fields.iter().map(|field| record[*field].to_string()).collect();
                fields.join(" ")
            })
            .collect();
        records.sort();
        records
    };
    assert_eq!(
        consumed("b", &["value", "headers"]),
        [
            r#""{\"n\":1,\"m\":{\"x\":1,\"y\":null}}" [["trace","t-1"],["more","m"]]"#,
            r#""{\"n\":2,\"m\":{}}" null"#,
        ]
    );
    // An entry without a value is no header.
    assert_eq!(
        consumed("c", &["value", "timestamp", "headers"]),
        [r#""{\"n\":1}" 5 [["n","1"],["k","t-1"]]"#, r#""{\"n\":2}" 6 [["n","2"]]"#]
    );
}

#[test]
fn metadata_that_is_not_there_or_only_read_is_refused_with_its_place() {
    let log = Log::serve();
    for (columns, rest, wanted) in [
        (
            "n INT, x STRING METADATA",
            "",
            "error: connector `kafka` has no metadata `x`\n --> job.sql:1:33\n",
        ),
        (
            "n INT, x STRING METADATA",
            "",
            "hint: it has: topic, partition, offset, timestamp, timestamp-type, headers, leader-epoch\n",
        ),
        (
            "n INT, e INT NOT NULL METADATA FROM 'leader-epoch'",
            "",
            "error: metadata `leader-epoch` may be missing: it cannot be NOT NULL\n",
        ),
        (
            "n INT, e STRING METADATA FROM 'header-list'",
            "",
            "hint: it is an ARRAY of ROWs, which are not supported; use `headers`\n",
        ),
        (
            "n INT, h MAP<STRING, INT> METADATA FROM 'headers'",
            "",
            "error: metadata `headers` is a MAP<STRING, BYTES>, and cannot be read as MAP<STRING, INT>\n \
             --> job.sql:1:26\n",
        ),
        (
            "n INT, o BIGINT METADATA FROM 'offset'",
            "INSERT INTO t SELECT n, o FROM o;",
            "error: column `o` of `t` stands for metadata `offset`, which cannot be written\n \
             --> job.sql:3:13\n",
        ),
    ] {
        let script = format!(
            "CREATE TABLE t ({columns}) WITH (@, 'topic' = 't', 'format' = 'json');
             CREATE TABLE o (n INT, o BIGINT) WITH ('connector' = 'datagen');
{rest}"
        );
        let ended = job(&log, &script, "").expect(2);
        assert!(ended.stderr.contains(wanted), "{wanted}\n{}", ended.stderr);
    }
}
