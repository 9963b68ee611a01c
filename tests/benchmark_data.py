"""Synthetic data sets in the schemas of public benchmarks, written as folders that `datasets.load_dataset` reads.

All questions are invented; nothing is taken from a benchmark, and nothing is medical knowledge.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

ITEMS = 8
_LETTERS = "ABCDEFGHIJ"
MMLU = [
    "anatomy",
    "clinical_knowledge",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
    "college_biology",
]


def _question(number: int, about: str) -> str:
    return f"Synthetic {about} question {number}: which sign follows sign {number}?"


def _options(number: int, count: int) -> dict[str, str]:
    return {_LETTERS[index]: f"sign {number + index} of the {count} signs" for index in range(count)}


def medqa() -> list[dict[str, Any]]:
    return [
        {"id": f"q{n}", "sent1": _question(n, "licensing"), "sent2": "", "label": n % 4}
        | {f"ending{index}": text for index, text in enumerate(_options(n, 4).values())}
        for n in range(ITEMS)
    ]


def medmcqa() -> list[dict[str, Any]]:
    return [
        {"id": f"m{n}", "question": _question(n, "entrance"), "cop": (n + 1) % 4, "choice_type": "single", "exp": None}
        | dict(zip(("opa", "opb", "opc", "opd"), _options(n, 4).values(), strict=True))
        | {"subject_name": "Anatomy", "topic_name": None}
        for n in range(ITEMS)
    ]


def mmlu(subject: str) -> list[dict[str, Any]]:
    return [
        {"question": _question(n, subject), "subject": subject, "choices": [*_options(n, 4).values()], "answer": n % 4}
        for n in range(ITEMS)
    ]


def medxpertqa() -> list[dict[str, Any]]:
    rows = []
    for n in range(ITEMS):
        options = _options(n, 10)
        listed = " ".join(f"({letter}) {text}" for letter, text in options.items())
        rows.append(
            {
                "id": f"Text-{n}",
                "question": f"{_question(n, 'board')}\nAnswer Choices: {listed}",
                "options": options,
                "label": _LETTERS[n],
                "medical_task": "Diagnosis",
                "body_system": "Nervous",
                "question_type": "Reasoning",
            }
        )
    return rows


def supergpqa() -> list[dict[str, Any]]:
    return [
        {
            "uuid": f"u{n}",
            "question": _question(n, "graduate"),
            "options": [*_options(n, 4 + n % 7).values()],
            "answer": _options(n, 4)["B"],
            "answer_letter": "B",
            "discipline": "Medicine" if n % 2 else "Law",
            "field": "Clinical Medicine" if n % 2 else "Law",
            "subfield": "Surgery",
            "difficulty": "hard",
            "is_calculation": False,
        }
        for n in range(2 * ITEMS)
    ]


def metamedqa() -> list[dict[str, Any]]:
    return [
        {
            "meta_info": "step1",
            "answer_idx": "C",
            "metamap_phrases": "",
            "question": _question(n, "metacognition"),
            "kind": "synthetic",
            "answer": _options(n, 6)["C"],
            "options": _options(n, 6) | {"F": _options(n, 6)["F"] if n % 2 else None},
        }
        for n in range(ITEMS)
    ]


def medhallu() -> list[dict[str, Any]]:
    return [
        {
            "Question": _question(n, "abstract"),
            "Knowledge": ["Signs follow each other."],
            "Ground Truth": f"Sign {n + 1} follows.",
            "Difficulty Level": "easy",
            "Hallucinated Answer": f"Sign {n + 7} follows.",
            "Category of Hallucination": "Misinterpretation",
        }
        for n in range(ITEMS)
    ]


def medhalt(*, proposed: bool) -> list[dict[str, Any]]:
    rows = []
    for n in range(2 * ITEMS):
        options = dict(zip("0123", _options(n, 4).values(), strict=True))
        if proposed:
            options["correct answer"] = options[str(n % 4)]
        rows.append(
            {
                "id": f"h{n}",
                "dataset": "synthetic",
                "subject_name": "Anatomy",
                "split_type": "test" if n % 2 else "train",
                "question": _question(n, "test"),
                "options": str(options),
                "correct_answer": options["1"],
                "correct_index": 1,
            }
            | ({"student_answer": options[str(n % 4)], "student_index": n % 4} if proposed else {})
        )
    return rows


def glianorex() -> list[dict[str, Any]]:
    return [
        {
            "question": _question(n, language),
            "options": _options(n, 4),
            "answer_idx": _LETTERS[n % 4],
            "answer": _options(n, 4)[_LETTERS[n % 4]],
            "language": language,
        }
        for language in ("en", "fr")
        for n in range(ITEMS)
    ]


def medcalc() -> list[dict[str, Any]]:
    truths = [("2.5", "2.375", "2.625"), ("7", "7", "7"), ("03/09/2021", "03/09/2021", "03/09/2021")]
    truths += [("('17 weeks', '4 days')", "('17 weeks', '4 days')", "('17 weeks', '4 days')")]
    return [
        {
            "Row Number": n + 1,
            "Calculator ID": n,
            "Calculator Name": "Synthetic index",
            "Category": "lab test",
            "Output Type": "decimal",
            "Note ID": f"n{n}",
            "Note Type": "Synthetic",
            "Patient Note": f"A synthetic patient with {n} signs.",
            "Question": f"What is the synthetic index of {n} signs?",
            "Relevant Entities": "{}",
            "Ground Truth Answer": truths[n % 4][0],
            "Lower Limit": truths[n % 4][1],
            "Upper Limit": truths[n % 4][2],
            "Ground Truth Explanation": "Invented.",
        }
        for n in range(ITEMS)
    ]


def hellaswag() -> list[dict[str, Any]]:
    return [
        {
            "ind": n,
            "activity_label": "Counting signs",
            "ctx_a": f"Someone counts {n} signs.",
            "ctx_b": "then they",
            "ctx": f"Someone counts {n} signs. then they",
            "endings": [f"count sign {n + index}." for index in range(4)],
            "source_id": "synthetic",
            "split": "val",
            "split_type": "indomain",
            "label": str(n % 4),
        }
        for n in range(ITEMS)
    ]


def arc() -> list[dict[str, Any]]:
    return [
        {
            "id": f"a{n}",
            "question": _question(n, "school"),
            "choices": {"text": [*_options(n, 4).values()], "label": [*"ABCD"]},
            "answerKey": "B",
        }
        for n in range(ITEMS)
    ]


def careqa() -> list[dict[str, Any]]:
    return [
        {"exam_id": n, "question": _question(n, "access"), "cop": 1 + n % 4, "year": 2024, "category": "Nursing"}
        | {f"op{index}": text for index, text in enumerate(_options(n, 4).values(), 1)}
        | {"unique_id": f"c{n}"}
        for n in range(ITEMS)
    ]


def headqa() -> list[dict[str, Any]]:
    return [
        {
            "name": "synthetic",
            "year": "2024",
            "category": "nursing",
            "qid": n,
            "qtext": _question(n, "health"),
            "ra": 1 + n % 4,
            "answers": [{"aid": index, "atext": text} for index, text in enumerate(_options(n, 4).values(), 1)],
        }
        for n in range(ITEMS)
    ]


def pubmedqa() -> list[dict[str, Any]]:
    return [
        {
            "pubid": 100 + n,
            "question": f"Do {n} synthetic signs follow?",
            "context": {"contexts": [f"We counted {n} synthetic signs."], "labels": ["METHODS"], "meshes": []},
            "long_answer": "Signs follow.",
            "final_decision": ("yes", "no", "maybe")[n % 3],
        }
        for n in range(ITEMS)
    ]


def write_all(folder: Path) -> dict[str, str]:
    """Write every data set; returns the folders by the ids of the data sets that they stand in for."""
    halt = {"reasoning_FCT": {"train": medhalt(proposed=True)}, "reasoning_nota": {"train": medhalt(proposed=False)}}
    subjects = {subject: {"test": mmlu(subject), "dev": mmlu(subject)} for subject in MMLU}
    subjects["all"] = {"test": [row for subject in MMLU for row in mmlu(subject)]}
    arc_splits = {split: arc() for split in ("train", "validation", "test")}
    sets: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {
        "GBaker/MedQA-USMLE-4-options-hf": {"default": dict.fromkeys(("train", "validation", "test"), medqa())},
        "openlifescienceai/medmcqa": {"default": dict.fromkeys(("train", "validation"), medmcqa())},
        "cais/mmlu": subjects,
        "TsinghuaC3I/MedXpertQA": {"Text": {"test": medxpertqa()}},
        "m-a-p/SuperGPQA": {"default": {"train": supergpqa()}},
        "maximegmd/MetaMedQA": {"default": {"test": metamedqa()}},
        "UTAustin-AIHealth/MedHallu": {"pqa_labeled": {"train": medhallu()}},
        "openlifescienceai/Med-HALT": halt,
        "maximegmd/glianorex": {"default": {"test": glianorex()}},
        "ncbi/MedCalc-Bench-v1.2": {"default": {"test": medcalc()}},
        "Rowan/hellaswag": {"default": {"validation": hellaswag(), "train": hellaswag()}},
        "allenai/ai2_arc": {"ARC-Easy": arc_splits},
        "HPAI-BSC/CareQA": {"CareQA_en": {"test": careqa()}, "CareQA_es": {"test": careqa()}},
        "EleutherAI/headqa": {name: dict.fromkeys(("train", "validation", "test"), headqa()) for name in ("en", "es")},
    }
    return {name: str(write(folder / name.replace("/", "--"), configs)) for name, configs in sets.items()}


def write_pubmedqa(folder: Path) -> Path:
    """Write PubMedQA in the hub's shape, as rows for `data.pubmedqa`."""
    return write(folder / "pubmedqa", {"pqa_labeled": {"train": pubmedqa()}})


def write(folder: Path, configs: dict[str, dict[str, list[dict[str, Any]]]]) -> Path:
    """One data set: JSON lines, or CSV as Med-HALT and MedCalc-Bench have it, and the card that names them."""
    lines = ["---", "configs:"]
    is_csv = any(word in folder.name for word in ("HALT", "MedCalc"))
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            path = folder / config / f"{split}.{'csv' if is_csv else 'jsonl'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                if is_csv:
                    writer = csv.DictWriter(file, rows[0].keys())
                    writer.writeheader()
                    writer.writerows(rows)
                else:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
            lines += [f"  - split: {split}", f"    path: {config}/{path.name}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", "# Synthetic data in this schema", ""]))
    return folder
