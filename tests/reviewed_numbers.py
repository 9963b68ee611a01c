"""Numbers in the pages that nobody measured: a text of the page (of any page: EVERYWHERE), and what it is.

What a public constant of the code says is filled in from it, so that a page cannot keep another number.
"""

from benchmarks import (
    gate_exact,
    gate_simulation,
    judge_simulation,
    judging_story,
    model_families,
    power_check,
    slices_simulation,
    synthetic_raters,
)
from harness.runs.power_plan import DISCORDANCE
from harness.scoring.questions import BLOCK_SAMPLES
from harness.viewing.server import ADDRESS
from reports.comparison.inference import LEVEL
from reports.comparison.learning_curve import MOST_COMPARED
from reports.comparison.proportions import POWER
from reports.comparison.rated_sample import ENOUGH_RATINGS
from reports.comparison.verdict import TRUNCATED
from reports.document.evidence import NOISE_ITEMS
from reports.document.schema import SCHEMA_VERSION, MetricInfo
from reports.files import MOST_JSON_BYTES, MOST_LINE_BYTES
from reports.gate.mean_difference import MIN_ITEMS
from reports.gate.outcome import SCHEMA_VERSION as GATE_SCHEMA_VERSION
from reports.gate.policy import NoBadSlice, NoRegression, Superiority
from tasks.catalog import TASKS
from tasks.data.arrow_rows import MOST_RATIO, USUAL_BYTES
from tasks.data.csv_rows import MAX_CELL_CHARACTERS
from tasks.data.options import LEAST_OPTIONS, MOST_OPTIONS
from tasks.data.source import MOST_BYTES
from tasks.overlap import runs
from tasks.retention import ITEMS as RETENTION_ITEMS
from training.recipes.own_data import MOST_HELD_OUT

EVERYWHERE = "*"

_CONFIDENCE = f"{100 * (1 - LEVEL):.0f} %"
_RELEVANT = {metric.key: 100 * metric.relevant for task in TASKS.values() for metric in task.metrics}
_MARGIN = 100 * MetricInfo(key="m", title="Metric", higher_is_better=True).relevant
_BAD_SLICE = NoBadSlice(metric="t/m", by=["class"]).confidence
_SUPERIORITY, _NO_REGRESSION = Superiority(metric="t/m").confidence, NoRegression(metric="t/m").confidence

