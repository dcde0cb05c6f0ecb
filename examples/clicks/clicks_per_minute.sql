-- Clicks a minute and page, from a topic. The properties are the address of the log: of
-- `millrace log serve`, or of any Kafka.
CREATE TABLE clicks (
    page  STRING,
    at    TIMESTAMP(3),
    WATERMARK FOR at AS at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = 'clicks',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);

SELECT window_start, page, COUNT(*) AS clicks
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, page;
