"""Finds out in what the tokenizer, chat template and end tokens of a shipped model differ from the evaluated one's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.exporting.causes import Cause

if TYPE_CHECKING:
    from tasks.chat import ChatSettings
    from tasks.formats import AnswerFormat


def find_prompting_causes(
    reference: str,
    target: Path,
    questions: Sequence[str],
    answer_format: AnswerFormat,
    chat: ChatSettings,
) -> list[Cause]:
    """Compare prompts and end tokens of a folder with those of the evaluation, token by token.

    Args:
        reference: Name of the tokenizer of the evaluation, see `tasks.rendering.load_tokenizer`.
        target: The folder that is shipped, with its tokenizer, chat template and generation settings.
        questions: The questions to render.
        answer_format: The format of the answers that the prompts request.
        chat: How questions become prompts.

    Raises:
        UserError: A tokenizer cannot be loaded, or a chat template fails.
    """
    raise NotImplementedError
