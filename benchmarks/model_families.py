"""Trains and scores tiny random models of many families, compares with transformers and PEFT, writes docs/models.md.

    python -m benchmarks.model_families [--write | --check] [FAMILY ...]

On a CPU, in float32. Each model gets an adapter from the TRL backend on its NF4 weights (three steps), and responds to
the same requests as base and with the adapter, merged and unmerged, on its own weights and on its NF4 values, through
the engine with shared prefixes, padding and continuous batching. The reference computes one row at a time without
cache or padding: transformers' model with its 4-bit kernels, and PEFT. The first step's loss and all log-likelihoods
differ by at most 0.003 nats, and greedy answers are equal, or the family fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.families import FAMILIES
from benchmarks.page_tables import with_tables
from benchmarks.plain_reference import reference_loss, reference_responses
from benchmarks.tiny_models import make_model
from harness.engines.adapter_switch import AdapterMode
from harness.engines.interface import GenerateRequest, ModelRequest, ScoreRequest, ScoreResponse
from harness.engines.transformers_engine import TransformersEngine
from harness.environment import describe
from reports.errors import UserError
from reports.files import read_json, write_json, write_text
from tasks.rendering import load_tokenizer
from training.finetune import finetune
from training.models.base_model import find_base
from training.models.device import DTypeName, device_of
from training.models.loading import load_for_scoring
from training.models.model import BASE, Model
from training.recipes.recipe import QuantizationSection, Recipe
from training.splits import training_rows

TOLERANCE = 0.003  # nats
_HERE = Path(__file__).resolve().parent
PAGE = _HERE.parent / "docs" / "models.md"
RESULTS = _HERE / "results" / "model_families.json"
_MARKS = ("<!-- families: python -m benchmarks.model_families -->\n", "<!-- families:end -->")
_HEAD = """\
| family | trains | weights in NF4 | largest difference, nats | adapter is scored | vLLM's own list |
|---|---|---|---|---|---|
"""
_ADAPTER = "adapter"
_NEW_TOKENS = 10
_ROWS = 4
_DTYPES: tuple[DTypeName, ...] = ("float32", "bfloat16", "float16")
_MODES: tuple[AdapterMode, ...] = ("auto", "unmerged")
_CPU = device_of("cpu")


@dataclass(frozen=True)
class Outcome:
    """What was measured for one family.

    Attributes:
        error: Why training or scoring failed; empty if it did not.
        four_bit_share: Share of the layers' weights that was held in 4 bits while training.
        loss_difference: Difference of the first step's loss from that of plain transformers on the same rows, in nats.
        adapter_effect: Largest change of a log-likelihood by the adapter, in nats.
        merged: Whether the adapter is merged into the base's own weights while it is scored.
        difference: Largest difference of a log-likelihood from the reference, in nats.
        difference_16_bits: Largest difference of a token's log-likelihood in bfloat16 or float16 from float32, in nats.
        greedy_equal: Greedy answers that equal the reference's.
        greedy: Greedy answers that were compared.
    """

    error: str = ""
    four_bit_share: float = 0.0
    loss_difference: float = 0.0
    adapter_effect: float = 0.0
    merged: bool = False
    difference: float = 0.0
    difference_16_bits: float = 0.0
    greedy_equal: int = 0
    greedy: int = 0

    @property
    def holds(self) -> bool:
        """Whether the family trains, and scores as the reference does."""
        return (
            not self.error
            and self.loss_difference <= TOLERANCE
            and self.difference <= TOLERANCE < self.adapter_effect
            and self.greedy_equal == self.greedy > 0
        )


def check(family: str, work: Path) -> Outcome:
    """Train and score a tiny model of a family.

    Args:
        family: Its name in `benchmarks.families.FAMILIES`.
        work: An empty folder.
    """
    recipe = _recipe(make_model(family, work / "base"), FAMILIES[family].layers)
    base = find_base(recipe.model)
    try:
        log = finetune(recipe, base, training_rows(recipe), work / _ADAPTER, lambda *_: None)
        scored = [_score(base, work / _ADAPTER, quantization) for quantization in (None, recipe.quantization)]
        rounded = _rounding(base, work / _ADAPTER)
    except UserError as error:
        return Outcome(str(error))
    return Outcome(
        four_bit_share=log.quantized_share or 0.0,
        loss_difference=abs(log.losses[0]["loss"] - reference_loss(base, recipe)),
        adapter_effect=max(outcome.adapter_effect for outcome in scored),
        merged=scored[0].merged,
        difference=max(outcome.difference for outcome in scored),
        difference_16_bits=rounded,
        greedy_equal=scored[0].greedy_equal,
        greedy=scored[0].greedy,
    )


def _score(base: Model, adapter: Path, quantization: QuantizationSection | None) -> Outcome:
    """Compare the engine with the reference, merged where that is possible and unmerged."""
    requests = _requests(generate=quantization is None)
    wanted = reference_responses(base, adapter, quantization, requests)
    half = len(wanted) // 2  # the base's, then the adapter's
    pairs = zip(wanted[:half], wanted[half:], strict=True)
    effects = [abs(a - b) for a, b in pairs if isinstance(a, float) and isinstance(b, float)]
    differences, equal, modes = [], [], set()
    for mode in _MODES:
        engine = _engine(base, adapter, quantization, mode)
        modes.add(engine.setup["adapters"])
        for number, response in engine.respond(requests):
            value = wanted[number]
            if not isinstance(response, ScoreResponse):
                equal.append(response.tokens == value)
            elif isinstance(value, float):
                differences.append(abs(response.logprob - value))
    return Outcome(
        adapter_effect=max(effects),
        merged="merged" in modes,
        difference=max(differences),
        greedy_equal=sum(equal),
        greedy=len(equal),
    )


def _rounding(base: Model, adapter: Path) -> float:
    """Largest difference of a token's log-likelihood in 16 bits from that in float32."""
    requests = _requests(generate=False)
    logprobs: list[list[float]] = []
    for dtype in _DTYPES:
        responses = dict(_engine(base, adapter, None, "auto", dtype).respond(requests))
        scores = [responses[number] for number in range(len(requests))]
        logprobs.append([value for score in scores if isinstance(score, ScoreResponse) for value in score.logprobs])
    exact, *rounded = logprobs
    return max(abs(a - b) for values in rounded for a, b in zip(values, exact, strict=True))


