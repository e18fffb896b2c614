#!/usr/bin/env python3
"""Compares batchstep's answer on this machine's CPU with an independent measurement of the same shapes in Python.

    scripts/venv && make build && .venv/bin/python tests/physical/agree.py [--budget 60s] [--rounds 15] [--shape SPEC ..]

For each shape, one thread, forward pass, batch sizes 1 to 48: PyTorch times every batch size in rounds of random order, takes the fastest block of
each, and looks for the residues that are cheapest: for every length P it averages what a batch size costs beyond the line through its neighbouring
multiples of P. The shortest P whose multiples are cheap, at little less than the best P's advantage, is Python's answer. It knows nothing of combs,
information criteria or guards. Prints a Markdown table and how many shapes agree; asserts nothing, since times are a shared machine's.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPES = (
    "linear:inputs=256,outputs=256",
    "linear:inputs=512,outputs=512",
    "linear:inputs=384,outputs=768",
    "linear:inputs=1024,outputs=512",
    "matmul:rows=1,k=512,n=512",
    "matmul:rows=1,k=768,n=256",
    "matmul:rows=2,k=512,n=512",
    "matmul:rows=3,k=512,n=512",
)
SIZES = range(1, 49)
# A block is long against the clock's ticks and short against what else the machine does.
BLOCK_SECONDS = 0.004
# The shortest length wins that keeps this share of the best one's advantage.
KEPT = 0.75
# Relative advantage of the multiples below which there is no step.
LEAST = 0.02


def parse(shape):
    name, _, rest = shape.partition(":")
    return name, {key: int(value) for key, value in (part.split("=") for part in rest.split(","))}


def workload(shape):
    """A function from a batch size to a function that runs one iteration."""
    import torch

    torch.set_num_threads(1)
    name, numbers = parse(shape)
    if name == "linear":
        layer = torch.nn.Linear(numbers["inputs"], numbers["outputs"])

        def prepare(batch_size):
            data = torch.randn(batch_size, numbers["inputs"])
            return lambda: layer(data)

    else:
        right = torch.randn(numbers["k"], numbers["n"])

        def prepare(batch_size):
            data = torch.randn(batch_size * numbers["rows"], numbers["k"])
            return lambda: torch.mm(data, right)

    return prepare


def measure(shape, rounds):
    """Seconds per iteration of the fastest block, by batch size."""
    import torch

    prepare = workload(shape)
    order = list(SIZES)
    fastest = {}
    with torch.inference_mode():
        for _ in range(rounds):
            random.shuffle(order)
            for batch_size in order:
                run = prepare(batch_size)
                run()
                begin = time.perf_counter()
                run()
                count = max(3, int(BLOCK_SECONDS / max(time.perf_counter() - begin, 1e-7)))
                begin = time.perf_counter()
                for _ in range(count):
                    run()
                seconds = (time.perf_counter() - begin) / count
                fastest[batch_size] = min(seconds, fastest.get(batch_size, seconds))
    return fastest


def advantage(seconds, period):
    """How much dearer a batch size is than the line through its neighbouring multiples of `period`: averaged over all, the multiples included, and by residue.

    With the multiples included a short period has no advantage from having few residues: 0, 9, 5, 9 is a period of 4 and not of 2."""
    excess = [[] for _ in range(period)]
    for low in range(period, max(SIZES) - period + 1, period):
        high = low + period
        for rest in range(1, period):
            line = seconds[low] + (seconds[high] - seconds[low]) * rest / period
            excess[rest].append(seconds[low + rest] / line - 1)
    by_residue = [0.0] + [statistics.median(values) for values in excess[1:]]
    return statistics.mean(by_residue), by_residue


def python_step(seconds):
    """The shortest period with cheap multiples, its advantage and the excess of each residue; None where no length has any."""
    found = {}
    for period in range(2, 17):
        mean, by_residue = advantage(seconds, period)
        # Every residue dearer than the multiples: a divisor's period passes too, a wrong one does not.
        if min(by_residue[1:]) > 0:
            found[period] = (mean, by_residue)
    if not found:
        return None
    best = max(mean for mean, _ in found.values())
    if best < LEAST:
        return None
    period = min(period for period, (mean, _) in found.items() if mean >= KEPT * best)
    return period, *found[period]


def batchstep(shape, budget, folder):
    """The first row of `batchstep local` for the same shape."""
    environment = {**os.environ, "HOME": str(folder), "BATCHSTEP_LOCK_DIR": str(folder / "locks"), "NO_COLOR": "1"}
    command = [
        str(ROOT / "target" / "debug" / "batchstep"), "local", "--devices", "cpu", "--workload", shape, "--mode", "infer", "--threads", "1",
        "--batch-sizes", f"{min(SIZES)}-{max(SIZES)}", "--strategy", "dense", "--budget", budget, "--data-dir", str(folder / "data"), "--output",
        str(folder / "report"), "--format", "json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    if not done.stdout.strip():
        sys.exit(f"agree: {' '.join(command)} printed nothing and ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)["rows"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="60s", help="measuring time of batchstep for a shape")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of the Python measurement")
    parser.add_argument("--shape", action="append", help="a workload instead of the usual ones, such as matmul:rows=1,k=512,n=512")
    arguments = parser.parse_args()
    agreeing = answered = 0
    print("| shape | Python's cheapest residues | multiples cheaper by | batchstep | kind | confidence | agree |\n|---|---|---:|---|---|---:|---|", flush=True)
    shapes = arguments.shape or SHAPES
    for shape in shapes:
        python = python_step(measure(shape, arguments.rounds))
        with tempfile.TemporaryDirectory() as folder:
            row = batchstep(shape, arguments.budget, pathlib.Path(folder))
        step = row["step"]
        theirs = f"multiples of {python[0]}" if python else "none"
        gain = f"{100 * python[1]:.1f} %" if python else ""
        ours = f"step {step:g}" if step else row["verdict"]
        same = (python[0] == step) if python and step else (python is None and row["verdict"] == "no_step")
        decided = row["verdict"] in ("step", "no_step", "irregular")
        answered += decided
        agreeing += same
        word = "yes" if same else ("no" if decided else "no answer")
        confidence = f"{row['confidence']:.2f}" if row["confidence"] is not None else ""
        print(f"| {shape} | {theirs} | {gain} | {ours} | {row['kind'] or ''} | {confidence} | {word} |", flush=True)
    print(f"\n{agreeing} of {len(shapes)} shapes agree; batchstep gave an answer for {answered}.")


if __name__ == "__main__":
    main()
