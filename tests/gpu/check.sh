#!/usr/bin/env bash
# Everything that needs a real GPU, in one call on a machine with one: no cargo there, a PyTorch of libtorch's version is enough.
#
#   on the build machine:  tests/gpu/pack                        (release, stripped the binaries into .carry/)
#   on the GPU machine:    tests/gpu/check.sh [BINARIES=.carry] [RESULTS=gpu-results]
#
# Checks: device facts against nvidia-smi; TF32 on and off; a real out-of-memory as a result; sweeps; iteration time beside a Python loop.
# Prints one line per check, "ok" or "WRONG", and exits with the number of wrong ones. Fifteen sweeps of BUDGET=20s each, then the ratio.
set -uo pipefail
cd "$(dirname "$0")/../.."

binaries=$(realpath "${1:-.carry}")
results=${2:-gpu-results}
budget=${BUDGET:-20s}
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

sweep() { # sweep NAME OPTIONS..
  local folder=$1
  shift
  batchstep local --devices gpu --budget "$budget" --data-dir "$work/data-$folder" --output "$results/$folder" --format json "$@" \
    >"$results/$folder.json" 2>"$results/$folder.log"
}
field() { python3 -c 'import json, sys; row = json.load(open(sys.argv[1]))["rows"][0]; print(eval(sys.argv[2], {"row": row}))' "$@"; }

# --- sweeps: the article's network and the single layers
for workload in cnn linear matmul conv transformer resnet50; do
  for dtype in f32 bf16; do
    sweep "$workload-$dtype" --workload "$workload" --dtype "$dtype"
    status=$?
    python3 scripts/check_report.py "$results/$workload-$dtype" >/dev/null 2>&1 || status=1
    [ "$status" = 3 ] && status=0
    check "sweep $workload $dtype" "$status" "$(field "$results/$workload-$dtype.json" '(row["verdict"], row["step"], row["confidence"], row["reason"])' 2>&1 | tail -n 1)"
  done
done

# --- TF32 must change the time of a large product, and f32 must not be TF32
sweep tf32-off --workload matmul:rows=1024,k=4096,n=4096 --batch-sizes 1-16 --dtype f32
sweep tf32-on --workload matmul:rows=1024,k=4096,n=4096 --batch-sizes 1-16 --dtype tf32
off=$(field "$results/tf32-off.json" 'row["best_throughput"]["samples_per_second"]')
on=$(field "$results/tf32-on.json" 'row["best_throughput"]["samples_per_second"]')
python3 -c "import sys; sys.exit(0 if $on > 2 * $off else 1)"
check "TF32 on is more than twice as fast as off" $? "$off and $on samples/s"

# --- a real out-of-memory bounds the sweep: another process holds half of the memory, which the worker's own limit (90 % of all of it) does not foresee
python3 -c '
import sys, torch
free, total = torch.cuda.mem_get_info()
held = torch.empty(total // 2, dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.read()' <"$work/hold" >"$work/held" &
holder=$!
exec 8>"$work/hold"
for _ in $(seq 60); do grep -q held "$work/held" && break; sleep 1; done
sweep oom --workload matmul:rows=65536,k=16384,n=16384 --batch-sizes 1,2,3,4,5,6,7,8,10,12,14,16,20,24,28,32
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

# --- our iteration time beside a Python loop of the same network
python3 tests/bench/figures.py --only ratio --device cuda --loop "$binaries/loop" --output "$results/ratio.json" | tee "$results/ratio.txt"
check "ratio to the Python loop" "${PIPESTATUS[0]}" "see ratio.txt"

echo "$wrong wrong; results in $results"
exit "$wrong"
