"""Adapters that Unsloth trained with its own chat templates, saved as trainers save them, and how medbench asks them.

python -m benchmarks.gpu_templates OUT.json [--steps 30]

Unsloth trains SmolLM2-135M with each of its templates in a process of its own and saves model and tokenizer; the folder
is scored as Unsloth saves it, as TRL's checkpoint, and with the files that axolotl leaves beside it. Expected: the
prompts that Unsloth's own tokenizer renders, answers that end at its end token, and in float32 the log-likelihoods and
greedy answers of plain transformers + PEFT on those prompts. Needs a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ITEMS, NEW_TOKENS = 12, 48
DEVICE = "cuda"
TEMPLATES = ("chatml", "llama-3", "zephyr", "alpaca")
FORMAT = "thinking-headings"
LAYOUTS = ("unsloth", "trl", "axolotl")


def turns() -> tuple[list[str], list[tuple[str, str]]]:
    """(user turns to score, (user turn, answer) rows to train on), of the synthetic sample data."""
    from tasks.data import DataSource, load_reasoning
    from tasks.formats import get_format

    shape = get_format(FORMAT)
    held_out = load_reasoning(DataSource(source="samples:reasoning_heldout"), seed=42)
    rows = load_reasoning(DataSource(source="samples:reasoning_train"), seed=42)
    return [shape.user_turn(row.question) for row in held_out], [
        (shape.user_turn(row.question), shape.completion(row.reasoning, row.response)) for row in rows
    ]


def train(template: str, out: Path, steps: int) -> None:
    """Train with Unsloth and write what its tokenizer renders beside the adapter; ends the process."""
    import unsloth  # noqa: F401 - before transformers, PEFT and TRL, which it patches
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from unsloth import FastLanguageModel
    from unsloth.chat_templates import get_chat_template

    from training.models.quickstart_model import quickstart_model

    asked, rows = turns()
    base = str(quickstart_model())
    model, tokenizer = FastLanguageModel.from_pretrained(
        base, max_seq_length=1024, load_in_4bit=False, use_exact_model_name=True, local_files_only=True
    )
    model = FastLanguageModel.get_peft_model(model, r=8, lora_alpha=16, random_state=1)
    tokenizer = get_chat_template(tokenizer, chat_template=template)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}], tokenize=False
        )
        for turn, answer in rows
    ]
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"text": texts}),
        args=SFTConfig(
            output_dir=str(out / "trl"),
            max_steps=steps,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            dataset_text_field="text",
            report_to="none",
            save_steps=steps,
            logging_steps=steps,
        ),
    )
    trainer.train()
    model.save_pretrained(str(out / "unsloth"))
    tokenizer.save_pretrained(str(out / "unsloth"))
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": turn}], tokenize=False, add_generation_prompt=True)
        for turn in asked
    ]
    ids = [tokenizer(prompt, add_special_tokens=False).input_ids for prompt in prompts]
    facts = {"prompts": prompts, "ids": ids, "end": tokenizer.eos_token, "end_id": tokenizer.eos_token_id}
    (out / "unsloth.json").write_text(json.dumps(facts), encoding="utf-8")
    import os

    os._exit(0)  # Unsloth's threads need not be waited for


def lay_out(folder: Path, layout: str) -> Path:
    """The adapter's folder as a trainer leaves it."""
    if layout == "unsloth":
        return folder / "unsloth"
    if layout == "trl":
        return max((folder / "trl").glob("checkpoint-*"))
    from training.models.quickstart_model import quickstart_model

    out = folder / "axolotl"
    shutil.copytree(folder / "unsloth", out)
    shutil.copy(quickstart_model() / "config.json", out)  # axolotl saves the base's, and its own debug log
    (out / "debug.log").write_text("", encoding="utf-8")
    return out


