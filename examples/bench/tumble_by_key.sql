-- How fast the SQL path counts and sums by key and window, generation included: see docs/performance.md.
--
--   /usr/bin/time -v millrace run examples/bench/tumble_by_key.sql

CREATE TABLE numbers (
    n   BIGINT,
    k   BIGINT,
    v   BIGINT,
    at AS TO_TIMESTAMP_LTZ(n, 3),
    WATERMARK FOR at AS at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'datagen',
    'rows-per-second' = '1000000000',
    'fields.n.kind' = 'sequence',
    'fields.n.start' = '0',
    'fields.n.end' = '99999999',
    'fields.k.min' = '0',
    'fields.k.max' = '9999',
    'fields.v.min' = '0',
    'fields.v.max' = '1000'
);

-- A window has 600,000 rows.
CREATE TABLE nowhere (
    window_start TIMESTAMP(3),
    k            BIGINT,
    numbers      BIGINT,
    total        BIGINT
) WITH ('connector' = 'blackhole');

INSERT INTO nowhere
SELECT window_start, k, COUNT(*), SUM(v)
FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(at), INTERVAL '10' MINUTE))
GROUP BY window_start, window_end, k;
