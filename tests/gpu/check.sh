#!/usr/bin/env bash
# Everything that needs a real GPU, in one call on a machine with one: no cargo there, a PyTorch of libtorch's version is enough.
#
#   on the build machine:  tests/gpu/pack                        (release, stripped the binaries into .carry/)
#   on the GPU machine:    tests/gpu/check.sh [BINARIES=.carry] [RESULTS=gpu-results]
#
# Checks: the inventory field by field against nvidia-ml-py and nvidia-smi, and what reading it costs; TF32 on and off; a real out-of-memory as a result; sweeps; what the hardware predicts about the step;
# iteration time beside a Python loop. Prints one line per check, "ok" or "WRONG", and exits with the number of wrong ones. A prediction that
# does not come true is "REFUTED", which is a finding and not an error. Twelve sweeps of BUDGET=20s, two of TF32_BUDGET=8s, one of up to 20 s, and seven of
# PREDICTION_BUDGET=40s; with PAIRS=41 each of six ratios takes a minute.
# PARTS="sweeps tf32 oom predictions ratio" picks some where a call may not take that long, and SWEEPS="cnn linear matmul conv transformer resnet50" some sweeps; the facts are
# always checked.
set -uo pipefail
cd "$(dirname "$0")/../.."

binaries=$(realpath "${1:-.carry}")
results=${2:-gpu-results}
budget=${BUDGET:-20s}
prediction_budget=${PREDICTION_BUDGET:-40s}
tf32_budget=${TF32_BUDGET:-8s}
pairs=${PAIRS:-41}
parts=" ${PARTS:-sweeps tf32 oom predictions ratio} "
mkdir -p "$results"
results=$(realpath "$results")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/hold"
wrong=0

check() { # check WHAT STATUS DETAIL
  if [ "$2" = 0 ]; then printf 'ok     %s: %s\n' "$1" "$3"; else
    printf 'WRONG  %s: %s\n' "$1" "$3"
    wrong=$((wrong + 1))
  fi
}

wanted() { [[ $parts == *" $1 "* ]]; }