def compare(facts: dict[str, Any], adapter: Path, run: Path, name: str) -> dict[str, Any]:
    """What medbench asked and got against plain transformers + PEFT on Unsloth's prompts, in float32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from reports.document.reading import read_samples
    from training.models.quickstart_model import quickstart_model

    tokenizer = AutoTokenizer.from_pretrained(adapter)
    base = AutoModelForCausalLM.from_pretrained(quickstart_model(), dtype=torch.float32, device_map=DEVICE)
    if len(tokenizer) > base.get_input_embeddings().num_embeddings:
        raise SystemExit(f"{name}: more tokens than embeddings")
    model = PeftModel.from_pretrained(base, adapter).float().eval()
    ids_of = dict(zip(facts["prompts"], facts["ids"], strict=True))
    scored = list(read_samples(run / "samples" / name / "medbench_perplexity.jsonl"))
    generated = list(read_samples(run / "samples" / name / "medbench_generation.jsonl"))
    differences, same_answers, same_ends = [], 0, 0
    with torch.inference_mode():
        for sample in scored:
            # lm-eval divides between prompt and answer after the prompt's last character that is not white space
            whole = torch.tensor([tokenizer(sample.prompt + sample.gold, add_special_tokens=False).input_ids])
            start = len(tokenizer(sample.prompt.rstrip(), add_special_tokens=False).input_ids)
            logits = model(whole.to(DEVICE)).logits[0].log_softmax(-1)[start - 1 : -1]
            nats = logits.gather(1, whole[0, start:, None].to(DEVICE)).double().sum().item()
            ours = sample.metrics["perplexity_with_markers"]
            assert isinstance(ours, tuple)
            differences.append(abs(nats - ours[0]))
        for sample in generated:
            ids = torch.tensor([ids_of[sample.prompt]]).to(DEVICE)
            new = model.generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=facts["end_id"])
            answer = new[0, ids.shape[1] :].tolist()
            ended = answer[-1] == facts["end_id"]
            same_answers += tokenizer.decode(answer[:-1] if ended else answer) == sample.output
            same_ends += ended == (sample.finish_reason == "stop")
    return {
        "items": len(scored),
        "prompts_as_unsloth_renders_them": sum(sample.prompt in ids_of for sample in (*scored, *generated)),
        "largest_difference_of_a_log_likelihood_in_nats": max(differences),
        "equal_greedy_answers": same_answers,
        "equal_ends": same_ends,
        "ended_by_themselves": sum(sample.finish_reason == "stop" for sample in generated),
    }


def main() -> None:
    """Train with each template, score each layout, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--train", metavar="TEMPLATE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(args.train, args.out, args.steps)
    import harness
    from harness.environment import describe
    from reports.files import read_json, write_json
    from training.models.device import device_of

    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        for template in TEMPLATES:
            folder = Path(work) / template
            folder.mkdir()
            words = [str(folder), "--train", template, "--steps", str(args.steps)]
            subprocess.run([sys.executable, "-m", "benchmarks.gpu_templates", *words], check=True)  # noqa: S603
            facts = read_json(folder / "unsloth.json")
            adapters = {layout: lay_out(folder, layout) for layout in LAYOUTS}
            models = ",".join(["base", *(f"{layout}={adapter}" for layout, adapter in adapters.items())])
            run = harness.score(
                models=models,
                tasks=["medbench_perplexity", "medbench_generation"],
                out=folder / "run",
                limit=ITEMS,
                settings=[
                    "quantization.method=none",
                    "quantization.double_quant=false",
                    "scoring.dtype=float32",
                    "scoring.noise_items=0",
                    "scoring.adapters=unmerged",
                    f"scoring.max_new_tokens={NEW_TOKENS}",
                ],
                quiet=True,
            )
            results[template] = {
                "end": facts["end"],
                "notes": [note for note in run.notes if "prompted" in note],
                **{layout: compare(facts, adapter, folder / "run", layout) for layout, adapter in adapters.items()},
            }
            print(template, json.dumps(results[template]), flush=True)
            write_json(
                args.out,
                {
                    "command": f"python -m benchmarks.gpu_templates OUT.json --steps {args.steps}",
                    "templates": results,
                    "environment": describe(device_of("cuda")),
                },
            )


if __name__ == "__main__":
    main()
