-- A start reads the rounds that are not over, however many there are of the others, and serves; those it reads later.
CREATE INDEX round_open ON round (series_id, idx) WHERE ended = 0;
-- An attempt that may still run somewhere is of a round that is not over, so one index of the two is enough: a write less for every round.
DROP INDEX attempt_out;
