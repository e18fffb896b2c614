#!/usr/bin/env python3
"""Prints the figures of docs/results: figures.py [--only NAME,..] [--output FILE.json].

  ratio    our iteration time over that of a Python PyTorch loop of the same network, alternating in one run
  idle     an idle agent's memory, processor time and binary size
  gpus     the same agent with eight GPUs to look at (our fake of NVIDIA's library), over two minutes, and what one look costs
  start    from starting `batchstep local` to its first timed block
  share    share of a sweep's wall time in which the device measures or warms up
  spread   difference between two runs of one sweep, randomised and corrected against ascending and raw
  stop     from Ctrl-C to the end of `batchstep local`

Every figure is a ratio, or stands beside something measured in the same run: absolute times of a shared machine mean little.
Needs `make build` and, for `ratio`, a Python with PyTorch 2.11.0 (`scripts/venv`).
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import random
import re
import shlex
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBUG = ROOT / "target" / "debug"
RELEASE = ROOT / "target" / "release"
NAMES = ("ratio", "idle", "gpus", "start", "share", "spread", "stop")


MIB = 1 << 20


def line(what, value, goal):
    print(f"{what:<58} {value:<34} {goal}", flush=True)


def environment(folder):
    """Nothing of the caller's configuration: locks, data and home in one folder."""
    return {**os.environ, "HOME": str(folder), "BATCHSTEP_LOCK_DIR": str(folder / "locks"), "NO_COLOR": "1"}


