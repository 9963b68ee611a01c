"""Settings that lm-eval passes to the data-set functions of our tasks.

Stock `lm_eval` passes its `--metadata` and `--model_args`, so these keys work there as well as in `medbench`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tasks.chat import ChatSettings, Setting
from tasks.data import DataSource
from tasks.data.source import QuestionSource
from tasks.formats import SpokenTurn, get_format
from tasks.rendering import load_tokenizer, render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_DEFAULT_NEW_TOKENS = 256
_NEW_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens")


def new_token_limit(generation_kwargs: Mapping[str, Any]) -> int:
    """Maximum number of generated tokens in an lm-eval task's generation settings; lm-eval knows it by three names."""
    limits = (generation_kwargs[key] for key in _NEW_TOKENS_KEYS if key in generation_kwargs)
    return int(next(limits, None) or _DEFAULT_NEW_TOKENS)


def _described(value: Any) -> Any:
    return {"source": value} if isinstance(value, str | list) else value


Source = Annotated[DataSource, BeforeValidator(_described)]
Questions = Annotated[QuestionSource | None, BeforeValidator(_described)]


class TaskSettings(BaseModel):
    """Settings by the keys that users write; unknown keys, which are for models or other tasks, are ignored.

    Attributes:
        pubmedqa: PubMedQA items: a path, hub id or sample, or the fields of a data source as an object.
        reasoning: Held-out reasoning rows, in the same form.
        questions: Your own multiple-choice questions, in the same form.
        format: The requested answer format.
        chat_template: `auto` or `never`.
        system: The system prompt; empty for none.
        chat_template_kwargs: Settings of the chat template.
        shots: Examples with their answers before each question.
        examples: Reasoning rows to take examples from, in the same form; PubMedQA's are items that are not scored, or
            other scored items if all are.
        seed: Seed for sampling rows.
        tokenizer: Folder or hub id; without it and `pretrained`, prompts are plain text and no tokens are counted.
        prompt_tokenizer: The tokenizer and chat template that render prompts, if they are not `tokenizer`'s.
        pretrained: The same under the name that lm-eval uses for its model.
    """

    model_config = ConfigDict(frozen=True)

    pubmedqa: Source = DataSource(source="samples:pubmedqa")
    reasoning: Source = DataSource(source="samples:reasoning_heldout")
    questions: Questions = None
    format: str = "thinking-headings"
    chat_template: str = "auto"
    system: str = ""
    chat_template_kwargs: dict[str, Setting] = {}
    shots: int = 0
    examples: Source = DataSource(source="samples:reasoning_train")
    seed: int = 0
    tokenizer: str | None = None
    prompt_tokenizer: str | None = None
    pretrained: str | None = None

    @property
    def tokenizer_name(self) -> str | None:
        """Folder or hub id of the tokenizer by which answers are counted, or None."""
        return self.tokenizer or self.pretrained

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer of the model that is asked, or None."""
        name = self.prompt_tokenizer or self.tokenizer_name
        return load_tokenizer(name) if name else None

    def prompt(
        self, question: str, examples: Sequence[tuple[str, str]] = (), history: Sequence[SpokenTurn] = ()
    ) -> str:
        """The prompt of a question in the answer format, the same as in training; see `render_prompt`."""
        chat = ChatSettings(
            "never" if self.chat_template == "never" else "auto",
            self.system,
            tuple(sorted(self.chat_template_kwargs.items())),
        )
        return render_prompt(self.load_tokenizer(), get_format(self.format), question, chat, examples, history)
