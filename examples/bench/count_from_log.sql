-- Counts JSON records of a topic by key and window. Run by scripts/kafka/throughput.py, which writes the topic.
CREATE TABLE events (
    page STRING,
    took INT,
    at   TIMESTAMP(3),
    WATERMARK FOR at AS at - INTERVAL '1' SECOND
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'topic' = 'events',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);

SELECT window_start, page, COUNT(*) AS records, SUM(took) AS took
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(at), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, page;
