"""The fine-tune on real NF4 with the real TRL: gradients, masks, the saved adapter, and what stops it."""

import gc
import shutil
import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from bitsandbytes.optim import GlobalOptimManager
from transformers import AutoTokenizer, TrainerCallback

from reports.errors import UserError
from reports.files import write_json
from training.backends import sft, trainer_loop, trl_backend
from training.finetune import finetune, fingerprint, trained_adapter
from training.log import read_log
from training.models.base_model import find_base
from training.models.device import pick_device
from training.preflight import preflight
from training.recipes.recipe_file import check_recipe, load_recipe
from training.splits import TrainingRows, training_rows


def ignore(*_):
    pass


def with_trainer(make):
    """The TRL backend with trainers that `make` makes."""
    return partial(trl_backend.train, make=make)


def test_every_lora_layer_has_gradients_after_an_evaluation_in_the_middle(tiny_recipe, tmp_path):
    """On CPUs with AVX512-BF16, bitsandbytes would silently zero all but the last layer's after one."""
    recipe = load_recipe(str(tiny_recipe), ["model.dtype=bfloat16"])
    gradients = []
    make = sft.make_trainer

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            named = [(name, p) for name, p in model.named_parameters() if "lora_A" in name or "lora_B" in name]
            gradients.append({name: float(p.grad.abs().sum()) for name, p in named})

    def watched(*arguments, **further):
        trainer = make(*arguments, **further)
        trainer.add_callback(Watch())
        return trainer

    backend = with_trainer(watched)
    log = finetune(recipe, find_base(recipe.model), training_rows(recipe), tmp_path / "adapter", ignore, backend)
    assert [each["step"] for each in log.losses if "eval_loss" in each][:2] == [1.0, 2.0]
    # At the first step every lora_B is zero, so lora_A can have no gradient; from the second on all have one.
    assert all(value > 0 for name, value in gradients[-1].items()), [n for n, v in gradients[-1].items() if not v]
    assert len(gradients[-1]) == 2 * 7 * 2


def tokenizer_with(tiny_model, folder, change):
    """The tiny model with a changed tokenizer, and its own embedding."""
    shutil.copytree(tiny_model, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    change(tokenizer)
    tokenizer.save_pretrained(folder)
    return f"model.base={folder}"


def test_a_pad_token_without_an_embedding_is_not_used(tiny_recipe, tiny_model, tmp_path):
    """Added without resizing the embedding, as many fine-tuning scripts do; the adapter's files keep it."""
    base = tokenizer_with(tiny_model, tmp_path / "base", lambda it: it.add_special_tokens({"pad_token": "[PAD]"}))
    recipe = load_recipe(str(tiny_recipe), [base, "trainer.max_steps=1", "trainer.eval_steps=null"])
    log = finetune(recipe, find_base(recipe.model), training_rows(recipe), tmp_path / "adapter", ignore)
    assert log.steps == 1
    assert AutoTokenizer.from_pretrained(tmp_path / "adapter").pad_token == "[PAD]"


def test_answers_end_rows_of_a_tokenizer_without_a_pad_token(tiny_recipe, tiny_model, tmp_path):
    """The end token has an embedding, so nothing is changed, and the adapter is the one of the same pad token."""
    logs = []
    for name, token in (("none", None), ("end", "<|end|>")):
        base = tokenizer_with(tiny_model, tmp_path / name, lambda it, token=token: setattr(it, "pad_token", token))
        settings = [base, "trainer.max_steps=2", "trainer.eval_steps=null", "trainer.packing=false"]
        recipe = load_recipe(str(tiny_recipe), settings)
        logs.append(finetune(recipe, find_base(recipe.model), training_rows(recipe), tmp_path / f"{name}-a", ignore))
    losses = [[record["loss"] for record in log.losses if "loss" in record] for log in logs]
    assert losses[0] == losses[1]


def test_a_row_with_a_token_without_an_embedding_is_refused(tiny_recipe, tiny_model, tmp_path):
    base = tokenizer_with(tiny_model, tmp_path / "base", lambda it: it.add_tokens("warfarin"))
    recipe = load_recipe(str(tiny_recipe), [base])
    with pytest.raises(UserError, match=r"token id 500 \(warfarin\) is beyond the 500 rows of the model's embedding"):
        finetune(recipe, find_base(recipe.model), training_rows(recipe), tmp_path / "adapter", ignore)


def test_an_evaluation_in_the_middle_changes_nothing_of_the_training(tiny_recipe, tmp_path):
    weights = []
    for eval_steps in ("1", "null"):
        settings = ["model.dtype=bfloat16", "trainer.max_steps=4", f"trainer.eval_steps={eval_steps}"]
        recipe = load_recipe(str(tiny_recipe), settings)
        folder = tmp_path / eval_steps
        finetune(recipe, find_base(recipe.model), training_rows(recipe), folder, ignore)
        weights.append((folder / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_the_adapter_folder_says_what_it_is(tiny_run, tiny_model):
    folder = tiny_run / "adapter"
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "recipe.yaml",
        "training_log.json",
    } <= {path.name for path in folder.iterdir()}
    log = read_log(folder)
    assert log.rows == 6
    assert log.validation_rows == 2
    assert log.trainable_parameters == 2 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 128))
    assert [each["step"] for each in log.losses if "loss" in each] == [1.0, 2.0, 3.0]