class Loop:
    """A program that times one block per line `go` and answers each with a JSON line."""

    def __init__(self, command, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.answer()  # ready

    def answer(self):
        text = self.process.stdout.readline()
        if not text:
            sys.exit(f"{self.process.args[0]} ended early with {self.process.wait()}")
        return json.loads(text)

    def block(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()["seconds_per_iteration"]

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def median_interval(values, resamples=2000):
    """Median with its 95 % bootstrap interval."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(resamples))
    return statistics.median(values), medians[int(0.025 * resamples)], medians[int(0.975 * resamples)]


def ratio(arguments):
    """Median of paired ratios, ours over Python's, with its interval."""
    points = [
        ("linear", 1, 2000), ("linear", 64, 1000), ("cnn:image=64", 1, 20), ("cnn:image=64", 32, 2), ("resnet50:image=96", 1, 2), ("resnet50:image=96", 8, 1),
    ]
    if arguments.device == "cuda":
        points = [("linear", 1, 2000), ("linear", 512, 2000), ("cnn", 1, 200), ("cnn", 128, 20), ("resnet50", 1, 40), ("resnet50", 64, 10)]
    # The worker tells glibc to keep freed memory; so does Python here unless --plain-allocator asks for glibc's defaults.
    allocator = {} if arguments.plain_allocator else {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 60)}
    results = []
    for workload, batch_size, iterations in points:
        options = ["--workload", workload, "--batch-size", str(batch_size), "--iterations", str(iterations), "--device", arguments.device]
        if arguments.device == "cpu":
            options += ["--threads", str(arguments.threads)]
        ours = Loop([arguments.loop, *options])
        theirs = Loop([sys.executable, str(ROOT / "tests/bench/python_loop.py"), *options], env={**os.environ, **allocator})
        for _ in range(3):
            ours.block(), theirs.block()
        ratios = []
        for pair in range(arguments.pairs):
            # Who goes first alternates too, so that a drift favours neither.
            if pair % 2:
                theirs_seconds, ours_seconds = theirs.block(), ours.block()
            else:
                ours_seconds, theirs_seconds = ours.block(), theirs.block()
            ratios.append(ours_seconds / theirs_seconds)
        ours.end(), theirs.end()
        middle, low, high = median_interval(ratios)
        line(f"iteration time / Python's, {workload} batch {batch_size}", f"{middle:.4f} [{low:.4f}, {high:.4f}]", "<= 1.02")
        results.append({"workload": workload, "batch_size": batch_size, "pairs": len(ratios), "median": middle, "interval": [low, high]})
    return results


def local(folder, *options, **kwargs):
    command = [str(DEBUG / "batchstep"), "local", "--devices", "cpu", "--data-dir", str(folder / "data"), "--output", str(folder / "report"), *options]
    return subprocess.Popen(command, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **kwargs)


def finish(process):
    _, errors = process.communicate(timeout=1200)
    if process.returncode not in (0, 3):
        sys.exit(f"{' '.join(process.args)} ended with {process.returncode}:\n{errors}")
    return errors


def smaps(pid):
    """Resident, private and shared-library bytes of a process."""
    fields = {}
    for text in (pathlib.Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, value = text.split(":")
        fields[name] = int(value.split()[0]) * 1024
    return fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"]


def processor_seconds(pid):
    fields = (pathlib.Path("/proc") / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_agent(seconds, gpus=None):
    """Resident and private bytes and processor share of an agent of the release profile, welcomed and without work; `gpus` is what our fake of NVIDIA's
    library is told to have."""
    binary = RELEASE / "batchstep-agent"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        extra = fake_nvml(folder, gpus) if gpus else {}
        serve = subprocess.Popen(
            [DEBUG / "batchstep", "serve", "--data-dir", folder / "data", "--listen", "127.0.0.1:7901"], env=environment(folder), stderr=subprocess.DEVNULL
        )
        agent = subprocess.Popen(
            [binary, "run", "--coordinator", "http://127.0.0.1:7901", "--state-dir", folder / "agent", "--worker", DEBUG / "batchstep-worker"],
            env={**environment(folder), **extra}, stderr=subprocess.PIPE, text=True,
        )
        try:
            while "Connected" not in (text := agent.stderr.readline()):
                if not text:
                    sys.exit("the agent ended early")
            time.sleep(15)  # past its start
            before = processor_seconds(agent.pid)
            time.sleep(seconds)
            used = (processor_seconds(agent.pid) - before) / seconds
            resident, private = smaps(agent.pid)
        finally:
            agent.terminate(), serve.terminate()
            agent.wait(timeout=30), serve.wait(timeout=30)
    return resident, private, used


def fake_nvml(folder, gpus):
    """The environment in which programs find our fake library, built before, with these GPUs."""
    (folder / "lib").mkdir()
    (folder / "lib" / "libnvidia-ml.so.1").write_bytes((DEBUG / "libbatchstep_fake_nvml.so").read_bytes())
    (folder / "nvml.toml").write_text(gpus)
    return {"LD_LIBRARY_PATH": str(folder / "lib"), "BATCHSTEP_FAKE_NVML": str(folder / "nvml.toml")}


EIGHT = '[[device]]\npreset = "h200"\n' * 8


def gpus(_arguments):
    """What eight GPUs cost an idle agent, telemetry every 30 s and everything every 5 minutes, and what one look costs."""
    subprocess.run(["cargo", "build", "--quiet", "-p", "batchstep-fake-nvml"], cwd=ROOT, check=True)
    resident, private, used = idle_agent(120, EIGHT)
    line("idle agent with 8 GPUs: resident memory", f"{resident / MIB:.1f} MiB, private {private / MIB:.1f} MiB", "<= 12 MiB")
    line("idle agent with 8 GPUs: processor over 120 s", f"{100 * used:.3f} % of a core", "<= 0.05 %")
    with tempfile.TemporaryDirectory() as name:
        cost = subprocess.run(
            [RELEASE / "examples" / "cost"], env={**os.environ, **fake_nvml(pathlib.Path(name), EIGHT)}, check=True, capture_output=True, text=True
        )
    looks = {}
    for text in cost.stdout.splitlines()[2:]:
        what, cpu, _, ratio = re.split(r" {2,}", text.strip())
        looks[what] = float(cpu)
        line(f"8 GPUs: {what}", f"{cpu} ms of a processor, {ratio} x reading /proc/stat", "a few ms" if what == "everything" else "")
    return {"resident_bytes": resident, "private_bytes": private, "processor_share": used, "look_ms": looks}


def idle(_arguments):
    """An agent of the release profile, welcomed and without work, over 60 s."""
    resident, private, used = idle_agent(60)
    size = (RELEASE / "batchstep-agent").stat().st_size
    line("idle agent: resident memory", f"{resident / MIB:.1f} MiB, private {private / MIB:.1f} MiB", "<= 12 MiB")
    line("idle agent: processor over 60 s", f"{100 * used:.3f} % of a core", "<= 0.05 %")
    line("idle agent: binary size (release, stripped)", f"{size / MIB:.1f} MiB", "<= 12 MiB")
    return {"resident_bytes": resident, "private_bytes": private, "processor_share": used, "binary_bytes": size}


def stored(folder, query):
    """Rows of the store that a finished command left."""
    store = sqlite3.connect(f"file:{folder / 'data' / 'coordinator.db'}?mode=ro", uri=True)
    try:
        return store.execute(query).fetchall()
    finally:
        store.close()


def first_block_seconds(folder):
    """Wall seconds from the start of `batchstep local` until its first timed block begins, by the first report's times.

    The default budget, and with it the default warm-up; a precision that the required five rounds reach.
    """
    started = datetime.datetime.now(datetime.timezone.utc)
    finish(local(folder, "--workload", "linear", "--batch-sizes", "1-4", "--threads", "1", "--precision", "0.5"))
    [(received, elapsed, after)] = stored(
        folder,
        "SELECT received_at, report.elapsed_ns, started_after_ns FROM report JOIN block ON report_seq = seq ORDER BY seq, position LIMIT 1",
    )
    # Python reads microseconds at most.
    received = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", received).replace("Z", "+00:00"))
    return (received - started).total_seconds() - (elapsed - after) / 1e9


def start(_arguments):
    """Five starts, beside importing torch in Python where there is one."""
    times = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as name:
            times.append(first_block_seconds(pathlib.Path(name)))
    imports = []
    for _ in range(3):
        began = time.monotonic()
        if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, check=False).returncode == 0:
            imports.append(time.monotonic() - began)
    value = statistics.median(times)
    beside = f", {value / statistics.median(imports):.2f} of Python's `import torch`" if imports else ""
    line("start of `batchstep local` to first timed block", f"{value:.2f} s{beside}", "<= 2 s")
    return {"seconds": times, "import_torch_seconds": imports}


def share(_arguments):
    """(measuring + warming up) over the wall time from submission to the last report, by the coordinator's clock."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        began = time.monotonic()
        finish(local(folder, "--workload", "cnn:image=64", "--workload", "linear", "--budget", "60s"))
        whole = time.monotonic() - began
        [(busy,)] = stored(folder, "SELECT (SUM(measuring_ns) + SUM(warm_up_ns)) / 1e9 FROM report")
        [(wall,)] = stored(folder, "SELECT (julianday(finished_at) - julianday(submitted_at)) * 86400 FROM sweep")
    line("share of the sweep in which the device works", f"{100 * busy / wall:.1f} % of {wall:.0f} s", ">= 97 %")
    line("the same of the whole command, start and report included", f"{100 * busy / whole:.1f} % of {whole:.0f} s", "")
    return {"busy_seconds": busy, "sweep_seconds": wall, "command_seconds": whole}


def medians(folder, corrected):
    """Median seconds per batch size of a report's measuring blocks."""
    values = {}
    with open(folder / "report" / "blocks.csv", newline="") as file:
        for block in csv.DictReader(file):
            if block["role"] == "measure":
                seconds = block["corrected_seconds"] if corrected else ""
                values.setdefault(int(block["batch_size"]), []).append(float(seconds or block["seconds"]))
    return {size: statistics.median(seconds) for size, seconds in values.items()}


def spread(arguments):
    """Pairs of runs of each way, alternating: median over batch sizes of the relative difference of medians.

    "Shape" is the same after each run is divided by its median over batch sizes: what remains when the host's level during a run does not count.
    """
    ways = {"randomised, corrected": ("random", True), "ascending, raw": ("ascending", False)}
    runs = {way: [] for way in ways}
    for turn in range(2 * arguments.spreads):
        for way, (order, corrected) in ways.items():
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                finish(local(folder, "--workload", "linear", "--threads", "1", "--batch-sizes", "1-32", "--budget", "60s", "--visit-order", order, "--strategy", "dense", "--seed", str(turn)))
                runs[way].append(medians(folder, corrected))
    results = {}
    for way, all_runs in runs.items():
        pairs = list(zip(all_runs[::2], all_runs[1::2]))
        levels = [difference(one, other) for one, other in pairs]
        shapes = [difference(shape(one), shape(other)) for one, other in pairs]
        results[way] = {"pairs": levels, "pairs_shape": shapes}
        each = ", ".join(f"{100 * value:.2f}" for value in levels)
        line(f"spread of two runs, {way}", f"{100 * statistics.median(levels):.2f} % (median of {len(levels)} pairs: {each})", "<= 3 %" if way.startswith("random") else "")
        line(f"the same of the shape alone, {way}", f"{100 * statistics.median(shapes):.2f} %", "")
    for key, words in (("pairs", "spread"), ("pairs_shape", "the same of the shape alone")):
        random_spread, ascending_spread = (statistics.median(results[way][key]) for way in ways)
        line(f"{words}, randomised over ascending", f"{random_spread / ascending_spread:.2f}", "clearly below 1")
    return results


def shape(run):
    """A run's medians relative to their own median."""
    level = statistics.median(run.values())
    return {size: seconds / level for size, seconds in run.items()}


def difference(one, other):
    """Median over batch sizes of the relative difference of two runs."""
    both = sorted(one.keys() & other.keys())
    return statistics.median(abs(one[size] - other[size]) / ((one[size] + other[size]) / 2) for size in both)


def stop(_arguments):
    """From the signal to the end of the process, in mid-round."""
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as name:
            process = local(pathlib.Path(name), "--workload", "cnn:image=64", "--batch-sizes", "1-16", "--budget", "60s")
            for text in process.stderr:
                if "round 1 done" in text:
                    break
            time.sleep(1)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            times.append(time.monotonic() - began)
    line("Ctrl-C in mid-sweep to the end of the command", f"{max(times):.2f} s (most of {len(times)})", "<= 1 s")
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(NAMES), help="which figures, separated by commas")
    parser.add_argument("--output", type=pathlib.Path, help="write the figures as JSON, too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain-allocator", action="store_true", help="leave glibc's defaults to the Python loop")
    parser.add_argument("--pairs", type=int, default=41, help="pairs of blocks behind each ratio")
    parser.add_argument("--spreads", type=int, default=4, help="pairs of runs behind the spread, four minutes each")
    parser.add_argument("--loop", default=str(DEBUG / "examples" / "loop"))
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - set(NAMES):
        parser.error(f"unknown figures {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    print(f"{datetime.date.today()} $ {shlex.join(['python', *sys.argv])}")
    line("what", "measured", "goal")
    results = {name: globals()[name](arguments) for name in NAMES if name in wanted}
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
