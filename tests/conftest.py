"""What all tests share: a tiny model made on the fly, a recipe that trains it in a second, and no network."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in two processes, see pyproject.toml
os.environ.update(
    MEDBENCH_CACHE_GB="0", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false"
)

_MANY = 500  # modules
CHAT_TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def make_tokenizer(texts: list[str]):
    """A small byte-level BPE tokenizer with a chat template; its pad token is its end token, as in SmolLM2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|end|>", model_max_length=1024
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(folder: Path, *, width: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Save a tiny random Llama with its tokenizer as bfloat16 safetensors."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tasks.data.source import SAMPLES

    texts = SAMPLES["samples:reasoning_train"].read_text(encoding="utf-8").splitlines()[:40]
    tokenizer = make_tokenizer(texts)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def first_layers(folder: Path, layers: int) -> Path:
    """Save SmolLM2 with its first layers only: real weights in less time."""
    import shutil

    from transformers import AutoModelForCausalLM

    from training.models.quickstart_model import quickstart_model

    shutil.copytree(quickstart_model(), folder)
    AutoModelForCausalLM.from_pretrained(folder, dtype="auto", num_hidden_layers=layers).save_pretrained(folder)
    return folder


_imported = 0


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Keep the collector from going through what stays until the end, half a second each time it is called.

    Trainers and engines call it when they are done, statsmodels at every correction: thousands of times in all tests.
    What stays is what libraries have imported, and what is there still when a file of tests is done.
    """
    global _imported  # noqa: PLW0603 - pytest calls a function
    if nextitem is None or nextitem.path != item.path or len(sys.modules) > _imported + _MANY:
        _imported = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_collectstart() -> None:
    """Stop the collector until all tests are there: a third of the time of importing them is its, and nothing ends."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep the collector from what is imported before the first test, also in processes forked from here (mutmut)."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another base, whose layers have other shapes."""
    return make_model(tmp_path_factory.mktemp("models") / "wide", width=128)


def tiny_recipe_value(model: Path) -> dict:
    return {
        "name": "tiny",
        "seed": 7,
        "model": {"base": str(model), "dtype": "float32"},
        "lora": {"r": 4, "alpha": 8},
        "data": {"train": {"source": "samples:reasoning_train", "rows": 8}, "validation_rows": 2},
        "trainer": {
            "max_steps": 3,
            "batch_size": 2,
            "gradient_accumulation": 1,
            "learning_rate": 0.01,
            "max_length": 512,
            "eval_steps": 1,
        },
        "scoring": {"limit": 6, "max_new_tokens": 12},
    }


@pytest.fixture(scope="session")
def tiny_recipe(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_recipe_value(tiny_model)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one whole run of the tiny recipe; tests must not change it."""
    import harness

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    harness.run(str(tiny_recipe), out=folder, quiet=True)
    return folder


@pytest.fixture
def set_argv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give this process a command line: results record it, and other people's commands read nothing else."""
    return lambda *words: monkeypatch.setattr(sys, "argv", [*map(str, words)])


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots of reports empty, which take most of the time of a report; for tests of something else."""
    from markupsafe import Markup

    from reports.page.svg import Plot

    for module in ("plots", "sample_plots", "configuration_views", "confidence_plots"):
        monkeypatch.setattr(
            f"reports.page.{module}.plot", lambda _, title, words, *__, **___: Plot(title, words, Markup("<svg></svg>"))
        )


@pytest.fixture
def free_disk_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make every disk seem to have so many bytes left; a disk is full for no argument."""
    return lambda count: monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=count))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AbstractContextManager[None]]:
    """Let the system fail to write files whose path contains a text, as on a full disk."""

    @contextlib.contextmanager
    def full(text: str) -> Iterator[None]:
        sync = os.fsync

        def fsync(handle: int) -> None:
            if text in str(Path(f"/proc/self/fd/{handle}").readlink()):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            yield

    return full


@pytest.fixture
def hub_data(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Replace the function that loads data sets from the hub, of which there is none in tests."""
    import datasets

    return lambda load: monkeypatch.setattr(datasets, "load_dataset", load)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], set_argv: Callable[..., None]) -> Callable[..., tuple[int, str, str]]:
    """Call the command in this process: (exit code, standard output, standard error)."""

    def call(*words: object) -> tuple[int, str, str]:
        from harness.__main__ import main

        set_argv("medbench", *words)
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write reasoning rows as a JSONL file, with given lines in between."""

    def write(*rows: dict | str, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
        return path

    return write