torch_lib=$(python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || { echo "python3 has no torch" >&2; exit 99; }
export LD_LIBRARY_PATH=$torch_lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH=$binaries:$PATH
{
  date -u +'%Y-%m-%d %H:%M UTC'
  nvidia-smi --query-gpu=name,uuid,driver_version,memory.total --format=csv
  python3 -c 'import torch; print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version())'
  batchstep --version
} | tee "$results/machine.txt"

# --- what the worker and the doctor say about the device, against nvidia-smi and nvidia-ml-py
batchstep-worker --describe >"$results/describe.json" 2>"$work/describe.err"
check "worker --describe" $? "$(tr -d '\n' <"$results/describe.json" | cut -c1-200) $(tail -n 1 "$work/describe.err")"
batchstep-agent doctor --state-dir "$work/doctor" >"$results/doctor.txt" 2>&1
check "doctor" $? "$(tail -n 1 "$results/doctor.txt")"
name=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
grep -q "$name" "$results/describe.json"
check "device name as nvidia-smi's" $? "$name"
python3 - "$results/describe.json" <<'PY'
import json, sys, torch
described = json.load(open(sys.argv[1]))
properties = torch.cuda.get_device_properties(0)
ours = described["devices"][0]
assert ours["multiprocessors"] == properties.multi_processor_count, (ours, properties)
assert ours["compute_capability"] == f"{properties.major}.{properties.minor}", (ours, properties)
PY
check "SM count and compute capability as PyTorch's" $? ""

# --- the inventory, every field that NVIDIA's own clients read, too; and that the GPU is watched while a sweep runs on it
batchstep-agent inventory --format json >"$results/inventory.json" 2>"$work/inventory.err"
check "inventory" $? "$(tail -n 1 "$work/inventory.err")"
nvidia-smi -q -x >"$results/nvidia-smi.xml"
PYTHONPATH=$binaries/python${PYTHONPATH:+:$PYTHONPATH} tests/gpu/compare_inventory.py "$results/inventory.json" "$results/nvidia-smi.xml" \
  >"$results/inventory.txt"
check "inventory as nvidia-ml-py and nvidia-smi read it" $? "$(tail -n 2 "$results/inventory.txt" | tr '\n' ';')"
grep DIFFERS "$results/inventory.txt"
cost >"$results/inventory-cost.txt" 2>&1
check "cost of reading it" $? ""
cat "$results/inventory-cost.txt"

sweep() { # sweep NAME OPTIONS..
  local folder=$1
  shift
  batchstep local --devices gpu --budget "$budget" --data-dir "$work/data-$folder" --output "$results/$folder" --format json "$@" \
    >"$results/$folder.json" 2>"$results/$folder.log"
}
field() { python3 -c 'import json, sys; row = json.load(open(sys.argv[1]))["rows"][0]; print(eval(sys.argv[2], {"row": row}))' "$@"; }

# --- sweeps: the article's network and the single layers
if wanted sweeps; then
for workload in ${SWEEPS:-cnn linear matmul conv transformer resnet50}; do
  for dtype in f32 bf16; do
    sweep "$workload-$dtype" --workload "$workload" --dtype "$dtype"
    status=$?
    python3 scripts/check_report.py "$results/$workload-$dtype" >/dev/null 2>&1 || status=1
    [ "$status" = 3 ] && status=0
    check "sweep $workload $dtype" "$status" "$(field "$results/$workload-$dtype.json" '(row["verdict"], row["step"], row["confidence"], row["reason"])' 2>&1 | tail -n 1)"
  done
done
fi

# --- every timed block of a sweep on a watched GPU tells its clock
if wanted sweeps; then
told=$(python3 - "$results/$workload-f32/blocks.csv" <<'PY'
import csv, sys
blocks = list(csv.DictReader(open(sys.argv[1])))
told = sum(1 for block in blocks if block["sm_clock_mhz"] and block["temperature_celsius"] and block["throttle_reasons"] != "")
foreign = {block["foreign_processes"] for block in blocks}
print(f"{told} of {len(blocks)} blocks; foreign processes {sorted(foreign)}")
sys.exit(0 if told * 10 >= len(blocks) * 9 else 1)
PY
)
check "blocks tell clock, temperature and clock events" $? "$told"
fi

# --- TF32 must change the time of a large product, and f32 must not be TF32
if wanted tf32; then
sweep_budget=$budget
budget=$tf32_budget
sweep tf32-off --workload matmul:rows=1024,k=4096,n=4096 --batch-sizes 1-16 --dtype f32
sweep tf32-on --workload matmul:rows=1024,k=4096,n=4096 --batch-sizes 1-16 --dtype tf32
off=$(field "$results/tf32-off.json" 'row["best_throughput"]["samples_per_second"]')
on=$(field "$results/tf32-on.json" 'row["best_throughput"]["samples_per_second"]')
python3 -c "import sys; sys.exit(0 if $on > 2 * $off else 1)"
check "TF32 on is more than twice as fast as off" $? "$off and $on samples/s"
budget=$sweep_budget
fi

# --- a real out-of-memory bounds the sweep: another process holds half of the memory, which the worker's own limit (90 % of all of it) does not foresee.
# Each sample is a product of 4 GiB that takes milliseconds, so that memory ends before the time that the budget allows.
if wanted oom; then
python3 -c '
import sys, torch
free, total = torch.cuda.mem_get_info()
held = torch.empty(total // 2, dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()' <"$work/hold" >"$work/held" &
holder=$!
exec 8>"$work/hold"
for _ in $(seq 60); do grep -q held "$work/held" && break; sleep 1; done
sweep_budget=$budget
budget=20s
BATCHSTEP_SHARE_GPUS=true sweep oom --workload matmul:rows=65536,k=64,n=16384 --batch-sizes 1,2,3,4,5,6,7,8,10,12,14,16,20,24,28,32
budget=$sweep_budget
exec 8>&-
wait "$holder"
bound=$(python3 - "$work/data-oom/coordinator.db" <<'PY'
import sqlite3, sys
found = sqlite3.connect(sys.argv[1]).execute("SELECT batch_size, message FROM visit_failure WHERE kind = 'out_of_memory' ORDER BY batch_size").fetchone()
print("%s: %s" % found if found else "none")
PY
)
[ "$bound" != none ] && [ "$(field "$results/oom.json" 'row["out_of_memory_at"]')" != None ]
check "out of memory is a result" $? "at batch size $bound"
fi

# --- what the hardware predicts: tiles are 128 or 256 rows high, and a wave is one tile on each SM
if wanted predictions; then
predict() { # predict WHAT HELD DETAIL
  if [ "$2" = 0 ]; then printf 'held   %s: %s\n' "$1" "$3"; else printf 'REFUTED %s: %s\n' "$1" "$3"; fi
}
answer() { field "$results/$1.json" '(row["verdict"], row["step"], row["confidence"], row["smallest_detectable_jump"])' 2>&1 | tail -n 1; }
holds() { # holds NAME EXPRESSION over row and sms; a sweep that gave no row is no prediction come true
  python3 -c 'import json, sys
row = json.load(open(sys.argv[1]))["rows"][0]
sys.exit(0 if eval(sys.argv[2], {"row": row, "sms": int(sys.argv[3])}) else 1)' "$results/$1.json" "$2" "$sms" 2>/dev/null
}
sms=$(python3 -c 'import torch; print(torch.cuda.get_device_properties(0).multi_processor_count)')
sweep_budget=$budget
budget=$prediction_budget
# Listed batch sizes are all measured unless the sweep may choose among them.
foretold() { sweep "$@" --strategy adaptive; }

# As many column tiles as SMs: each further tile of rows is a wave of its own, and long enough that the host is ahead of it.
foretold one-wave --workload "matmul:rows=1,k=8192,n=$((sms * 128))" --dtype bf16 --mode infer --batch-sizes 16-1536:16
holds one-wave 'row["step"] in (128.0, 256.0)'
predict "matmul with $sms x 128 columns steps every 128 or 256 rows" $? "$(answer one-wave)"

# Independent tiles, 1, 2 and 4 for each sample: the period is SMs times occupancy over tiles, in the ratio 4 : 2 : 1.
cat >"$work/models.py" <<'PY'
import sys
import torch


class Tiles(torch.nn.Module):
    """As many independent products of 128 x 512 by 512 x 128 for each sample as the input has matrices."""

    def __init__(self):
        super().__init__()
        self.right = torch.nn.Parameter(torch.randn(512, 128) / 512**0.5)

    def forward(self, x):
        left = x.reshape(-1, 128, 512)
        return torch.bmm(left, self.right.unsqueeze(0).expand(left.size(0), 512, 128)).mean(dim=(1, 2))


class Elementwise(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x * 1.5 + 0.5)


torch.jit.script(Tiles()).save(f"{sys.argv[1]}/tiles.pt")
torch.jit.script(Elementwise()).save(f"{sys.argv[1]}/elementwise.pt")
torch.jit.script(torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))).save(f"{sys.argv[1]}/mlp.pt")
PY
python3 "$work/models.py" "$work"
check "models for the predictions" $? "$work"
for tiles in 1 2 4; do
  foretold "tiles-$tiles" --workload "torchscript:path=$work/tiles.pt,input=${tiles}x128x512" --mode infer --batch-sizes "$((8 / tiles))-$((2400 / tiles)):$((8 / tiles))"
