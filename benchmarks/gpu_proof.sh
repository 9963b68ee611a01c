#!/usr/bin/env bash
# Runs the main job on a GPU and writes what it measured: gpu_proof.sh OUT PUBMEDQA_JSON TRAIN_JSONL TEST_JSONL
#   1. the quickstart; 2. SmolLM2-135M trained on real rows with an 8B recipe's settings, scored on all official items;
#   3. that recipe on an 8B shape with random weights, a few steps at its batch and sequence length (memory and speed only).
set -uo pipefail
out=$1 pubmedqa=$2 train=$3 test=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
medbench() { python3 -m harness "$@"; }
keep() { # without the folders of this machine
  for pair in results.json:json report.md:md; do
    sed -e "s#$work/##g" -e "s#$(dirname "$pubmedqa")/##g" "$work/$1/${pair%:*}" >"$out/$1.${pair#*:}"
  done
}
data=(--set data.reasoning_rows=null --set "data.train={source: $train}" --set "data.reasoning={source: $test}"
  --set "data.pubmedqa={source: $pubmedqa}")

medbench run --out "$work/quickstart" && keep quickstart
medbench run --recipe llama31-8b-huatuo --set name=smollm2-real --set model.base=smollm2-135m-instruct "${data[@]}" \
  --set "report.title=SmolLM2-135M on real rows" --out "$work/smollm2-real" && keep smollm2-real
tokenizer=$(python3 -c 'from training.models.quickstart_model import quickstart_model; print(quickstart_model())')
python3 benchmarks/random_shape.py "$tokenizer" "$work/base-8b" --shape llama-8b
medbench run --recipe llama31-8b-huatuo --set name=llama8b-random --set "model.base=$work/base-8b" "${data[@]}" \
  --set trainer.epochs=null --set trainer.max_steps=8 --limit 24 --set scoring.max_new_tokens=64 \
  --set "report.title=8B shape with random weights, memory and speed only" --out "$work/llama8b-random" && keep llama8b-random
