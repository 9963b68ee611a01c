"""Makes tiny random models of the families that people fine-tune, with a tokenizer trained on the synthetic samples.

Biases, norms and positions are random too, so that leaving one out changes every score.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.families import FAMILIES, VOCABULARY, Family
from tasks.data.source import SAMPLES

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

_CHAT_TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
_SPREAD = 0.06  # standard deviation that is added to every parameter


def make_tokenizer(*, pad_token: bool = True) -> PreTrainedTokenizerFast:
    """A small byte-level tokenizer with a chat template, trained on the synthetic samples."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|pad|>", "<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = SAMPLES["samples:reasoning_train"].read_text(encoding="utf-8").splitlines()[:40]
    backend.train_from_iterator(texts, trainer)
    special = {"bos_token": "<|start|>", "eos_token": "<|end|>"} | ({"pad_token": "<|pad|>"} if pad_token else {})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=1024, **special)
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def make_config(family: Family, tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
    """The configuration of a tiny model of a family."""
    import transformers

    tokens = {
        "vocab_size": VOCABULARY,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return getattr(transformers, family.config)(**tokens | family.settings)


def make_model(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny random model of a family with its tokenizer, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = make_tokenizer(pad_token=FAMILIES[family].pad_token)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(make_config(FAMILIES[family], tokenizer), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(_SPREAD * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
