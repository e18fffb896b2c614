-- The blocks of a report are one value of its row instead of a row each: a report is written, and read back, as a whole, and that is most of what a
-- coordinator stores. `block` is a view now, with the columns and rows that the table had, so that queries and `measurement` go on as they were.

-- How many blocks it has.
ALTER TABLE report ADD COLUMN block_count INTEGER NOT NULL DEFAULT 0;
-- JSON: an array for each block, in the order of measurement; what is at which place is said by the view `block`. The last column, because it is the
-- largest: what is before it can be read without it.
ALTER TABLE report ADD COLUMN blocks TEXT NOT NULL DEFAULT '[]';

-- Numbers that are not whole with 17 digits, which is all of them: on their own JSON functions round to 15.
UPDATE report SET
    block_count = (SELECT COUNT(*) FROM block WHERE report_seq = report.seq),
    blocks = (
        SELECT json_group_array(json_array(
            visit, batch_size, role, iterations, elapsed_ns, device_ns, started_after_ns, warm_up_iterations, warm_up_ns,
            json(CASE WHEN foreign_cores IS NULL THEN 'null' ELSE printf('%!.17g', foreign_cores) END),
            peak_memory_bytes,
            json(CASE WHEN temperature_celsius IS NULL THEN 'null' ELSE printf('%!.17g', temperature_celsius) END),
            json(CASE WHEN power_watts IS NULL THEN 'null' ELSE printf('%!.17g', power_watts) END),
            json(CASE WHEN sm_clock_mhz IS NULL THEN 'null' ELSE printf('%!.17g', sm_clock_mhz) END),
            throttle_reasons, foreign_processes
        ) ORDER BY position)
        FROM block WHERE report_seq = report.seq
    );

DROP VIEW measurement;
DROP TABLE block;
-- A report that counts is found through its attempt, which is on record: each index less is a page less to write for every round.
DROP INDEX report_by_round;

-- A timed block: `iterations` at one batch size between two device synchronisations.
CREATE VIEW block AS
SELECT report.seq AS report_seq,
       -- Position in its report, from 0: the order of measurement.
       timed.key AS position,
       -- Position of its visit in the round, from 0.
       json_extract(timed.value, '$[0]') AS visit,
       json_extract(timed.value, '$[1]') AS batch_size,
       json_extract(timed.value, '$[2]') AS role,
       json_extract(timed.value, '$[3]') AS iterations,
       -- Wall time of the whole block.
       json_extract(timed.value, '$[4]') AS elapsed_ns,
       -- The same on the device's own clock.
       json_extract(timed.value, '$[5]') AS device_ns,
       -- From the round's start to the block's.
       json_extract(timed.value, '$[6]') AS started_after_ns,
       json_extract(timed.value, '$[7]') AS warm_up_iterations,
       json_extract(timed.value, '$[8]') AS warm_up_ns,
       -- Processor time that other processes used meanwhile, in cores.
       json_extract(timed.value, '$[9]') AS foreign_cores,
       json_extract(timed.value, '$[10]') AS peak_memory_bytes,
       json_extract(timed.value, '$[11]') AS temperature_celsius,
       json_extract(timed.value, '$[12]') AS power_watts,
       json_extract(timed.value, '$[13]') AS sm_clock_mhz,
       -- NVML's clock event bits.
       json_extract(timed.value, '$[14]') AS throttle_reasons,
       json_extract(timed.value, '$[15]') AS foreign_processes
FROM report, json_each(report.blocks) AS timed;

-- For readers: every block that counts, with what it belongs to. `device_kind` is 'simulated' where nothing was measured.
CREATE VIEW measurement AS
SELECT sweep.id AS sweep_id, series.id AS series_id, series.device_model, series.device_kind, series.device_id, series.workload, series.mode,
       series.dtype, series.threads, round.idx AS round, round.kind AS round_kind, block.visit, block.batch_size, block.role, block.iterations,
       block.elapsed_ns / 1e9 / block.iterations AS seconds_per_iteration, block.device_ns / 1e9 / block.iterations AS device_seconds_per_iteration,
       block.foreign_cores, block.temperature_celsius, block.power_watts, block.sm_clock_mhz, block.throttle_reasons, report.attempt_id
FROM block
JOIN report ON report.seq = block.report_seq AND report.disposition = 'accepted'
JOIN round ON round.id = report.round_id
JOIN series ON series.id = round.series_id
JOIN sweep ON sweep.id = series.sweep_id
ORDER BY series.sweep_id, series.ordinal, round.idx, report.seq, block.position;
