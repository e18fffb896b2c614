#!/usr/bin/env python3
"""Prints what an adaptive sweep saves on this machine's processor: adaptive_cpu.py [--only 'NAME;..'] [--budget 10m] [--pairs N] [--output FILE.json].

For each shape of `linear` and `matmul`, `batchstep local` measures the same listed batch sizes with one thread, dense and adaptive in turn; who goes first
alternates. Printed, as a Markdown table: verdict and period of both, the seconds in which they measured, and the ratio. Times of a shared machine mean little,
so each stands beside the other of its pair; a pair with a `contended` verdict says nothing and is marked.

Needs `make build`. With the default budget dense sweeps on a noisy machine end with it: they take most of ten minutes for each shape.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCHSTEP = ROOT / "target" / "debug" / "batchstep"
# Name, workload, mode, batch sizes.
SHAPES = (
    ("linear 512", "linear", "infer", "1-64"),
    ("linear 512, training", "linear", "train", "1-64"),
    ("linear 1024", "linear:inputs=1024,outputs=1024", "infer", "1-96"),
    ("linear 256 to 2048", "linear:inputs=256,outputs=2048", "infer", "1-96"),
    ("matmul 1 row, 512", "matmul:rows=1,k=512,n=512", "infer", "1-96"),
    ("matmul 3 rows, 256", "matmul:rows=3,k=256,n=256", "infer", "1-96"),
    ("matmul 8 rows, 256", "matmul:rows=8,k=256,n=256", "infer", "1-64"),
)
STRATEGIES = ("dense", "adaptive")


def measured(shape, strategy, seed, arguments):
    """The row of one sweep."""
    _, workload, mode, sizes = shape
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [
            BATCHSTEP, "local", "--devices", "cpu", "--threads", "1", "--workload", workload, "--mode", mode, "--batch-sizes", sizes,
            "--strategy", strategy, "--budget", arguments.budget, "--precision", arguments.precision, "--seed", str(seed), "--format", "json",
            "--data-dir", folder / "data", "--output", folder / "report",
        ]
        env = {**os.environ, "HOME": str(folder), "BATCHSTEP_LOCK_DIR": str(folder / "locks"), "NO_COLOR": "1"}
        end = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True)
    # 3: the answer is incomplete, which is one.
    if end.returncode not in (0, 3):
        sys.exit(f"batchstep local ended with {end.returncode}:\n{end.stderr}")
    return json.loads(end.stdout)["rows"][0]


def words(row):
    step = "" if row["step"] is None else f" {row['step']:g}"
    return f"{row['verdict']}{step}"


def same(one, other):
    if one["verdict"] != other["verdict"] or (one["step"] is None) != (other["step"] is None):
        return False
    return one["step"] is None or abs(one["step"] / other["step"] - 1) <= 0.01


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="shapes by name, separated by semicolons")
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--precision", default="0.3%")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path)
    arguments = parser.parse_args()
    names = [shape[0] for shape in SHAPES]
    wanted = arguments.only.split(";") if arguments.only else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no such shape: {', '.join(unknown)}; there are: {'; '.join(names)}")
    if not BATCHSTEP.exists():
        sys.exit(f"{BATCHSTEP} is missing: run make build first")
    print("| shape | batch sizes | dense | adaptive | same | dense, s | adaptive, s | ratio |\n|---|---|---|---|---|---:|---:|---:|", flush=True)
    pairs = []
    for shape in SHAPES:
        if shape[0] not in wanted:
            continue
        for pair in range(arguments.pairs):
            rows = {}
            order = STRATEGIES if pair % 2 == 0 else STRATEGIES[::-1]
            for strategy in order:
                rows[strategy] = measured(shape, strategy, 7 + pair, arguments)
            dense, adaptive = rows["dense"], rows["adaptive"]
            ratio = adaptive["measuring_seconds"] / dense["measuring_seconds"]
            disturbed = "contended" in (dense["verdict"], adaptive["verdict"])
            agree = "disturbed" if disturbed else "yes" if same(dense, adaptive) else "**no**"
            print(
                f"| {shape[0]}, {shape[2]} | {shape[3]}, {adaptive['batch_sizes_measured']} by adaptive | {words(dense)} | {words(adaptive)} | {agree} "
                f"| {dense['measuring_seconds']:.1f} | {adaptive['measuring_seconds']:.1f} | {ratio:.2f} |",
                flush=True,
            )
            pairs.append({"shape": shape[0], "ratio": ratio, "same": agree, "dense": dense, "adaptive": adaptive})
    sound = [pair for pair in pairs if pair["same"] != "disturbed"]
    if sound:
        agreeing = sum(pair["same"] == "yes" for pair in sound)
        median = statistics.median(pair["ratio"] for pair in sound)
        print(f"\n{agreeing} of {len(sound)} undisturbed pairs agree; median ratio {median:.2f}.")
    if arguments.output:
        arguments.output.write_text(json.dumps(pairs, indent=1))


if __name__ == "__main__":
    main()
