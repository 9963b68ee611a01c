#!/usr/bin/env bash
# All GPU measurements on a machine without a network, which runs commands of ten minutes at most.
#   gpu_offline.sh setup STAGED   installs STAGED/*.whl (cut files joined), clones STAGED/all.bundle (branches main and old)
#   gpu_offline.sh start SECONDS  starts gpu_all.sh in the background; STAGES, VARIANTS and the like are passed on
#   gpu_offline.sh wait SECONDS OUT  waits until it ends, shows how far it is, and packs the results into OUT/res.tgz
#   gpu_offline.sh stop           ends all that it started, before `start` with other stages
# STAGED has data/ too, see gpu_all.sh. Stages that ended keep their results; a machine that is slow needs fewer of them.
set -euo pipefail
keep=${KEEP:-$HOME/keep} results=${RESULTS:-/tmp/medbench-gpu-results}
if [ "$1" = setup ]; then
  staged=$2
  mkdir -p "$keep"
  for first in "$staged"/*.cut-000; do
    [ -e "$first" ] && cat "${first%.cut-000}".cut-* >"${first%.cut-000}" && rm "${first%.cut-000}".cut-*
  done
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$keep/site" "$staged"/*.whl
  for branch in main old; do git clone -q "$staged/all.bundle" "$keep/$branch" -b "$branch"; done
  cp -r "$staged/data" "$keep/data"
  echo "$staged" >"$keep/wheels" # the quickstart's weights are installed from there
fi
# The bytecode of a read-only installation is kept too, or every process compiles it anew.
export PYTHONPATH=$keep/site PIP_FIND_LINKS=$(cat "$keep/wheels") PYTHONPYCACHEPREFIX=$keep/bytecode
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 PIP_NO_INDEX=1 MEDBENCH_HOME=$keep/home WORK=$keep/work OLD=$keep/old
cd "$keep/main"
case $1 in
setup)
  git log -1 --format='%h %s'
  python3 -c "
import torch, transformers, peft, trl, bitsandbytes, datasets, lm_eval
from training.models.quickstart_model import quickstart_model
print(quickstart_model(print), torch.__version__, transformers.__version__)"
  ;;
start)
  mkdir -p "$results"
  rm -f "$results/done"
  setsid nohup bash -c "bash benchmarks/gpu_all.sh $results $keep/data $2; touch $results/done" >"$results/start.log" 2>&1 &
  echo $! >"$results/session"
  ;;
stop) pkill -s "$(cat "$results/session")" || true ;;
wait)
  end=$((SECONDS + $2))
  while [ "$SECONDS" -lt "$end" ] && [ ! -f "$results/done" ]; do sleep 2; done
  cat "$results/all.log" || true
  tail -n 3 "$results"/*.log | cut -c1-300
  tar czf "$3/res.tgz" --exclude=work --exclude='*.safetensors' -C "$results" .
  ;;
esac
