-- Blocks are kept in full for a time that `serve --keep-blocks` says. After that a series keeps what it said, with a summary of its blocks for each batch
-- size, and the blocks go: their reports stay with an empty `blocks`, so that the views `block` and `measurement` have none of them.

CREATE TABLE series_answer (
    series_id TEXT PRIMARY KEY NOT NULL REFERENCES series (id),
    -- From when on the answer is told instead of what the blocks say, and the blocks are being taken away.
    kept_at   TEXT NOT NULL,
    -- JSON: what the series says by itself, for each software that it was measured with. Rows of the step table are made of it, to the last bit as they were.
    answer    TEXT NOT NULL CHECK (json_valid(answer)),
    -- 1 once no block of it is left.
    cleared   INTEGER NOT NULL CHECK (cleared IN (0, 1))
) STRICT, WITHOUT ROWID;

-- For readers: the summary that is left of a series' blocks at each batch size.
CREATE VIEW series_summary AS
SELECT series.sweep_id, series.id AS series_id, series.device_model, series.device_kind, series.device_id, series.workload, series.mode, series.dtype,
       series.threads, series_answer.kept_at,
       json_extract(part.value, '$.software.libtorch') AS libtorch,
       json_extract(point.value, '$[0]') AS batch_size,
       -- Median over its blocks, drift-corrected, and the ends of the median's 95 % interval.
       json_extract(point.value, '$[1]') AS seconds_per_iteration,
       json_extract(point.value, '$[2]') AS seconds_low,
       json_extract(point.value, '$[3]') AS seconds_high,
       -- How many there were, and how many of them were outliers.
       json_extract(point.value, '$[4]') AS blocks,
       json_extract(point.value, '$[5]') AS outliers,
       json_extract(point.value, '$[6]') AS peak_memory_bytes
FROM series_answer
JOIN series ON series.id = series_answer.series_id,
     json_each(series_answer.answer, '$.parts') AS part,
     json_each(part.value, '$.assessment.points') AS point
ORDER BY series.sweep_id, series.ordinal, part.key, batch_size;
