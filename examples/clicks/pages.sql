-- The visible pages of a site, from a topic that holds the newest row of each page. The properties are the
-- address of the log: of `millrace log serve`, or of any Kafka.
CREATE TABLE pages (
    page    STRING,
    title   STRING,
    visible BOOLEAN,
    PRIMARY KEY (page) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka',
    'topic' = 'pages',
    'properties.bootstrap.servers' = '127.0.0.1:9092',
    'scan.bounded.mode' = 'latest-offset',
    'key.format' = 'json',
    'value.format' = 'json'
);

SELECT page, title FROM pages WHERE visible;
