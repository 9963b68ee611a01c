"""Tells the whole story of a judge on the 50 reasoning rows with synthetic raters: run, judge, rate, rate more.

    python -m benchmarks.judging_story WORK OUT.json --data FOLDER [--limit N] [--allow-dirty]

FOLDER holds `train_data.jsonl` and `test_data.jsonl` of medical-o1-reasoning-SFT, which are not in this repository. The
commands are the real ones, in WORK: SmolLM2-135M-Instruct and a briefly trained adapter answer the rows; the base
judges the answers, which proves the plumbing, since it cannot judge; then a synthetic judge does, behind a real HTTP
server. Its ratings and the marks of two raters follow the rule of `benchmarks.synthetic_raters`, so that the true
difference is known. Nothing here says anything about a model. No text of a row or an answer is written to OUT.json.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.evidence import environment
from benchmarks.synthetic_raters import ASPECTS, RATERS, SEED, mark, synthetic_judge
from harness.runs.judged_answers import read_answers
from reports.comparison.rated_sample import ENOUGH_RATINGS
from reports.document.judging import CalibratedDifference, Judging
from reports.document.reading import read_results
from reports.files import read_json, write_json
from reports.judging_tables import judging_sentences
from reports.rating_sheet import output_hash
from tasks.catalog import GENERATION

ROOT = Path(__file__).resolve().parent.parent
ITEMS = 20  # that people rate first
RUN = "runs/story"
SHOWN_ADDRESS = "http://localhost:8000/v1#judge"  # the real port is a free one
RECIPE: dict[str, Any] = {
    "name": "story",
    "seed": SEED,
    "model": {"base": "smollm2-135m-instruct", "dtype": "bfloat16"},
    "quantization": {"method": "none"},
    "format": {"name": "thinking-headings"},
    "trainer": {"max_steps": 12, "batch_size": 2, "gradient_accumulation": 1, "learning_rate": 5e-4, "max_length": 512},
    "scoring": {"tasks": [GENERATION], "max_new_tokens": 96, "noise_items": 0},
}


@dataclass
class Story:
    """A working folder and the commands that were run in it.

    Attributes:
        work: The folder.
        commands: Each command as a reader would write it, and its seconds.
    """

    work: Path
    commands: list[dict[str, Any]] = field(default_factory=list)

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.work / RUN

    def medbench(self, *words: str, address: str = "") -> None:
        """Run a command, and end if it fails; `address` is the server's, which is not shown."""
        shown = " ".join(word.replace(address, SHOWN_ADDRESS) if address else word for word in words)
        print(f"medbench {shown}", flush=True)
        start = time.perf_counter()
        # The store would replay answers of earlier stories, whose seconds say nothing.
        own = {"PYTHONPATH": str(ROOT), "MEDBENCH_CACHE_GB": "0"}
        subprocess.run([sys.executable, "-m", "harness", *words], cwd=self.work, env=os.environ | own, check=True)  # noqa: S603
        self.commands.append({"command": f"medbench {shown}", "seconds": round(time.perf_counter() - start, 1)})

    def judging(self, judge: str) -> Judging:
        """What the results say of a judge."""
        return next(one for one in read_results(self.run).judging if one.judge.name == judge)

    def rate(self) -> None:
        """Fill the exported sheet in for every rater, and import their marks."""
        codes = read_json(self.run / "ratings" / "key.json")["codes"]
        with (self.run / "ratings" / "sheet.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for rater, noise in RATERS.items():
            with (self.work / f"{rater}.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                for row in rows:
                    model, answer = codes[row["code"]]["model"], codes[row["code"]]["output_sha256"]
                    writer.writerow(row | {aspect: mark(rater, model, answer, aspect, noise) for aspect in ASPECTS})
        self.medbench("rate", "import", RUN, *(f"{rater}.csv" for rater in RATERS))


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with three decimals."""
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}


def counts(judging: Judging) -> dict[str, Any]:
    """Replies of a judge, its length bias and its faults, without address and hashes."""
    length = rounded(judging.length.model_dump()) if judging.length else None
    return {"replies": [one.model_dump() for one in judging.replies], "length": length, "faults": judging.faults}


def calibrated(one: CalibratedDifference, truth: float) -> dict[str, Any]:
    """A calibrated difference, and whether its interval and that of the ratings alone cover the truth."""
    value = rounded(one.model_dump())
    if one.low is not None and one.high is not None and one.human_low is not None and one.human_high is not None:
        value |= {"covers": one.low <= truth <= one.high, "human_covers": one.human_low <= truth <= one.human_high}
    return value


def rated(story: Story) -> dict[str, Any]:
    """What people's marks add: calibrated differences by aspect, agreement of the raters, and sentences."""
    judging, ratings = story.judging("synthetic"), read_results(story.run).ratings
    assert ratings is not None
    texts = [text for text, _ in judging_sentences(judging) if not text.startswith("Judge: ")]
    return {
        "answers": ratings.answers,
        "raters": ratings.raters,
        "alpha_of_raters": rounded(ratings.agreement),
        "aspects": {one.metric: calibrated(one, ASPECTS[one.metric].truth) for one in judging.calibration},
        "sentences": texts,
    }


def run_commands(story: Story, data: Path, limit: int | None) -> dict[str, Any]:
    """Run all commands; what they show."""
    recipe = RECIPE | {"data": {"train": {"source": str(data / "train_data.jsonl")}}}
    recipe["data"]["reasoning"] = {"source": str(data / "test_data.jsonl")}
    recipe["scoring"] = RECIPE["scoring"] | ({} if limit is None else {"limit": limit})
    (story.work / "story.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    story.medbench("run", "--recipe", "story.yaml", "--out", RUN)
    story.medbench("judge", RUN, "--judge", "base")
    samples = {model: read_answers(story.run, model, GENERATION) for model in ("adapter", "base")}
    answers = {one.output.strip(): (model, output_hash(one)) for model, own in samples.items() for one in own.values()}
    with synthetic_judge(answers) as address:
        story.medbench("judge", RUN, "--judge", f"synthetic={address}", address=address)
    judges = {name: counts(story.judging(name)) for name in ("base", "synthetic")}
    alone = {one.metric: one for one in story.judging("synthetic").comparisons}
    story.medbench("rate", "export", RUN, "--for-judge", "--items", str(ITEMS))
    story.rate()
    first = rated(story)
    named = [one["further"] for one in first["aspects"].values() if one["further"]]
    more = max(named, default=ENOUGH_RATINGS - ITEMS)  # without a number, up to as many as make intervals reliable
    story.medbench("rate", "export", RUN, "--more", "--items", str(more))
    story.rate()
    return {
        "items": len(samples["base"]),
        "items_with_equal_answers": sum(
            one.output == samples["base"][key].output for key, one in samples["adapter"].items()
        ),
        "judges": judges,
        "truth": rounded({key: aspect.truth for key, aspect in ASPECTS.items()}),
        "judge_alone": {
            key: rounded(one.model_dump(include={"difference", "low", "high", "level", "outcome"}))
            for key, one in alone.items()
        },
        "numbers_named": named,
        "rated_first": first,
        "rated_all": rated(story),
    }


def main() -> None:
    """Tell the story and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="an empty folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty)
    args.work.mkdir(parents=True, exist_ok=True)
    story = Story(args.work.resolve())
    measured = run_commands(story, args.data.resolve(), args.limit)
    limit = "" if args.limit is None else f" --limit {args.limit}"
    about = {
        "what": "synthetic raters and a synthetic judge: no verdict on any model",
        "command": f"python -m benchmarks.judging_story WORK OUT.json --data FOLDER{limit}",
        "environment": facts,
        "commands": story.commands,
    }
    write_json(args.out, about | measured)


if __name__ == "__main__":
    main()