def test_the_adapters_card_is_valid_front_matter_and_says_what_it_is_not_for(tiny_run):
    from huggingface_hub import ModelCard

    card = ModelCard.load(tiny_run / "adapter" / "README.md")
    assert card.data.base_model == "tiny"
    assert "Not medical advice" in card.text
    assert "synthetic" in card.text


def test_training_lowers_the_loss_and_the_same_seed_gives_the_same_adapter(tiny_recipe, tmp_path):
    recipe = load_recipe(str(tiny_recipe), ["trainer.max_steps=12", "trainer.eval_steps=null"])
    base = find_base(recipe.model)
    logs = [finetune(recipe, base, training_rows(recipe), tmp_path / name, ignore) for name in "ab"]
    assert logs[0].losses[-1]["eval_loss"] < logs[0].losses[0]["loss"]
    files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_early_stopping_keeps_the_best_adapter(tiny_recipe, tmp_path):
    settings = ["trainer.max_steps=30", "trainer.learning_rate=30", "trainer.schedule=constant"]
    recipe = load_recipe(str(tiny_recipe), [*settings, "trainer.keep_best=true", "trainer.early_stopping_patience=2"])
    log = finetune(recipe, find_base(recipe.model), training_rows(recipe), tmp_path / "adapter", ignore)
    validations = [each["eval_loss"] for each in log.losses if "eval_loss" in each]
    assert log.steps < 30
    # The last validation is of the adapter that was kept.
    assert validations[-1] == pytest.approx(min(validations), rel=1e-4)
    assert validations[-2] > min(validations)


def test_an_adapter_is_reused_only_for_the_same_recipe_data_and_base(tiny_run, tiny_recipe):
    recipe = load_recipe(str(tiny_recipe))
    base = find_base(recipe.model)
    rows = training_rows(recipe)
    wanted = fingerprint(recipe, base, rows)
    assert trained_adapter(tiny_run / "adapter", wanted) is not None
    changed = check_recipe({**recipe.model_dump(mode="json"), "seed": 8}, "test")
    assert fingerprint(changed, base, rows) != wanted
    assert fingerprint(recipe, base, TrainingRows(rows.train[1:], rows.validation)) != wanted


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "config.json"])
def test_an_adapter_is_not_reused_when_template_tokenizer_or_configuration_of_the_base_changed(
    tiny_recipe, tmp_path, name
):
    recipe = load_recipe(str(tiny_recipe))
    base, rows = find_base(recipe.model), training_rows(recipe)
    copied = replace(base, folder=shutil.copytree(base.folder, tmp_path / "base"))
    assert fingerprint(recipe, copied, rows) == fingerprint(recipe, base, rows)
    changed = copied.folder / name
    changed.write_text(changed.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert fingerprint(recipe, copied, rows) != fingerprint(recipe, base, rows)


def test_another_adapter_in_the_folder_is_moved_aside_not_lost(tiny_recipe, tmp_path):
    recipe = load_recipe(str(tiny_recipe), ["trainer.max_steps=1", "trainer.eval_steps=null"])
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "precious").write_text("x")
    finetune(recipe, find_base(recipe.model), training_rows(recipe), folder, ignore)
    assert (tmp_path / "adapter.old-1" / "precious").exists()


