-- What the upserts of examples/bench/upserts_write.sql changed, each row as it was before and as it is.
CREATE TABLE totals (id BIGINT, name STRING, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (
    'connector' = 'upsert-kafka',
    'topic' = 'totals',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'scan.bounded.mode' = 'latest-offset',
    'key.format' = 'json',
    'value.format' = 'json'
);
CREATE TABLE sunk (id BIGINT, name STRING, n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO sunk SELECT id, name, n FROM totals;
