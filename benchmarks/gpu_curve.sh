#!/usr/bin/env bash
# Learning curves of SmolLM2-135M on real rows, one GPU: checkpoints every 20 steps, all scored in one pass.
#   gpu_curve.sh OUT PUBMEDQA_JSON TRAIN_JSONL TEST_JSONL [RUN ...]      into OUT/curve, OUT/overfitter and OUT/unsloth
# `curve` trains on all rows for three epochs as the recipe does. `overfitter` is planted: 60 of the rows, again and again
# at five times the rate; 60 of 190 held-out rows choose its checkpoint by perplexity, the others are reported.
# `unsloth` is a short training of the other backend whose checkpoint is chosen likewise.
set -euo pipefail
out=$1 pubmedqa=$2 train=$3 test=$4
shift 4
runs=("$@")
[ "$#" -gt 0 ] || runs=(curve overfitter unsloth)
work=$out/work
mkdir -p "$work"
medbench() { python3 -m harness "$@"; }
common=(--recipe llama31-8b-huatuo --set model.base=smollm2-135m-instruct --set "data.train={source: $train}"
  --set trainer.optimizer=adamw_torch --set trainer.gradient_checkpointing=false
  --set "data.pubmedqa={source: $pubmedqa}" --set trainer.keep_checkpoints=all --set report.samples=0)
curve() {
  medbench run "${common[@]}" --set name=smollm2-curve --set "report.title=Learning curve of SmolLM2-135M on 450 real rows" \
    --set trainer.backend=trl --set trainer.save_steps=20 --set trainer.eval_steps=20 --set data.reasoning_rows=null \
    --set "data.validation={source: $test}" --set "data.reasoning={source: $test}" \
    --models 'base,adapter@*' --out "$work/curve"
}
overfitter() {
  medbench run "${common[@]}" --set name=smollm2-overfitter --set "report.title=A planted overfitter" \
    --set trainer.backend=trl --set "data.train={source: $train, rows: 60}" --set data.reasoning_rows=190 \
    --set trainer.epochs=null --set trainer.max_steps=160 --set trainer.learning_rate=1e-3 --set trainer.save_steps=20 \
    --set trainer.score_steps=20 --set trainer.choose_by=medbench_perplexity/perplexity --set trainer.validation_items=60 \
    --tasks medbench_perplexity --models 'base,adapter,adapter@*' --out "$work/overfitter"
}
unsloth() {
  medbench run "${common[@]}" --set name=smollm2-unsloth --set "report.title=The other backend" \
    --set trainer.backend=unsloth --set trainer.epochs=null --set trainer.max_steps=12 --set trainer.save_steps=4 \
    --set trainer.choose_by=medbench_perplexity/perplexity --set data.reasoning_rows=50 \
    --tasks medbench_perplexity --models 'base,adapter,adapter@*' --out "$work/unsloth"
}
declare -A jobs
for run in "${runs[@]}"; do
  "$run" >"$work/$run.log" 2>&1 &
  jobs[$!]=$run
done
failed=0
for job in "${!jobs[@]}"; do
  wait "$job" || { failed=1; tail -30 "$work/${jobs[$job]}.log"; }
done
sealed='import sys; from pathlib import Path; from reports.document.reading import read_results, write_results
write_results(Path(sys.argv[1]), read_results(Path(sys.argv[1])))'
for run in "${runs[@]}"; do # without the folders of this machine
  mkdir -p "$out/$run"
  for file in results.json report.md; do
    [ -f "$work/$run/$file" ] && sed -e "s#$work/##g" -e "s#$(dirname "$pubmedqa")/##g" -e "s#$(dirname "$train")/##g" \
      -e "s#$(dirname "$test")/##g" "$work/$run/$file" >"$out/$run/$file"
  done
  python3 -c "$sealed" "$out/$run" # the checksum of what has no folders
done
exit "$failed"