def test_a_loss_that_is_no_number_stops_and_saves_nothing(tiny_recipe, tmp_path):
    recipe = load_recipe(str(tiny_recipe))
    make = sft.make_trainer

    def poisoned(*arguments, **further):
        trainer = make(*arguments, **further)
        with torch.no_grad():
            next(p for n, p in trainer.model.named_parameters() if "lora_B" in n).fill_(float("nan"))
        return trainer

    base, rows = find_base(recipe.model), training_rows(recipe)
    with pytest.raises(UserError, match=r"became nan at step 1.*\n.*learning_rate"):
        finetune(recipe, base, rows, tmp_path / "adapter", ignore, with_trainer(poisoned))
    assert list(tmp_path.iterdir()) == []


def test_running_out_of_memory_halves_the_batch_and_keeps_the_effective_one(tiny_recipe, tmp_path):
    recipe = load_recipe(str(tiny_recipe), ["trainer.batch_size=4", "trainer.gradient_accumulation=2"])
    make = sft.make_trainer

    def small_card(job, *rest, **further):
        trainer = make(job, *rest, **further)
        if job.recipe.trainer.batch_size > 1:
            trainer.training_step = lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError)
        return trainer

    notes = []
    rows, folder, backend = training_rows(recipe), tmp_path / "adapter", with_trainer(small_card)
    log = finetune(recipe, find_base(recipe.model), rows, folder, lambda *progress: notes.append(progress[2]), backend)
    assert (log.batch_size, log.gradient_accumulation, log.steps) == (1, 8, 3)
    said = [note for note in notes if "out of memory" in note]
    assert [note[-5:] for note in said] == ["2 x 4", "1 x 8"]
    alone = load_recipe(str(tiny_recipe), ["trainer.batch_size=1", "trainer.gradient_accumulation=8"])
    assert log.estimated_memory == preflight(alone, find_base(recipe.model), rows, pick_device()).memory
    assert trained_adapter(folder, fingerprint(recipe, find_base(recipe.model), rows)) is not None


def test_nothing_of_a_training_is_held_while_the_next_loads_or_when_it_is_done(tiny_recipe, tmp_path):
    """Its model and the states of its optimiser would take the memory that the smaller batch, or scoring, needs."""
    settings = ["model.dtype=bfloat16", "trainer.batch_size=2", "trainer.eval_steps=null", "trainer.max_steps=1"]
    recipe = load_recipe(str(tiny_recipe), settings)
    made: list[weakref.ref[Any]] = []
    held: list[int] = []

    def count(*arguments, **further):
        held.append(sum(each() is not None for each in made))
        trainer = sft.make_trainer(*arguments, **further)
        embedding = trainer.model.get_input_embeddings()  # transformers does this for 8-bit optimizers
        GlobalOptimManager.get_instance().register_module_override(embedding, "weight", {"optim_bits": 32})
        made.extend(weakref.ref(part) for part in (trainer, trainer.model, embedding))
        if len(held) == 1:
            step = trainer.training_step

            def full(*batch, **settings):
                step(*batch, **settings)
                raise torch.OutOfMemoryError

            trainer.training_step = full
        return trainer

    gc.disable()
    try:
        base, rows = find_base(recipe.model), training_rows(recipe)
        finetune(recipe, base, rows, tmp_path / "adapter", ignore, with_trainer(count))
        held.append(sum(each() is not None for each in made))
    finally:
        gc.enable()
    assert held == [0, 0, 0]


def test_the_time_of_a_step_is_taken_without_validations_and_checkpoints():
    times: list[float] = []
    clock = trainer_loop.step_clock(times, iter([1.0, 2.0, 13.0, 14.5]).__next__)
    clock.on_step_end()
    clock.on_step_end()
    clock.on_evaluate()
    clock.on_step_end()
    clock.on_step_end()
    assert times == [1.0, 1.5]


def test_a_gradient_that_overflows_in_float16_leaves_a_log_that_can_be_written(tmp_path):
    losses = trainer_loop.logged_losses(
        [{"step": 1, "loss": 2.5, "grad_norm": float("inf")}, {"step": 1, "train_runtime": 3.0}]
    )
    write_json(tmp_path / "log.json", losses)
    assert losses == [{"step": 1.0, "loss": 2.5}]


def test_a_row_that_does_not_fit_into_memory_is_told(tiny_recipe, tmp_path):
    recipe = load_recipe(str(tiny_recipe))

    def no_card(*_, **__):
        raise torch.OutOfMemoryError

    base, rows = find_base(recipe.model), training_rows(recipe)
    with pytest.raises(UserError, match="one row at a time does not fit"):
        finetune(recipe, base, rows, tmp_path / "adapter", ignore, with_trainer(no_card))
    assert list(tmp_path.iterdir()) == []
