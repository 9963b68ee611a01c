"""How each model of a run is prompted and what ends its answers, checked on a rendered turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.planning.lm_tasks import LoadedTask, load_tasks
from reports.errors import UserError
from tasks import catalog
from tasks.chat import ChatSettings, template_notes, turn_end, unused_kwargs
from tasks.formats import AnswerFormat, get_format
from tasks.rendering import adapter_tokenizer, encode, load_tokenizer, render_prompt
from tasks.same_reading import check_decoder, check_ids, divide_alike
from training.encoding import check_vocabulary
from training.models.adapters import WEIGHTS
from training.models.architecture import embedding_rows, model_shell
from training.models.base_model import configured_ends
from training.models.safetensors_file import read_header

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.models.model import Model
    from training.recipes.recipe import Recipe

_NAMED = 3  # tokens in a message
_QUESTION, _REASONING, _RESPONSE = "Does rest help?", "Rest helps most people.", "Yes."  # of a rendered turn


@dataclass(frozen=True)
class Dialogue:
    """How one model is prompted and what ends its answers.

    Attributes:
        tokenizer: Name of its tokenizer and chat template, see `tasks.rendering.load_tokenizer`.
        chat: How questions become prompts.
        ends: Tokens that end an answer: the chat template's, the tokenizer's and those of the generation settings.
        stop: The same as text where the chat template ends a turn with more than one token.
        base_tokenizer: Name of the base's tokenizer if it is another one, which has to read texts alike.
        is_whole: Whether its tokenizer is that of another whole model, which has to read texts as they stand.
    """

    tokenizer: str
    chat: ChatSettings
    ends: frozenset[int]
    stop: tuple[str, ...] = ()
    base_tokenizer: str = ""
    is_whole: bool = False

    def ends_in_words(self) -> list[str]:
        """The tokens and texts that end an answer."""
        return [*map(str, load_tokenizer(self.tokenizer).convert_ids_to_tokens(sorted(self.ends))), *self.stop]


def read_dialogues(models: Sequence[Model], base: Model, recipe: Recipe) -> tuple[dict[str, Dialogue], list[str]]:
    """(the dialogue of the base and of each model by name, what the user should know of them).

    An adapter with a tokenizer or chat template of its own has its own dialogue, unless the recipe says `base`. Another
    whole model always has; it equals the base's if nothing is different. A served model is prompted like the base.

    Raises:
        UserError: A chat template fails, leaves the question out, or does not know a setting of the recipe; or a prompt
            or an answer has tokens that the model has no embedding for.
    """
    own, notes = _read(base, str(base.tokenizer), base, recipe)
    dialogues = {base.name: own}
    for model in models:
        if model.is_base or model.trained_here or model.is_served:
            dialogues[model.name] = own
            continue
        if model.has_own_weights:
            dialogues[model.name], more = _of_whole_model(model, base, recipe)
            notes += more
            continue
        name, different = _own_tokenizer(model, base, recipe)
        if not different:
            dialogues[model.name] = own
        elif recipe.scoring.adapter_tokenizer == "base":
            dialogues[model.name] = own
            notes.append(
                f"{model.name} comes with {' and '.join(different)} and is prompted like the base"
                " (scoring.adapter_tokenizer)"
            )
        else:
            _check_like_base(model, name, base)
            dialogue, more = _read(model, name, base, recipe)
            dialogues[model.name] = replace(dialogue, base_tokenizer=str(base.tokenizer))
            notes.append(
                f"{model.name} is prompted with the tokenizer in its folder, which has {' and '.join(different)}; the"
                " items are the same, and scoring.adapter_tokenizer=base prompts it like the base"
            )
            notes += more
    return dialogues, notes + _check_kwargs(dialogues)


def _of_whole_model(model: Model, base: Model, recipe: Recipe) -> tuple[Dialogue, list[str]]:
    """(the dialogue of a model with all its weights, what the user should know of it)."""
    name, base_name = str(model.tokenizer), str(base.tokenizer)
    different = _differences(name, base_name, recipe)
    if not (different or divide_alike(load_tokenizer(name), load_tokenizer(base_name))):
        different = ["another way to divide text into tokens"]
    dialogue, notes = _read(model, name if different else base_name, model, recipe)
    if different:
        check_decoder(load_tokenizer(name), load_tokenizer(base_name), whole=True)
        dialogue = replace(dialogue, is_whole=True)
        notes.insert(
            0,
            f"{model.name} is prompted with its own tokenizer, which has {' and '.join(different)}; the items are the"
            " same",
        )
    return dialogue, notes


def _own_tokenizer(adapter: Model, base: Model, recipe: Recipe) -> tuple[str, list[str]]:
    """(name of an adapter's tokenizer, in what it differs from the base's in words)."""
    try:
        name = adapter_tokenizer(adapter.folder, base.tokenizer)
        return name, [] if name == str(base.tokenizer) else _differences(name, str(base.tokenizer), recipe)
    except UserError as error:
        if recipe.scoring.adapter_tokenizer == "base":
            return str(adapter.folder), ["a tokenizer that cannot be loaded"]
        fix = f"{error.fix}; or prompt it like its base: --set scoring.adapter_tokenizer=base"
        raise UserError(error.what, where=error.where, fix=fix) from error


def _check_like_base(adapter: Model, name: str, base: Model) -> None:
    """Check that an adapter's tokenizer stands for the same text as its base's; the items' text is checked later.

    An adapter with an embedding of its own may number its tokens as it likes.
    """
    own, other = load_tokenizer(name), load_tokenizer(str(base.tokenizer))
    check_decoder(own, other)
    if not _own_embeddings(adapter, base):
        check_ids(own, other)


def with_own_prompts(
    tasks: Sequence[LoadedTask], recipe: Recipe, base: Model, tokenizers: Mapping[str, str]
) -> list[LoadedTask]:
    """The tasks with those of our own as single models are asked them.

    Args:
        tasks: The tasks as the base is asked them.
        recipe: The recipe.
        base: The base.
        tokenizers: Names of the tokenizers of the models with their own prompts, by model.
    """
    ours = [loaded.name for loaded in tasks if loaded.name in catalog.METRICS]
    own: dict[str, dict[str, LoadedTask]] = {name: {} for name in ours}
    places = {loaded.name: loaded.indices for loaded in tasks}
    for model, tokenizer in tokenizers.items() if ours else ():
        for loaded in load_tasks(ours, recipe, base, tokenizer=tokenizer):
            own[loaded.name][model] = loaded.remade(places[loaded.name])
    return [
        replace(
            loaded,
            own={model: replace(task, reference=loaded) for model, task in own.get(loaded.name, {}).items()},
        )
        for loaded in tasks
    ]


def _read(model: Model, name: str, base: Model, recipe: Recipe) -> tuple[Dialogue, list[str]]:
    """The dialogue of a model with the tokenizer of this name, checked; and what is remarkable about it."""
    chat, answer_format = recipe.format.chat, get_format(recipe.format.name)
    tokenizer = load_tokenizer(name)
    end = turn_end(tokenizer, chat)
    configured = {*configured_ends(base.folder), *(configured_ends(model.folder) if model.is_adapter else ())}
    if tokenizer.eos_token_id is not None:
        configured.add(int(tokenizer.eos_token_id))
    ends = frozenset(configured if end.text else configured.union(end.tokens))
    notes = [f"{model.name}: its chat template {note}" for note in template_notes(tokenizer, chat)]
    if end.text:
        notes.append(
            f"{model.name}: its chat template ends a turn with {end.text}, for which the tokenizer has no token;"
            " answers end at this text"
        )
    elif not configured.issuperset(end.tokens):
        others = ", ".join(_tokens(tokenizer, configured)) or "none"
        notes.append(
            f"{model.name}: its chat template ends a turn with {_tokens(tokenizer, end.tokens)[0]}, which is not among"
            f" its end tokens ({others}); it ends answers too"
        )
    if not ends and not end.text:
        notes.append(f"{model.name}: nothing is known to end its answers, so they go on to the limit of tokens")
    if recipe.scoring.num_fewshot and not _shows_reasoning(tokenizer, answer_format, chat):
        notes.append(f"{model.name}: its chat template leaves the reasoning out of the examples (scoring.num_fewshot)")
    rows = _embedding_rows(model, base)
    if rows is not None:
        _check_turn(tokenizer, answer_format, chat, {*end.tokens, *ends}, rows)
        beyond = sorted(number for number in tokenizer.get_vocab().values() if number >= rows)
        if beyond:
            notes.append(
                f"{model.name}: its tokenizer has {len(beyond)} token{'s' if beyond[1:] else ''} beyond the {rows} rows"
                f" of the embedding ({', '.join(_tokens(tokenizer, beyond))}); a text with one of them cannot be scored"
            )
    return Dialogue(name, chat, ends, (end.text,) if end.text else ()), notes


def _shows_reasoning(tokenizer: PreTrainedTokenizerBase, answer_format: AnswerFormat, chat: ChatSettings) -> bool:
    """Whether the answers of earlier turns stand in a prompt as they are."""
    answer = answer_format.completion(_REASONING, _RESPONSE)
    return answer in render_prompt(tokenizer, answer_format, "Does sleep help?", chat, [(_QUESTION, answer)])


def _check_turn(
    tokenizer: PreTrainedTokenizerBase, answer_format: AnswerFormat, chat: ChatSettings, ends: Iterable[int], rows: int
) -> None:
    """Check that the model has an embedding for each token of a rendered question and its answer."""
    prompt = render_prompt(tokenizer, answer_format, _QUESTION, chat)
    answer = answer_format.completion(_REASONING, _RESPONSE)
    check_vocabulary([*encode(tokenizer, prompt + answer), *ends], tokenizer, rows)


def _check_kwargs(dialogues: Mapping[str, Dialogue]) -> list[str]:
    """Check that settings of the chat template are read by one; returns a note for each template that does not.

    Raises:
        UserError: No model's chat template reads one of them.
    """
    unused = {
        model: unused_kwargs(load_tokenizer(dialogue.tokenizer), dialogue.chat) for model, dialogue in dialogues.items()
    }
    nowhere = set.intersection(*map(set, unused.values()))
    if nowhere:
        raise UserError(
            f"the chat template does not read {', '.join(sorted(nowhere))}",
            where="format.chat_template_kwargs",
            fix="check the spelling against the model's chat template, or leave it out",
        )
    return [f"{model}: its chat template does not read {', '.join(names)}" for model, names in unused.items() if names]


def _differences(name: str, base_name: str, recipe: Recipe) -> list[str]:
    """In what the tokenizers of a model and the base differ, in words."""
    own, base = load_tokenizer(name), load_tokenizer(base_name)
    chat, words = recipe.format.chat, []
    if chat.template != "never" and own.chat_template != base.chat_template:
        words.append("a chat template" if not base.chat_template else "another chat template")
    if own.eos_token != base.eos_token:
        words.append(f"the end token {own.eos_token} instead of {base.eos_token}")
    vocabulary, others = own.get_vocab(), base.get_vocab()
    more = sorted(vocabulary.keys() - others.keys(), key=vocabulary.__getitem__)
    if more:
        shown = ", ".join(more[:_NAMED]) + (", ..." if more[_NAMED:] else "")
        words.append(f"{len(more)} more token{'s' if more[1:] else ''} ({shown})")
    if any(vocabulary.get(token) != number for token, number in others.items()):
        words.append("other token ids")
    if own.bos_token != base.bos_token:
        words.append(f"the start token {own.bos_token} instead of {base.bos_token}")
    return words


def _embedding_rows(model: Model, base: Model) -> int | None:
    """Rows of a model's embedding; for an adapter those that it brings, or its base's. None if unknown."""
    rows = embedding_rows(base)
    return rows and max([rows, *(_own_embeddings(model, base) if model.is_adapter else ())])


def _own_embeddings(adapter: Model, base: Model) -> list[int]:
    """Rows of the embeddings, whole or of single tokens, that an adapter brings."""
    saved = {key: tensor for key, tensor in read_header(adapter.folder / WEIGHTS).items() if ".lora_" not in key}
    if not saved:
        return []
    shell = model_shell(base)
    embedding = shell.get_input_embeddings()
    name = next(name for name, module in shell.named_modules() if module is embedding).rpartition(".")[2]
    return [tensor.shape[0] for key, tensor in saved.items() if f".{name}." in key]


def _tokens(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> list[str]:
    names = [str(token) for token in tokenizer.convert_ids_to_tokens(sorted(ids)[: _NAMED + 1])]
    return names if len(names) <= _NAMED else [*names[:_NAMED], "..."]
