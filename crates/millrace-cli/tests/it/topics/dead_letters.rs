//! Bad records go to a topic, and come back from it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ALL, job};
use crate::log::Log;

/// The records of a topic as `millrace log consume` tells them, by partition and offset.
fn records(log: &Log, topic: &str) -> BTreeMap<(u64, u64), Value> {
    let text = log.run(&format!("consume {topic} --output json -q")).expect(0).stdout;
    let parse = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let place = |name: &str| record[name].as_u64().unwrap();
        ((place("partition"), place("offset")), record)
    };
    text.lines().map(parse).collect()
}

/// The numbers of the rows in a topic, sorted.
fn numbers(log: &Log, topic: &str) -> Vec<i64> {
    let values = records(log, topic).into_values();
    let rows = values.map(|record| record["value"].as_str().unwrap().to_owned());
    let mut numbers: Vec<i64> = rows
        .map(|row| serde_json::from_str::<Value>(&row).unwrap()["n"].as_i64().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// What is written for number `n`: every seventh has its amount as no number, every eleventh is no
/// JSON at all.
fn payload(n: i64) -> String {
    match n {
        _ if n % 11 == 0 => format!("{{\"n\": {n}, oops"),
        _ if n % 7 == 0 => json!({ "n": n, "amount": format!("{n} EUR") }).to_string(),
        _ => json!({ "n": n, "amount": n }).to_string(),
    }
}

#[test]
fn bad_records_go_to_a_topic_with_their_story_and_are_replayed_from_there() {
    let log = Log::serve();
    log.run("topic create orders --partitions 2").expect(0);
    log.run("topic create clean dead still-dead").expect(0);
    let lines: String = (1..=200)
        .map(|n| json!({ "value": payload(n), "partition": n % 2, "headers": { "h": "v" } }))
        .map(|record| record.to_string() + "\n")
        .collect();
    log.feed("produce orders --format json -q", &lines).expect(0);
    let clean = "CREATE TABLE clean (n BIGINT, amount BIGINT) WITH (@, 'topic' = 'clean',
        'format' = 'json', 'sink.delivery-guarantee' = 'exactly-once',
        'sink.transactional-id-prefix' = 'clean', 'properties.isolation.level' = 'read_committed');";
    let script = format!(
        "CREATE TABLE orders (n BIGINT, amount BIGINT) WITH (@, 'topic' = 'orders', 'format' = 'json',
            'bad-records' = 'dead-letter', 'bad-records.topic' = 'dead',
            'bad-records.transactional-id-prefix' = 'dead', {ALL});
         {clean} INSERT INTO clean SELECT n, amount FROM orders;"
    );
    let ended = job(&log, &script, "").expect(0);
    let good: Vec<i64> = (1..=200).filter(|n| n % 7 != 0 && n % 11 != 0).collect();
    assert_eq!(numbers(&log, "clean"), good);
    let bad = 200 - good.len();
    let told = format!("200 read = {} passed on + {bad} dead-lettered", good.len());
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);

    // Each bad record is there once, byte for byte, and says where it came from and why.
    let (orders, dead) = (records(&log, "orders"), records(&log, "dead"));
    let mut places = Vec::new();
    for letter in dead.values() {
        let header = |name: &str| {
            let headers = letter["headers"].as_array().unwrap().iter();
            let found = headers.filter(|header| header[0] == name).map(|header| &header[1]);
            found.map(|value| value.as_str().unwrap().to_owned()).next().unwrap()
        };
        assert_eq!(
            (header("millrace.table"), header("millrace.topic")),
            ("orders".into(), "orders".into())
        );
        let place = [header("millrace.partition"), header("millrace.offset")];
        let [partition, offset] = place.map(|text| text.parse::<u64>().unwrap());
        assert_eq!(letter["value"], orders[&(partition, offset)]["value"]);
        let cause = header("millrace.cause");
        let wanted = match letter["value"].as_str().unwrap().contains("oops") {
            true => "not JSON",
            false => "EUR` in column `amount` cannot be read as BIGINT",
        };
        assert!(cause.contains(wanted), "{cause}");
        places.push((partition, offset));
    }
    places.sort_unstable();
    let is_bad = |(_, record): &(&(u64, u64), &Value)| {
        let value = record["value"].as_str().unwrap();
        value.contains("oops") || value.contains("EUR")
    };
    let expected: Vec<(u64, u64)> = orders.iter().filter(is_bad).map(|(place, _)| *place).collect();
    assert_eq!(places, expected);

    // Read with a schema that fits, they go where the others went; what is no JSON stays dead.
    let replay = format!(
        "CREATE TABLE again (n BIGINT, amount STRING, headers MAP<STRING, STRING> METADATA VIRTUAL)
         WITH (@, 'topic' = 'dead', 'format' = 'json', 'bad-records' = 'dead-letter',
            'bad-records.topic' = 'still-dead', 'properties.isolation.level' = 'read_committed', {ALL});
         {clean} INSERT INTO clean
         SELECT n, CAST(REPLACE(amount, ' EUR', '') AS BIGINT) FROM again
         WHERE headers['millrace.topic'] = 'orders';"
    );
    job(&log, &replay, "").expect(0);
    let all: Vec<i64> = (1..=200).filter(|n| n % 11 != 0).collect();
    assert_eq!(numbers(&log, "clean"), all);
    assert_eq!(records(&log, "still-dead").len(), 200 / 11);
}
