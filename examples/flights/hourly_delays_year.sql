-- hourly_delays.sql over all of 2013: 336,776 flights in twelve files, a month each.
--
--   python3 examples/flights/make_data.py --year
--   millrace run examples/flights/hourly_delays_year.sql

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
    'path' = 'examples/flights/year',
    'format' = 'csv',
    'csv.header' = 'true',
    'csv.null-literal' = ''
);

SELECT
    window_start,
    origin,
    COUNT(*)                                    AS flights,
    ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1)    AS mean_delay,
    MAX(dep_delay)                              AS worst_delay,
    COUNT(*) FILTER (WHERE departure IS NULL)   AS cancelled
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, origin;

SELECT departure, carrier, flight, origin, dest, air_time
FROM `departures$late`;
