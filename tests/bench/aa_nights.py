#!/usr/bin/env python3
"""Nights of a fleet in which nothing changes: the processors of this machine, two small networks, one night after the other. What the judge says of them is
noise; the table shows how much of it there is.

    python3 tests/bench/aa_nights.py --nights 20 --output aa

Starts a coordinator and an agent on loopback in a folder of its own, ends them, and prints Markdown. Each night has a date of its own, a day after the last."""

import argparse
import collections
import datetime
import json
import math
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SCHEDULE = "aa"
WORKLOADS = ["linear", "cnn:image=32"]


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    options.add_argument("--nights", type=int, default=20)
    options.add_argument("--batch-sizes", default="2-32:2")
    options.add_argument("--budget", default="2m")
    options.add_argument("--binaries", type=pathlib.Path, default=pathlib.Path("target/debug"))
    options.add_argument("--output", type=pathlib.Path, help="folder for the pages of `batchstep nightly report`")
    options = options.parse_args()
    # Who ends this ends what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    binaries = options.binaries.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        clock = folder / "clock"
        day = datetime.datetime(2026, 1, 1, 2, 0, tzinfo=datetime.timezone.utc)
        clock.write_text(day.isoformat())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        environment = dict(os.environ, BATCHSTEP_COORDINATOR="http://" + address, BATCHSTEP_NIGHTS_CLOCK=str(clock), BATCHSTEP_USER="aa")
        logs = open(folder / "log", "w")

        def start(program, *arguments):
            return subprocess.Popen([binaries / program, *arguments], env=environment, stderr=logs, stdout=logs)

        def ask(*arguments, codes=(0,)):
            ended = subprocess.run([binaries / "batchstep", *arguments], env=environment, capture_output=True, text=True)
            if ended.returncode not in codes:
                sys.exit("batchstep %s ended with %d: %s" % (" ".join(arguments), ended.returncode, ended.stderr))
            return ended.stdout

        running = [start("batchstep", "serve", "--listen", address, "--data-dir", str(folder / "data"))]
        try:
            wait(lambda: subprocess.run([binaries / "batchstep", "sweep", "list"], env=environment, capture_output=True).returncode == 0)
            running.append(start("batchstep-agent", "run", "--coordinator", "http://" + address, "--state-dir", str(folder / "agent")))
            wait(lambda: "online" in ask("agents", "list", "--format", "json"))
            flags = [flag for workload in WORKLOADS for flag in ("--workload", workload)]
            ask("schedule", "add", SCHEDULE, "--cron", "0 0 1 1 *", "--tz", "UTC", "--devices", "cpu", "--batch-sizes", options.batch_sizes,
                "--budget", options.budget, "--precision", "0.3", *flags)
            rows = collections.defaultdict(list)
            verdicts = collections.Counter()
            for night in range(1, options.nights + 1):
                day += datetime.timedelta(days=1)
                clock.write_text(day.isoformat())
                ask("schedule", "run-now", SCHEDULE, "--wait", codes=(0, 1, 3, 4))
                document = json.loads(ask("nightly", "show", str(night), "--format", "json", codes=(0, 1, 3, 4)))
                for series in document["series"]:
                    kinds = [verdict["kind"] for verdict in series["verdicts"]]
                    rows[series["workload"]].append((night, series["seconds"], kinds))
                    verdicts.update(kinds)
                print("night %d: %s" % (night, ", ".join("%s %s" % (row["workload"], row["verdicts"][0]["kind"]) for row in document["series"])), file=sys.stderr)
            alarms = json.loads(ask("regressions", "--since", "2025-12-01", "--format", "json", codes=(0, 1, 3, 4)))["alarms"]
            if options.output:
                ask("nightly", "report", "--output", str(options.output.resolve()))
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(timeout=60)
    print("| workload | nights measured | spread of nights (1.4826 MAD) | verdicts |\n|---|---:|---:|---|")
    for workload, nights in rows.items():
        levels = [math.log(seconds) for _, seconds, _ in nights if seconds]
        spread = "–"
        if levels:
            middle = statistics.median(levels)
            spread = "%.2f %%" % (148.26 * statistics.median(abs(level - middle) for level in levels))
        counts = collections.Counter(kind for _, _, kinds in nights for kind in kinds)
        words = ", ".join("%d %s" % (count, kind) for kind, count in counts.most_common())
        print("| %s | %d | %s | %s |" % (workload, len(levels), spread, words))
    others = sum(count for kind, count in verdicts.items() if kind not in ("normal", "learning"))
    print("\n%d verdicts other than normal and learning in %d series-nights; %d alarms." % (others, sum(map(len, rows.values())), len(alarms)))


def wait(is_so):
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    sys.exit("nothing has come up within a minute")


if __name__ == "__main__":
    main()