def _recipe(folder: Path, layers: Sequence[str]) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "seed": 7,
            "model": {"base": str(folder), "dtype": "float32"},
            "lora": {"r": 4, "alpha": 8, "target_modules": list(layers)},
            "data": {"train": {"source": "samples:reasoning_train", "rows": _ROWS}},
            "trainer": {
                "max_steps": 3,
                "batch_size": _ROWS,  # the first step's loss is that of all rows, in any order
                "gradient_accumulation": 1,
                "learning_rate": 0.03,
                "max_length": 256,
                "logging_steps": 1,
            },
        }
    )


def _requests(*, generate: bool) -> list[ModelRequest]:
    """Rows of all lengths, questions behind the same examples with choices of several tokens, and prompts."""
    examples = _draw(60, 0)
    requests: list[ScoreRequest | GenerateRequest] = [
        ScoreRequest(_draw(2 + 9 * number, number), _draw(1 + number % 4, 99)) for number in range(8)
    ]
    requests += [
        ScoreRequest((*examples, *_draw(20 + 3 * question, 50 + question)), _draw(1 + choice, choice))
        for question in range(3)
        for choice in range(3)
    ]
    if generate:
        prompts = [_draw(3 + 17 * number, 20 + number) for number in range(3)]
        prompts += [(*examples, *_draw(5 + 4 * number, 30 + number)) for number in range(2)]
        requests += [GenerateRequest(prompt, _NEW_TOKENS) for prompt in prompts]
    return [ModelRequest(model, request) for model in (BASE, _ADAPTER) for request in requests]


def _draw(length: int, seed: int) -> tuple[int, ...]:
    import torch

    return tuple(torch.randint(10, 400, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def _engine(
    base: Model,
    adapter: Path,
    quantization: QuantizationSection | None,
    mode: AdapterMode,
    dtype: DTypeName = "float32",
) -> TransformersEngine:
    return TransformersEngine(
        lambda: load_for_scoring(base, quantization, train_dtype=dtype, dtype=dtype, device=_CPU),
        load_tokenizer(str(base.folder)),
        {_ADAPTER: adapter},
        adapter_mode=mode,
        batch_tokens=400,
        batch_rows=3,
    )


def table(outcomes: Mapping[str, Outcome]) -> str:
    """What works for each family, as Markdown."""
    return _HEAD + "".join(f"{_row(name, outcome)}\n" for name, outcome in outcomes.items())


def filled(text: str, outcomes: Mapping[str, Outcome]) -> str:
    """The page with the table in its place."""
    return with_tables(PAGE, text, _MARKS, table(outcomes))


def _row(name: str, outcome: Outcome) -> str:
    family = FAMILIES[name]
    title = f"`{name}`{f': {family.examples}' if family.examples else ''}"
    if not outcome.holds:
        worst = max(outcome.difference, outcome.loss_difference)
        reason = outcome.error.partition("\n")[0] or f"differs by {worst:.2g} nats"
        return f"| {title} | fails: {reason} | | | | {family.vllm} |"
    return (
        f"| {title} | yes | {100 * outcome.four_bit_share:.1f} % | {outcome.difference:.0e} |"
        f" {'merged' if outcome.merged else 'unmerged'} | {family.vllm} |"
    )


def main() -> None:
    """Check families, print and write what was measured, and fail if one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} and the table in {PAGE.name}")
    parser.add_argument("--check", action="store_true", help="run nothing; exit 1 where the table is stale")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    if args.check:
        kept = {name: Outcome(**values) for name, values in read_json(RESULTS)["families"].items()}
        sys.exit(0 if filled(text, kept) == text else f"{PAGE.name} is stale")
    outcomes = {}
    for family in args.families or FAMILIES:
        with tempfile.TemporaryDirectory() as work:
            outcomes[family] = check(family, Path(work))
        print(family, "holds" if outcomes[family].holds else "FAILS", outcomes[family], flush=True)
    if args.write:
        values = {family: asdict(outcome) for family, outcome in outcomes.items()}
        command = "python -m benchmarks.model_families --write"
        write_json(
            RESULTS, {"command": command, "tolerance": TOLERANCE, "families": values, "environment": describe(_CPU)}
        )
        write_text(PAGE, filled(text, outcomes))
    sys.exit(0 if all(outcome.holds for outcome in outcomes.values()) else 1)


if __name__ == "__main__":
    main()
