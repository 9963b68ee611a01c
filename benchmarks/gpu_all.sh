#!/usr/bin/env bash
# All that is measured on one GPU in one go, the most important first: gpu_all.sh OUT DATA [SECONDS]
# DATA has pubmedqa/ori_pqal.json, medical_o1/train_data.jsonl and test_data.jsonl. A stage whose usual time is not left
# of SECONDS (1500) is left out; each has a time limit, and its results are in OUT as soon as it ends. OLD=FOLDER, a
# checkout, adds the real run with that commit. Stages joined by + run at once, since none of them is timed. Without
# vLLM: STAGES="make+train stock ours restart training many shapes real step".
set -uo pipefail
out=$1 data=$2 limit=${3:-1500}
work=${WORK:-/tmp/medbench-gpu-speed}
stages=${STAGES:-make+train stock ours restart vllm warm judge training many shapes real step agree}
device=${DEVICE:-cuda} shape=${SHAPE:-llama-8b}
pubmedqa=$data/pubmedqa/ori_pqal.json rows=$data/medical_o1/train_data.jsonl test=$data/medical_o1/test_data.jsonl
mkdir -p "$out" "$work"
here=$PWD
export WORK=$work PYTHONPYCACHEPREFIX="${PYTHONPYCACHEPREFIX:-$work/pycache}"

stage() { # NAME SECONDS COMMAND ...
  local name=$1 usual=$2 started=$SECONDS code
  shift 2
  if [ $((SECONDS + usual)) -gt "$limit" ]; then
    echo "$(date +%T) $name: left out, $((limit - SECONDS)) s are left" | tee -a "$out/all.log"
    return 1
  fi
  timeout $((usual * 2)) "$@" >"$out/$name.log" 2>&1
  code=$?
  echo "$(date +%T) $name: exit $code, $((SECONDS - started)) s" | tee -a "$out/all.log"
}
speed() { bash benchmarks/gpu_speed.sh "$out/speed" "$1" -- --device "$device" --shape "$shape" --pubmedqa "$pubmedqa" --reasoning "$test"; }
train() { bash benchmarks/gpu_real.sh train "$out/real" "$pubmedqa" "$rows" "$test" --set trainer.epochs="${EPOCHS:-0.3}"; }
score() { # CHECKOUT FOLDER
  mkdir -p "$2" && cp -r "$out/real/work" "$2/" && rm -rf "$2/work/score" && cd "$1" || return 1
  local started=$EPOCHREALTIME
  PYTHONPATH=$1:${PYTHONPATH#"$here":} bash benchmarks/gpu_real.sh score "$2" "$pubmedqa" "$rows" "$test" ${LIMIT:+--limit "$LIMIT"}
  local code=$?
  python3 -c "print('whole command:', $EPOCHREALTIME - $started, 's')" && cd "$here" && rm -rf "$2/work" && return $code
}
real() {
  for turn in 1 2; do
    [ -n "${OLD:-}" ] && score "$OLD" "$out/real-old-$turn"
    score "$here" "$out/real-new-$turn" || return 1
  done
}
training() {
  python3 -m benchmarks.gpu_training "$out/training" "$work/llama-8b" "$rows" --steps "${STEPS:-12}" \
    --variants "${VARIANTS:-trl,unsloth-defaults,unsloth,whole-step,trl-as-it-comes}"
}
judge() {
  [ -d "$work/judged" ] || python3 -m medbench score --models base --tasks medbench_generation --out "$work/judged" || return 1
  local model
  model=$(python3 -c "from training.models.quickstart_model import quickstart_model as q; print(q())")
  python3 -m vllm.entrypoints.cli.main serve "$model" --served-model-name judge --port 8012 --max-model-len 4096 --gpu-memory-utilization 0.3 \
    --kv-cache-memory-bytes 8000000000 &
  local server=$!
  for _ in $(seq 300); do curl -sf localhost:8012/health >/dev/null && break; kill -0 $server || break; sleep 1; done
  python3 -m benchmarks.judge_proof "$out/judge.json" --run "$work/judged" --url http://127.0.0.1:8012/v1 --model judge
  local code=$?
  kill $server
  return $code
}
export -f speed train score real training judge
export out work device shape pubmedqa rows test here
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
declare -A usual=([make]=90 [stock]=200 [ours]=90 [restart]=60 [vllm]=150 [step]=40 [train]=90 [real]=200 [many]=90 [training]=350
  [judge]=200 [shapes]=180 [agree]=150 [warm]=110)
for group in $stages; do
  for name in ${group//+/ }; do
    stage "$name" "${usual[$name]:-100}" bash -c "$(declare -F "$name" || echo "speed $name")" &
  done
  wait
done
