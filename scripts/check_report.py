#!/usr/bin/env python3
"""Checks a report folder against the JSON contract, and that every row was measured: check_report.py FOLDER. Standard library only."""

import csv
import json
import pathlib
import sys
import xml.etree.ElementTree

FIELDS = {
    "device_model": str, "device_kind": str, "compute_units": (int, None), "mig_profile": (str, None), "threads": (int, None),
    "workload": str, "parameters": dict, "mode": str, "dtype": str, "verdict": str, "step": (float, None),
    "step_interval": (list, None), "offset": (float, None), "kind": (str, None), "profile": (list, None),
    "confidence": (float, None), "jump_at": (int, None), "jump_relative": (float, None), "other_steps": list,
    "smallest_detectable_jump": (float, None), "reason": str, "next_action": (str, None), "recommended_batch_sizes": list,
    "best_throughput": (dict, None), "knee_batch_size": (int, None), "out_of_memory_at": (int, None), "quarantined_batch_sizes": list, "batch_sizes_measured": int,
    "blocks": int, "measuring_seconds": float, "devices": list, "agreeing_devices": int, "software": dict,
    "representative_device": str, "spread": (dict, None), "device_answers": list,
}
VERDICTS = {"step", "no_step", "irregular", "insufficient", "disputed", "contended", "throttled"}


def is_a(value, kind):
    if isinstance(kind, tuple):
        return value is None or is_a(value, kind[0])
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def problems_of(row):
    for name, kind in FIELDS.items():
        if name not in row:
            yield f"{name} is missing"
        elif not is_a(row[name], kind):
            yield f"{name} is {row[name]!r}"
    if row.get("verdict") not in VERDICTS:
        yield f"verdict is {row.get('verdict')!r}"
    elif row["verdict"] == "step":
        for name in ("step", "step_interval", "kind", "confidence", "jump_at"):
            if row.get(name) is None:
                yield f"verdict is step, and {name} is null"
    elif not row.get("next_action"):
        yield f"verdict is {row['verdict']}, and there is no next_action"
    # An honest "insufficient" has blocks, too.
    for name in ("batch_sizes_measured", "blocks"):
        if not row.get(name):
            yield f"{name} is {row.get(name)!r}: nothing was measured: {row.get('reason')}"


def main(folder):
    problems = []
    table = json.loads((folder / "results.json").read_text())
    if table.get("schema_version") != 1:
        problems.append(f"results.json: schema_version is {table.get('schema_version')!r}")
    rows = table.get("rows", [])
    if not rows:
        problems.append("results.json: no rows")
    for number, row in enumerate(rows):
        problems += [f"results.json: row {number}: {problem}" for problem in problems_of(row)]

    with open(folder / "blocks.csv", newline="") as file:
        blocks = list(csv.DictReader(file))
    for number, block in enumerate(blocks, start=2):
        if not (int(block["batch_size"]) >= 1 and float(block["seconds"]) > 0):
            problems.append(f"blocks.csv: line {number}: batch_size or seconds is not positive")
    # A row's own count leaves out devices without an answer; each device's count is in its answer.
    told = sum(answer["blocks"] for row in rows for answer in row.get("device_answers", []))
    if len(blocks) != told:
        problems.append(f"blocks.csv: {len(blocks)} blocks, and the devices of the rows say {told}")

    for name in ("table.csv", "table.md", "report.html"):
        if not (folder / name).read_text().strip():
            problems.append(f"{name}: empty")
    plots = sorted(folder.glob("plots/*.svg"))
    for number, row in enumerate(rows, start=1):
        if not any(plot.name.startswith(f"{number:02}-") for plot in plots):
            problems.append(f"plots: none of row {number - 1}")
    for plot in plots:
        xml.etree.ElementTree.parse(plot)

    for problem in problems:
        print(problem, file=sys.stderr)
    verdicts = ", ".join(f"{row['workload']}: {row['verdict']} {row['step'] or ''}".strip() for row in rows)
    print(f"{folder}: {len(rows)} rows ({verdicts}), {len(blocks)} blocks, {len(plots)} plots: {'wrong' if problems else 'as promised'}")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
