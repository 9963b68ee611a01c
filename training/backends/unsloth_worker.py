"""The Unsloth backend, the worker's side: `python -m training.backends.unsloth_worker WORK` trains that folder's job.

Events are JSON lines on standard output; what libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, TextIO


def _take_over_output() -> TextIO:
    """Return the real standard output for events, and redirect all other output to standard error."""
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return events


def _end_with_parent() -> None:
    """End this process when its parent has ended for any reason."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _train(work: Path, events: TextIO) -> dict[str, Any]:
    import unsloth  # noqa: F401 - before transformers, PEFT and TRL, which it patches
    from unsloth import FastLanguageModel

    from training.backends.job import Job
    from training.backends.sft import make_trainer
    from training.backends.trainer_loop import run
    from training.models.device import torch_dtype

    job = Job.load(work)
    recipe = job.recipe
    wanted = recipe.trainer.gradient_checkpointing
    checkpointing = "unsloth" if wanted == "offload" else wanted
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=str(job.base.folder.resolve()),
        max_seq_length=recipe.trainer.max_length,
        dtype=torch_dtype(job.dtype),
        load_in_4bit=recipe.quantization.is_4bit,
        use_gradient_checkpointing=checkpointing,
        random_state=recipe.training_seed,
        use_exact_model_name=True,
        local_files_only=True,
        trust_remote_code=False,
        fast_inference=False,
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=recipe.lora.r,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=recipe.lora.target_modules,
        bias="none",
        use_gradient_checkpointing=checkpointing,
        random_state=recipe.training_seed,
        max_seq_length=recipe.trainer.max_length,
    )

    def progress(step: int, steps: int, note: str) -> None:
        events.write(json.dumps({"step": step, "steps": steps, "note": note}) + "\n")

    trainer = make_trainer(job, model, tokenizer, progress, None, max_length=recipe.trainer.max_length)
    return {"done": run(trainer, job, progress, "unsloth").model_dump(mode="json")}


def main() -> None:
    """Train the job in the folder of the first argument and report the result."""
    events = _take_over_output()
    _end_with_parent()
    from reports.errors import UserError

    try:
        answer = _train(Path(sys.argv[1]), events)
    except UserError as error:
        answer = {"error": {"what": error.what, "where": error.where, "fix": error.fix}}
    except Exception as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise
        answer = {"out_of_memory": str(error)}
    events.write(json.dumps(answer) + "\n")
    events.close()
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)  # Unsloth's threads and compile workers need not finish


if __name__ == "__main__":
    main()
