"""Settings that lm-eval passes to the data-set functions of our tasks.

Stock `lm_eval` passes its `--metadata` and `--model_args`, so these keys work there as well as in `medbench`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tasks.data import DataSource
from tasks.formats import SpokenTurn, get_format
from tasks.rendering import ChatTemplate, load_tokenizer, render_prompt

_DEFAULT_NEW_TOKENS = 256
_NEW_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens")


def new_token_limit(generation_kwargs: Mapping[str, Any]) -> int:
    """Maximum number of generated tokens in an lm-eval task's generation settings; lm-eval knows it by three names."""
    limits = (generation_kwargs[key] for key in _NEW_TOKENS_KEYS if key in generation_kwargs)
    return int(next(limits, None) or _DEFAULT_NEW_TOKENS)


def _described(value: Any) -> Any:
    return {"source": value} if isinstance(value, str | list) else value


Source = Annotated[DataSource, BeforeValidator(_described)]


class TaskSettings(BaseModel):
    """Settings by the keys that users write; unknown keys, which are for models or other tasks, are ignored.

    Attributes:
        pubmedqa: PubMedQA items: a path, hub id or sample, or the fields of a data source as an object.
        reasoning: Held-out reasoning rows, in the same form.
        format: The requested answer format.
        chat_template: `auto` or `never`.
        seed: Seed for sampling rows.
        tokenizer: Folder or hub id; without it and `pretrained`, prompts are plain text and no tokens are counted.
        pretrained: The same under the name that lm-eval uses for its model.
    """

    model_config = ConfigDict(frozen=True)

    pubmedqa: Source = DataSource(source="samples:pubmedqa")
    reasoning: Source = DataSource(source="samples:reasoning_heldout")
    format: str = "thinking-headings"
    chat_template: str = "auto"
    seed: int = 0
    tokenizer: str | None = None
    pretrained: str | None = None

    @property
    def tokenizer_name(self) -> str | None:
        """Folder or hub id of the tokenizer, or None."""
        return self.tokenizer or self.pretrained

    def prompt(self, question: str, history: Sequence[SpokenTurn] = ()) -> str:
        """The prompt of a question, after the turns before it, in the answer format; the same as in training."""
        tokenizer = load_tokenizer(self.tokenizer_name) if self.tokenizer_name else None
        chat: ChatTemplate = "never" if self.chat_template == "never" else "auto"
        return render_prompt(tokenizer, get_format(self.format), question, chat, history)
