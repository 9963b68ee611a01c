#!/usr/bin/env bash
# Times both engines on a GPU against stock lm-eval: gpu_speed.sh OUT [STAGE ...] [-- further arguments of benchmarks.gpu_speed]
# Without stages all of them, in about 14 minutes. In two calls on one machine, which keep what is in WORK:
#   gpu_speed.sh OUT make stock ours restart step many   and   gpu_speed.sh OUT vllm warm agree
# OUT gets gpu_speed.json, with everything that was measured so far, and gpu_speed.log.
set -uo pipefail
out=$1
shift
stages=()
while [ $# -gt 0 ] && [ "$1" != "--" ]; do
  stages+=("$1")
  shift
done
[ $# -gt 0 ] && shift
[ ${#stages[@]} -eq 0 ] && stages=(make stock ours restart step many vllm warm agree shapes)
work=${WORK:-/tmp/medbench-gpu-speed}
results=$work/results
mkdir -p "$out" "$results"
# Without it a read-only installation is compiled anew by every process, on all sides.
export PYTHONPYCACHEPREFIX="${PYTHONPYCACHEPREFIX:-$work/pycache}"
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
for stage in "${stages[@]}" table; do
  started=$SECONDS
  python3 -m benchmarks.gpu_speed "$stage" --work "$work" --out "$results" "$@" >"$results/$stage.log" 2>&1
  echo "== $stage: exit $?, $((SECONDS - started)) s"
  tr '\r' '\n' <"$results/$stage.log" | grep -v '^ *$' | tail -n 40 >>"$out/gpu_speed.log"
  [ "$stage" = table ] && cp "$results/gpu_speed.json" "$out/" && tail -n 80 "$results/table.log"
done
grep -h -i -E "^[A-Za-z.]*(Error|Exception)|not be recorded" "$results"/*.log | sort | uniq -c | tail -n 20
