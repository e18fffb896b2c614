-- Devices of one model may share the rounds of a series: which they are, and which of them each attempt was for.

-- JSON, an array of the further devices that share the series, each with its host's name, beside the one in `device`. NULL: it has one device.
ALTER TABLE series ADD COLUMN others TEXT CHECK (others IS NULL OR json_valid(others));

-- The device of an attempt. NULL: the one of its series.
ALTER TABLE attempt ADD COLUMN device_id TEXT;

-- As it was, but for the device: the one that measured.
DROP VIEW measurement;
CREATE VIEW measurement AS
SELECT sweep.id AS sweep_id, series.id AS series_id, series.device_model, series.device_kind,
       COALESCE(attempt.device_id, series.device_id) AS device_id, series.workload, series.mode, series.dtype, series.threads,
       round.idx AS round, round.kind AS round_kind, block.visit, block.batch_size, block.role, block.iterations,
       block.elapsed_ns / 1e9 / block.iterations AS seconds_per_iteration, block.device_ns / 1e9 / block.iterations AS device_seconds_per_iteration,
       block.foreign_cores, block.temperature_celsius, block.power_watts, block.sm_clock_mhz, block.throttle_reasons, report.attempt_id
FROM block
JOIN report ON report.seq = block.report_seq AND report.disposition = 'accepted'
JOIN attempt ON attempt.id = report.attempt_id
JOIN round ON round.id = report.round_id
JOIN series ON series.id = round.series_id
JOIN sweep ON sweep.id = series.sweep_id
ORDER BY series.sweep_id, series.ordinal, round.idx, report.seq, block.position;
