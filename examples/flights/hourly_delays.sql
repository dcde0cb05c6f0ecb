-- Departure delays of New York's three airports, by the hour, in January 2013.
--
--   millrace run examples/flights/hourly_delays.sql
--
-- A record stands in the file where its flight landed, but belongs to the hour in which it departed:
-- event time is the actual departure. A cancelled flight has none; it belongs to the hour in which
-- it should have departed, and is counted in `flights` and `cancelled` but in no delay.

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

SELECT
    window_start,
    origin,
    COUNT(*)                                    AS flights,
    ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1)    AS mean_delay,
    MAX(dep_delay)                              AS worst_delay,
    COUNT(*) FILTER (WHERE departure IS NULL)   AS cancelled
FROM TABLE(TUMBLE(TABLE departures, DESCRIPTOR(event_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, origin;

-- The watermark waits for 4 hours, the flight to Honolulu takes 11. Rows that come when their hour
-- has been printed are late: they are in no window, but in this table, as they stand in the file.
SELECT departure, carrier, flight, origin, dest, air_time
FROM `departures$late`;
