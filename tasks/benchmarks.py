"""Catalogue of the benchmarks in suites: what each lm-eval task measures, its size, licence and source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from reports.bundles.manifest import NOT_STATED

Kind = Literal["log-likelihood", "generated"]


@dataclass(frozen=True)
class Benchmark:
    """One lm-eval task of a suite.

    Attributes:
        task: Name of the lm-eval task; those that start with `medbench_` come with medbench.
        title: Title in reports.
        measures: What it measures, one clause.
        items: Number of scored items; None if it could not be verified.
        licence: Licence of the data set, or `not stated`.
        source: Data set on the hub, with the configuration after a colon.
        characters: Typical length of an item as a model reads it, for estimated times; an assumption, not a fact of the
            data set.
        kind: Whether answers are scored by log-likelihood or generated.
        revision: Commit of the data set that a task file of ours pins; empty if none is pinned, as by all of lm-eval's
            own task files.
        new_tokens: Longest generated answer by lm-eval's own task file; 0 if the recipe's limit holds.
        non_commercial: Whether the licence forbids commercial use; such a task is never in a suite by default.
        by_likelihood: The task that scores the same items by log-likelihood, for tasks of ours that reason about them.
    """

    task: str
    title: str
    measures: str
    items: int | None
    licence: str
    source: str
    characters: int
    kind: Kind = "log-likelihood"
    revision: str = ""
    new_tokens: int = 0
    non_commercial: bool = False
    by_likelihood: str = ""

    @property
    def source_id(self) -> str:
        """Id of the data set without its configuration."""
        return self.source.partition(":")[0]


def _mmlu(subject: str, items: int, characters: int) -> Benchmark:
    words = subject.replace("_", " ")
    measures = f"four-choice examination questions on {words}"
    return Benchmark(f"mmlu_{subject}", f"MMLU {words}", measures, items, "MIT", f"cais/mmlu:{subject}", characters)


def _reasoned(of: Benchmark) -> Benchmark:
    """The task that reasons about the items of another before it gives the letter."""
    name = _REASONED_NAMES.get(of.task, of.task.removeprefix("medbench_"))
    return replace(
        of,
        task=f"medbench_{name}_reasoned",
        title=f"{of.title}, reasoned",
        measures=f"the questions of `{of.task}`, reasoned about before the letter",
        kind="generated",
        by_likelihood=of.task,
    )


def _korean(field: str) -> Benchmark:
    return Benchmark(
        f"kormedmcqa_{field}",
        f"KorMedMCQA, {field}",
        f"Korean licensing examination ({field}), the letter extracted",
        None,
        "CC-BY-NC-2.0",
        f"sean0042/KorMedMCQA:{field}",
        1500,
        kind="generated",
        non_commercial=True,
    )


_REASONED_NAMES = {"medqa_4options": "medqa"}
_GLIANOREX, _HALT, _MEDXPERT = "maximegmd/glianorex", "openlifescienceai/Med-HALT", "TsinghuaC3I/MedXpertQA:Text"
_HALT_REVISION = "d1e8d04295742df7abc485062344fe328e141395"

_MEDICAL = (
    Benchmark(
        "medqa_4options",
        "MedQA (USMLE, 4 options)",
        "questions of the United States medical licensing examination, four options",
        1273,
        "CC-BY-SA-4.0",
        "GBaker/MedQA-USMLE-4-options-hf",
        900,
    ),
    Benchmark(
        "medmcqa",
        "MedMCQA (validation)",
        "Indian medical entrance examinations, 21 subjects, four options; the validation split, since the test split"
        " has no answers",
        4183,
        "Apache-2.0",
        "openlifescienceai/medmcqa",
        230,
    ),
    Benchmark(
        "medbench_pubmedqa",
        "PubMedQA",
        "whether an abstract answers its question with yes, no or maybe; lm-eval's own task points at a data set that"
        " `datasets` 4 refuses",
        500,
        "MIT",
        "qiaojin/PubMedQA:pqa_labeled",
        1600,
    ),
    _mmlu("anatomy", 135, 300),
    _mmlu("clinical_knowledge", 265, 330),
    _mmlu("college_medicine", 173, 530),
    _mmlu("medical_genetics", 100, 290),
    _mmlu("professional_medicine", 272, 1150),
    _mmlu("college_biology", 144, 430),
)
_REASONED = (
    *(_reasoned(one) for one in _MEDICAL if one.task != "medbench_pubmedqa"),
    Benchmark(
        "medbench_pubmedqa_cot",
        "PubMedQA, generated",
        "the questions and abstracts of PubMedQA, answered in words",
        500,
        "MIT",
        "qiaojin/PubMedQA:pqa_labeled",
        1600,
        kind="generated",
    ),
    Benchmark(
        "mmlu_pro_health",
        "MMLU-Pro health",
        "health questions with up to ten options, reasoning after five examples, the letter extracted",
        818,
        "MIT",
        "TIGER-Lab/MMLU-Pro",
        7000,
        kind="generated",
        new_tokens=2048,
    ),
)
_HARD = (
    Benchmark(
        "medbench_medxpertqa",
        "MedXpertQA text",
        "specialist board questions with ten options",
        2450,
        "MIT",
        _MEDXPERT,
        1200,
        revision="7e7c465a68eb2b866926bfa59c8c9d17a8daba65",
    ),
    Benchmark(
        "medbench_medcalc",
        "MedCalc-Bench",
        "clinical calculations from a patient note, within the benchmark's tolerance",
        1100,
        "CC-BY-SA-4.0",
        "ncbi/MedCalc-Bench-v1.2",
        3000,
        kind="generated",
    ),
    Benchmark(
        "medbench_supergpqa_clinical",
        "SuperGPQA clinical medicine",
        "graduate questions of the field Clinical Medicine, four to ten options",
        1218,
        "ODC-BY-1.0",
        "m-a-p/SuperGPQA",
        650,
        revision="4430d4458112c7d4497fdcf94d7cc223313d6acf",
    ),
)
_TRUST = (
    Benchmark(
        "medbench_medhallu",
        "MedHallu",
        "whether an answer to a PubMedQA question is factual or hallucinated, both answers of 1,000 questions",
        2000,
        "MIT",
        "UTAustin-AIHealth/MedHallu:pqa_labeled",
        500,
    ),
    Benchmark(
        "medbench_medhalt_fct",
        "Med-HALT false confidence",
        "whether a proposed answer to an examination question is correct, test part",
        11076,
        "Apache-2.0",
        f"{_HALT}:reasoning_FCT",
        480,
        revision=_HALT_REVISION,
    ),
    Benchmark(
        "medbench_medhalt_nota",
        "Med-HALT none of the above",
        "recognising that no option but `None of the above` is correct, test part",
        11076,
        "Apache-2.0",
        f"{_HALT}:reasoning_nota",
        380,
        revision=_HALT_REVISION,
    ),
    Benchmark(
        "medbench_metamedqa",
        "MetaMedQA",
        "MedQA questions beside unanswerable and fictional ones, with options for not knowing",
        1373,
        "CC-BY-4.0",
        "maximegmd/MetaMedQA",
        1000,
        revision="73b8f912b7208a1e97d0c9d4c872f354272ce71a",
    ),
)
_CONTROL = (
    Benchmark(
        "glianorex_en",
        "Glianorex",
        "medicine of an organ that does not exist: what is guessed from style",
        264,
        "MIT",
        _GLIANOREX,
        600,
    ),
    Benchmark(
        "medbench_glianorex_shuffled",
        "Glianorex, options shuffled",
        "the same questions with their options in another order, the same for everyone",
        264,
        "MIT",
        _GLIANOREX,
        600,
    ),
    Benchmark(
        "medbench_glianorex_no_question",
        "Glianorex, question left out",
        "the shuffled options alone: what is guessed without the question",
        264,
        "MIT",
        _GLIANOREX,
        300,
    ),
)
_RETENTION = (
    Benchmark(
        "medbench_retention_hellaswag",
        "HellaSwag, 300 items",
        "common-sense completion, a fixed sample of the validation split",
        300,
        "MIT",
        "Rowan/hellaswag",
        230,
    ),
    Benchmark(
        "medbench_retention_arc_easy",
        "ARC-Easy, 300 items",
        "school science, a fixed sample of the test split",
        300,
        "CC-BY-SA-4.0",
        "allenai/ai2_arc:ARC-Easy",
        120,
    ),
    Benchmark(
        "medbench_retention_mmlu",
        "MMLU, 300 items",
        "general knowledge in 57 subjects, a fixed sample of the test split",
        300,
        "MIT",
        "cais/mmlu:all",
        550,
    ),
)
_RETENTION_EXTRA = (
    Benchmark(
        "ifeval",
        "IFEval",
        "following instructions that a program can check; needs the packages langdetect and immutabledict",
        541,
        NOT_STATED,
        "google/IFEval",
        210,
        kind="generated",
        new_tokens=1280,
    ),
)
_LANGUAGES = (
    Benchmark(
        "careqa_es",
        "CareQA, Spanish",
        "Spanish access examinations for health professions, four options",
        5621,
        "Apache-2.0",
        "HPAI-BSC/CareQA:CareQA_es",
        330,
    ),
    Benchmark(
        "careqa_en",
        "CareQA, English",
        "the same questions in English",
        5621,
        "Apache-2.0",
        "HPAI-BSC/CareQA:CareQA_en",
        310,
    ),
    Benchmark(
        "headqa_es",
        "HEAD-QA, Spanish",
        "Spanish health examinations, each option scored as a text",
        2742,
        "MIT",
        "EleutherAI/headqa:es",
        180,
    ),
    Benchmark(
        "headqa_en",
        "HEAD-QA, English",
        "the same questions in English",
        2742,
        "MIT",
        "EleutherAI/headqa:en",
        170,
    ),
    Benchmark(
        "glianorex_fr",
        "Glianorex, French",
        "medicine of an organ that does not exist, in French",
        264,
        "MIT",
        _GLIANOREX,
        700,
    ),
)

# By suite: what its name stands for, and what belongs to it but is only scored by its own name.
MEMBERS = {
    "medical": _MEDICAL,
    "medical-reasoned": _REASONED,
    "medical-hard": _HARD,
    "medical-trust": _TRUST,
    "control": _CONTROL,
    "retention": _RETENTION,
    "languages": _LANGUAGES,
}
_ALSO_REASONED = ("medbench_medxpertqa", "medbench_supergpqa_clinical", "medbench_metamedqa")
EXTRAS = {
    **{
        suite: tuple(_reasoned(one) for one in MEMBERS[suite] if one.task in _ALSO_REASONED)
        for suite in ("medical-hard", "medical-trust")
    },
    "retention": _RETENTION_EXTRA,
    "languages": (_korean("doctor"), _korean("nurse"), _korean("pharm"), _korean("dentist")),
}
BENCHMARKS = {one.task: one for group in (*MEMBERS.values(), *EXTRAS.values()) for one in group}
