//! Operator ids: what keeps state across changes of a script.

use std::collections::BTreeSet;

use crate::support;

const TABLES: &str = "
CREATE TABLE rides (id BIGINT, city STRING, fare DOUBLE, at TIMESTAMP(3),
    WATERMARK FOR at AS at - INTERVAL '5' SECOND)
WITH ('connector' = 'datagen', 'number-of-rows' = '10');
CREATE TABLE per_city (city STRING, rides BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE fares (fare DOUBLE) WITH ('connector' = 'blackhole');
";

const PER_CITY: &str = "INSERT INTO per_city SELECT city, COUNT(*)
FROM TABLE(TUMBLE(TABLE rides, DESCRIPTOR(at), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, city;";

const FARES: &str = "INSERT INTO fares SELECT fare FROM rides WHERE fare > 10;";

fn ids(script: &str) -> BTreeSet<String> {
    let planned = support::plan(script).unwrap_or_else(|error| panic!("{}", error.render()));
    planned.graph.nodes.iter().map(|node| node.id.to_string()).collect()
}

#[test]
fn statements_can_be_added_and_moved_without_changing_the_ids_of_others() {
    let alone = ids(&format!("{TABLES}{PER_CITY}"));
    let both = ids(&format!("{TABLES}{PER_CITY}{FARES}"));
    let turned = ids(&format!("{TABLES}{FARES}{PER_CITY}"));
    assert!(alone.is_subset(&both), "{alone:?} {both:?}");
    assert_eq!(both, turned);
}

#[test]
fn names_and_spelling_do_not_matter_but_meaning_does() {
    let window = |script: &str| -> String {
        ids(&format!("{TABLES}{script}"))
            .into_iter()
            .find(|id| id.starts_with("window"))
            .expect("a window")
    };
    let plain = window(PER_CITY);
    let respelled = "CREATE VIEW v AS SELECT city AS town, at, fare FROM rides;
        INSERT INTO per_city SELECT town, n FROM (SELECT town, count(*) AS n
        FROM TABLE(TUMBLE(TABLE v, DESCRIPTOR(at), INTERVAL '60' SECOND))
        GROUP BY town, window_start, window_end);";
    assert_eq!(plain, window(respelled));
    assert_ne!(plain, window(&PER_CITY.replace("'1' MINUTE", "'2' MINUTE")));
    assert_ne!(plain, window(&PER_CITY.replace("COUNT(*)", "COUNT(fare)")));
    assert_ne!(plain, window(&PER_CITY.replace("GROUP BY", "WHERE fare > 1 GROUP BY")));
    let rounded = |digits: u8| {
        let price = format!("COUNT(ROUND(CAST(fare AS DECIMAL(9, 4)), {digits}))");
        window(&PER_CITY.replace("COUNT(*)", &price))
    };
    assert_ne!(rounded(1), rounded(2));
}

#[test]
fn equal_statements_get_ids_of_their_own() {
    let planned = support::plan(&format!("{TABLES}{FARES}{FARES}")).expect("planned");
    let ids: BTreeSet<_> = planned.graph.nodes.iter().map(|node| node.id.clone()).collect();
    assert_eq!(ids.len(), planned.graph.nodes.len());
    planned.graph.validate().expect("a valid graph");
}

#[test]
fn every_planned_graph_is_valid_at_any_parallelism() {
    for parallelism in [1, 2, 3, 128] {
        let script = format!("{TABLES}{PER_CITY}{FARES}SELECT id FROM `rides$late`;");
        let planned =
            millrace_sql::plan_script(&script, "job.sql", &support::environment(parallelism))
                .unwrap_or_else(|error| panic!("{}", error.render()));
        planned.graph.validate().unwrap_or_else(|error| panic!("{}", error.full_report()));
    }
}
