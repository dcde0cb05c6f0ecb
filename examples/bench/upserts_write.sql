-- Three million upserts of 100,000 keys into a topic, for examples/bench/upserts_read.sql.
CREATE TABLE numbers (id BIGINT, n BIGINT) WITH (
    'connector' = 'datagen', 'number-of-rows' = '3000000', 'seed' = '1',
    'fields.id.min' = '0', 'fields.id.max' = '99999',
    'fields.n.min' = '0', 'fields.n.max' = '999999'
);
CREATE TABLE totals (id BIGINT, name STRING, n BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH (
    'connector' = 'upsert-kafka',
    'topic' = 'totals',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'key.format' = 'json',
    'value.format' = 'json'
);
INSERT INTO totals SELECT id, 'name ' || CAST(n / 1000 AS STRING), n FROM numbers;
