#!/usr/bin/env bash
# Results on real data: SmolLM2-135M against two adapters on real data, all official PubMedQA items and the held-out rows.
#   gpu_real.sh train OUT PUBMEDQA_JSON TRAIN_JSONL TEST_JSONL [medbench options]   both adapters at once, one GPU
#   gpu_real.sh score OUT PUBMEDQA_JSON TRAIN_JSONL TEST_JSONL [medbench options]   into OUT/results.json and the like
# `reasoning` is trained on the reasoning rows under headings; `pubmedqa` on PubMedQA's items outside the official test
# ids, abstract and question, answered by the label and the conclusion. Both are scored in all four settings of PubMedQA.
set -euo pipefail
stage=$1 out=$2 pubmedqa=$3 train=$4 test=$5
shift 5
work=$out/work
mkdir -p "$work"
medbench() { python3 -m harness "$@"; }
common=(--set model.base=smollm2-135m-instruct --set trainer.backend=trl --set data.reasoning_rows=null
  --set "data.reasoning={source: $test}" --set "data.pubmedqa={source: $pubmedqa}")
reasoning=(--recipe llama31-8b-huatuo --set name=smollm2-reasoning "${common[@]}" --set "data.train={source: $train}")
case $stage in
train)
  medbench train "${reasoning[@]}" "$@" --out "$work/reasoning" >"$work/reasoning.log" 2>&1 &
  medbench train --recipe llama3-8b-pubmedqa --set name=smollm2-pubmedqa "${common[@]}" --set trainer.max_length=1024 \
    --set "data.train={source: $pubmedqa, kind: pubmedqa-abstract, exclude_ids: pubmedqa-official-test}" \
    "$@" --out "$work/pubmedqa" >"$work/pubmedqa.log" 2>&1 || { tail -20 "$work/pubmedqa.log"; exit 1; }
  wait $! || { tail -20 "$work/reasoning.log"; exit 1; }
  tail -n 3 "$work"/*.log
  ;;
score)
  tasks=medbench_pubmedqa,medbench_pubmedqa_question,medbench_pubmedqa_cot,medbench_pubmedqa_question_cot
  medbench score "${reasoning[@]}" --set "report.title=SmolLM2-135M on real data" --set report.samples=0 \
    --models "base,reasoning=$work/reasoning/adapter,pubmedqa=$work/pubmedqa/adapter" \
    --tasks "$tasks,medbench_perplexity,medbench_generation" "$@" --out "$work/score"
  medbench report "$work/score"
  # Without the folders of this machine; the answers, whose questions are not ours to copy, stay out of it.
  for file in results.json report.md; do
    sed -e "s#$work/##g" -e "s#$(dirname "$pubmedqa")/##g" -e "s#$(dirname "$train")/##g" -e "s#$(dirname "$test")/##g" \
      "$work/score/$file" >"$out/$file"
  done
  ;;
esac