done
python3 - "$results" <<'PY'
import json, sys
steps = [json.load(open(f"{sys.argv[1]}/tiles-{tiles}.json"))["rows"][0]["step"] for tiles in (1, 2, 4)]
sys.exit(0 if all(steps) and abs(steps[0] / steps[1] - 2) < 0.05 and abs(steps[1] / steps[2] - 2) < 0.05 else 1)
PY
predict "1, 2 and 4 independent tiles a sample step in the ratio 4 : 2 : 1" $? "$(answer tiles-1) $(answer tiles-2) $(answer tiles-4)"

# Work that is not tiled by samples, or too small for the device to fill.
foretold elementwise --workload "torchscript:path=$work/elementwise.pt,input=1048576" --mode infer --batch-sizes 16-128
holds elementwise 'row["verdict"] == "no_step"'
predict "elementwise work has no step" $? "$(answer elementwise)"
foretold tiny-mlp --workload "torchscript:path=$work/mlp.pt,input=64" --mode infer --batch-sizes 1-128
holds tiny-mlp 'row["verdict"] == "no_step"'
predict "a tiny perceptron has no step" $? "$(answer tiny-mlp)"

# The article's 16, a hypothesis for today's devices.
foretold article --workload cnn --batch-sizes 1-96
holds article 'row["step"] == 16.0'
predict "the article's network steps by 16" $? "$(answer article)"
budget=$sweep_budget
fi

# --- our iteration time beside a Python loop of the same network
if wanted ratio; then
python3 tests/bench/figures.py --only ratio --device cuda --pairs "$pairs" --loop "$binaries/loop" --output "$results/ratio.json" | tee "$results/ratio.txt"
check "ratio to the Python loop" "${PIPESTATUS[0]}" "see ratio.txt"
fi

echo "$wrong wrong; results in $results"
exit "$wrong"