REVIEWED = {
    EVERYWHERE: {
        "Python 3.11 to 3.14": "supported versions, in pyproject.toml",
        "official 500 test": "size of PubMedQA's test set, by its authors",
        "batch 256": "setting of benchmarks/gpu_speed.py",
        f"listens on {ADDRESS}": "address of medbench view",
    },
    "ARCHITECTURE.md": {f"blocks of {BLOCK_SAMPLES:,} samples": "limit"},
    "docs/benchmarks.md": {
        f"are the {RETENTION_ITEMS} items whose": "size of the samples",
        f"paired {_CONFIDENCE} interval": "level of intervals",
        f"above {100 * TRUNCATED:.0f} % of them open": "limit",
    },
    "docs/your-data.md": {
        f"at most {MOST_HELD_OUT}": "limit",
        f"may take {USUAL_BYTES >> 20} MiB when decompressed, or {MOST_RATIO} times the size of the file if that is"
        f" more, up to {MOST_BYTES >> 30} GiB": "limits",
        f"{LEAST_OPTIONS} to {MOST_OPTIONS}, not": "limits",
        f"above {100 * TRUNCATED:.0f} % it opens": "limit",
    },
    "docs/add-a-recipe.md": {
        f"files of {MOST_BYTES >> 30} GiB (JSON, which is read as a whole: {MOST_JSON_BYTES >> 30} GiB), lines of"
        f" {MOST_LINE_BYTES >> 20} MiB, cells of {MAX_CELL_CHARACTERS:,} characters": "limits",
        f"may take {USUAL_BYTES >> 20} MiB in memory, or {MOST_RATIO} times the size of the file if that is more,"
        f" up to {MOST_BYTES >> 30} GiB": "limits",
    },
    "docs/quickstart.md": {
        f"(version {SCHEMA_VERSION})": "of the schema of results",
        "Linux on x86-64, CPU, Python 3.11": "where CI runs",
        "Linux on x86-64, NVIDIA": "an architecture",
        "Python 3.12": "in the files of benchmarks/results/gpu",
        "Python 3.13": "the tests were run with it",
        "Python 3.14": "of pyproject.toml",
        "Python 3.15 and later": "the same",
    },
    "docs/reference.md": {"130, 143": "exit codes of signals"},
    "docs/metrics.md": {"a human annotator 78.0 % and 72.2 %": "published by Jin et al. 2019"},
    "docs/recipes.md": {
        "96 + 36 synthetic rows, 66 synthetic": "rows that ship with medbench, in tasks/samples",
        "500 rows, 60 steps": "settings of the recipe",
        "200 rows outside": "setting of the recipe",
        "all but 100 rows": "setting of the recipe",
        "450 + 50 rows": "settings of the recipe",
    },
    "docs/speed.md": {
        "256 prompts x 256 tokens and 200 PubMedQA questions": "settings of benchmarks/gpu_speed.py",
        "timed on 16 of the prompts": "setting of benchmarks/gpu_speed.py",
        "500 PubMedQA items in four settings": "the official test ids, benchmarks/gpu_real.sh",
    },
    "CONTRIBUTING.md": {"if 90 % of its mutants (85 % in": "limits: REQUIRED of benchmarks/mutation.py"},
    "SECURITY.md": {"more than 1 MB": "limit of training/recipes/strict_yaml.py"},
    "docs/analysis.md": {f"{_CONFIDENCE} in `scores`": "definition"},
    "docs/gate.md": {
        f"version {GATE_SCHEMA_VERSION})": "of the schema of gate.json",
        f"{_MARGIN:.0f} % or {_MARGIN:.0f} points for most": "default of a metric's relevant difference",
        f"{_SUPERIORITY} for superiority and non-inferiority, {_NO_REGRESSION} for": "default confidences",
        f"are {100 * (2 * _SUPERIORITY - 1):.0f} % and {100 * (2 * _NO_REGRESSION - 1):.0f} % intervals": "two-sided",
        f"below {MIN_ITEMS} items": "limit of the tests",
        f"Below {MIN_ITEMS} items of the rarest": "limit of the tests of macro-F1",
        "39 identical answers are inconclusive": "example, in tests/reports/gate/test_judging.py",
        f"that loses {_MARGIN:.0f} points could": "the same example",
        "the 95 % upper limit": "SPREAD_CONFIDENCE of reports/gate/estimate.py",
        f"from {gate_simulation.ITEMS[0]} to {gate_simulation.ITEMS[-1]:,} and"
        f" {100 * gate_exact.DISCORDANCES[0]:.0f} to {100 * gate_exact.DISCORDANCES[-1]:.0f} % of": "enumerated",
        f"default margin of {100 * gate_exact.MARGIN:.0f} points": "setting of benchmarks/gate_exact.py",
        "of 20 equal ones": "setting of benchmarks/gate_simulation.py",
        f"1 - {1 - _SUPERIORITY:.2f} / candidates": "Bonferroni's correction of the default",
        "at 100, 200, ... 1,000 items": "settings of benchmarks/gate_simulation.py",
        "loses 1 point passes": "setting of benchmarks/gate_simulation.py",
        "have lost 5 points": "five times 1 point",
        "5 % is written 0.05": "notation",
        f"one-sided `confidence` of {_BAD_SLICE}": "default confidence",
    },
    "docs/judging.md": {
        "with the 50 reasoning rows": "setting of benchmarks/gpu_real.sh",
        f"trained for {judging_story.RECIPE['trainer']['max_steps']} steps": "setting of benchmarks/judging_story.py",
        f"at most {judging_story.RECIPE['scoring']['max_new_tokens']} new tokens": "setting of the same",
        f"by {synthetic_raters.JUDGE_FAVOUR} marks": "setting of benchmarks/synthetic_raters.py",
        f"from {ENOUGH_RATINGS} rated items on": "limit, simulated in tests/reports/judging/test_calibration.py",
        "with 30, 60 and 120 rated items": "settings of benchmarks/judge_simulation.py",
        f"How often do {_CONFIDENCE} intervals": "definition",
        f"in marks, with {_CONFIDENCE} intervals": "level of the same",
    },
    "docs/leakage.md": {
        f"runs of {runs.RUN} equal words": "limit",
        f"{runs.RUN} words tell a copy": "limit",
        f"a text of {runs.SHORTEST_RUN} to {runs.RUN - 1} words counts as a whole": "limits",
        f"{runs.RUN} times the characters of an average word: {runs.run_size(1000, 1.6)} in Chinese, about"
        f" {runs.run_size(1000, 2.5)} in kana, {runs.run_size(1000, 4)} in Thai": "limits, for characters of a word",
        f"or {runs.LONGEST_PHRASE} words that are half": "limit",
        f"more than {runs.EVERYWHERE:,} different texts": "limit",
        "with 20 or more content words": "limit of tasks/overlap/same_question.py",
        "unbroken strings of over 40 letters": "limit of tasks/overlap/passages.py",
        "the 500 official test ids": "size of PubMedQA's test set, by its authors",
        "the ids are those 500": "the same",
        "of the official 500 test ids": "the same",
        "beside the official 500 only": "the same",
    },
    "docs/models.md": {f"most {model_families.TOLERANCE} nats": "limit: TOLERANCE of benchmarks/model_families.py"},
    "docs/reports.md": {
        "(200)": "default of report.samples",
        "would pass 2 MB": "limit of reports/page/answers.py",
    },
    "docs/results.md": {
        "trained on 450 rows": "setting of benchmarks/gpu_real.sh",
        "PubMedQA's 500 items outside": "size of PubMedQA without its test set",
        "50 held-out reasoning rows": "setting of benchmarks/gpu_real.sh",
        "500 items and 50 rows decide": "the same",
        "50 rows are too few": f"fewer than {NOISE_ITEMS}",
    },
    "docs/scoring.md": {
        f"{BLOCK_SAMPLES:,} samples": "limit",
        f"Of {slices_simulation.TWENTY} slices in which": "setting of benchmarks/slices_simulation.py",
        "slices of 10 to 200 items": "settings of benchmarks/slices_simulation.py",
        "vLLM 0.26": "a version",
        f"still excludes 0 at {100 * LEVEL:.0f} % divided by": "level of the tests",
        f"of {slices_simulation.UNEVEN[0]} to 200 items": "settings of benchmarks/slices_simulation.py",
        "26 July 2024": "the date that chat templates insert",
        "`timeout` | 300 |": "setting",
        "429": "an HTTP status",
        "exit codes 130 and 143": "by POSIX, 128 and the signal's number",
        f"re-scores {NOISE_ITEMS} items of each task": "setting",
        f"at least {NOISE_ITEMS} items were re-scored": "limit",
        f"exact {_CONFIDENCE} interval": "definition",
        f"with a {_CONFIDENCE} interval": "definition",
        f"none of 8 changes, the true rate may be up to {100 * (1 - LEVEL ** (1 / 8)):.0f} %": "exact one-sided limit",
    },
    "docs/statistics.md": {
        f"Scores have {_CONFIDENCE} intervals": "definition",
        f"{_RELEVANT['accuracy']:.0f} points of accuracy and other shares, {_RELEVANT['rouge_l']:.0f} points of"
        f" ROUGE-L, {_RELEVANT['perplexity']:.0f} % of the baseline's perplexity": "definition",
        f"with {100 * POWER:.0f} % power": "definition",
        "(seen from 20 items on)": "definition, in reports/comparison/ratios.py",
        "if 3 % of the items lose much, 50 items often": "0.97 ** 50 is 22 %",
        "93 to 97 % from 50 items on and of 90 to 98 % below": "bounds in benchmarks/statistics_simulation.py",
        "at least 91 %, of flagged intervals at least 85 %; 5 % of false": "the same",
        "the upper 95 % limit of the share": "definition, in reports/comparison/proportions.py and outcome.py",
        f"at most {100 * LEVEL:.0f} % for one adapter and for eight": "level of the tests",
        f"with a chance of {100 * POWER:.0f} %": "definition",
        f"({LEVEL:g} divided by": "level of the tests",
        "(upper 95 % limit)": "definition, in reports/comparison/proportions.py",
        f"{100 * DISCORDANCE:.0f} % are assumed": "default of --discordance",
        f"every table of up to {power_check.ENUMERATED} items": "setting of benchmarks/power_check.py",
        "the upper 95 % limit of the variance": "definition, in reports/comparison/calibration.py",
        f"too narrow for {judge_simulation.RATINGS[0]} ratings": "setting of benchmarks/judge_simulation.py",
        f"from {judge_simulation.RATINGS[0]} ratings on": "the same",
        f"correlates by {judge_simulation.GOOD_CORRELATION:g} or more": "the same",
    },
    "docs/training.md": {
        "on 10 items of two tasks": "setting of the command in checkpoints_speed.json",
        "2 rows of 2,048 tokens": "setting of benchmarks/gpu_recipes.py",
        "a checkpoint every 20 steps, all scored": "setting of benchmarks/gpu_curve.sh",
        "500 official test items and 50 held-out rows": "the same",
        "is there after 20 steps": "a row of the table, which `medbench readme` writes",
        "ROUGE-L falls at step 40": "the same",
        "recovered by step 100": "the same",
        "have it from step 100 onwards": "the same",
        "chosen on 30 or 100 items": "settings of benchmarks/selection_simulation.py",
        "a fifth, at most 100": "limit",
        f"the {_CONFIDENCE} interval misses in": "definition",
        "issue 1945": "number of an issue",
        "no block of 32": "llama.cpp's block",
        f"Of more than {MOST_COMPARED} steps, {MOST_COMPARED} evenly spaced": "limit",
        "1,000 texts": "limit",
    },
}
