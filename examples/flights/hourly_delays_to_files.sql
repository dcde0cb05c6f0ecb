-- hourly_delays.sql into files, exactly once: kill it at any moment and run it again.
--
--   millrace run examples/flights/hourly_delays_to_files.sql --checkpoint-dir examples/flights/checkpoints

CREATE TABLE departures (
    scheduled_departure TIMESTAMP(3),
    departure           TIMESTAMP(3),
    dep_delay           INT,
    arr_delay           INT,
    carrier             STRING,
    flight              INT,
    tailnum             STRING,
    origin              STRING,
    dest                STRING,
    air_time            INT,
    distance            INT,
    event_time AS COALESCE(departure, scheduled_departure),
    WATERMARK FOR event_time AS event_time - INTERVAL '4' HOUR
) WITH (
    'connector' = 'filesystem',
    'path' = 'examples/flights/flights-2013-01.csv.gz',
    'format' = 'csv',
    'csv.header' = 'true',
    'csv.null-literal' = ''
);

CREATE TABLE hourly_delays (
    window_start TIMESTAMP(3),
    origin       STRING,
    flights      BIGINT,
    mean_delay   DOUBLE,
    worst_delay  INT,
    cancelled    BIGINT
) WITH (
    'connector' = 'filesystem',
    'path' = 'examples/flights/out/hourly_delays',
    'format' = 'csv',
    'csv.null-literal' = ''
);

CREATE TABLE late_departures (
    departure TIMESTAMP(3),
    carrier   STRING,
    flight    INT,
    origin    STRING,
    dest      STRING,
    air_time  INT
) WITH (
    'connector' = 'filesystem',
    'path' = 'examples/flights/out/late_departures',
    'format' = 'json'
);

EXECUTE STATEMENT SET
BEGIN
INSERT INTO hourly_delays
SELECT
    window_start,
    origin,
    COUNT(*)                                    AS flights,
    ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1)    AS mean_delay,
    MAX(dep_delay)                              AS worst_delay,
    COUNT(*) FILTER (WHERE departure IS NULL)   AS cancelled
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, origin;

INSERT INTO late_departures
SELECT departure, carrier, flight, origin, dest, air_time
FROM `departures$late`;
END;
