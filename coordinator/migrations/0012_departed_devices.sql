-- A device that fails again and again, or has other software than the others, leaves the series that it shares with them.

-- JSON, an object: the devices that take no further part in the series, each with the reason. NULL: there is none.
ALTER TABLE series ADD COLUMN departed TEXT CHECK (departed IS NULL OR json_valid(departed));
