-- Simulated devices are marked in the view for readers, too.
DROP VIEW measurement;

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
