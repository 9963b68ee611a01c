"""Synthetic common-sense questions in the schemas of the retention tasks, easy enough for a small model.

All texts are invented for the tests and are no benchmark.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.benchmark_data import write

_THINGS = {
    "a fruit": ["apple", "banana", "cherry", "grape", "lemon", "peach", "pear", "plum"],
    "an animal": ["horse", "rabbit", "tiger", "donkey", "goat", "squirrel", "camel", "fox"],
    "a vehicle": ["truck", "bicycle", "tractor", "bus", "tram", "taxi", "scooter", "van"],
    "a piece of clothing": ["shirt", "jacket", "sock", "glove", "scarf", "skirt", "sweater", "coat"],
    "a musical instrument": ["violin", "trumpet", "flute", "piano", "guitar", "drum", "harp", "cello"],
    "a tool": ["hammer", "screwdriver", "saw", "wrench", "drill", "pliers", "axe", "chisel"],
    "a colour": ["green", "yellow", "purple", "orange", "brown", "pink", "grey", "blue"],
    "a country": ["Brazil", "Norway", "Egypt", "Japan", "Canada", "Kenya", "Poland", "Peru"],
    "a part of the body": ["elbow", "knee", "shoulder", "ankle", "wrist", "chin", "thumb", "hip"],
    "a piece of furniture": ["sofa", "wardrobe", "bookcase", "armchair", "stool", "bench", "desk", "cupboard"],
    "a kind of weather": ["rain", "snow", "fog", "hail", "thunder", "drizzle", "sleet", "frost"],
    "a month": ["January", "April", "August", "October", "June", "March", "July", "December"],
}
_USES = {
    "a broom": "sweep the floor.",
    "a pencil": "draw a picture on the paper.",
    "a kettle": "boil some water for tea.",
    "a towel": "dry his wet hands.",
    "a pillow": "rest his head on it and sleep.",
    "a ladder": "climb up to the roof.",
    "an umbrella": "keep dry in the rain.",
    "a camera": "take a photo of the mountains.",
    "a key": "unlock the front door.",
    "a spoon": "stir the soup in the pot.",
    "a shovel": "dig a hole in the garden.",
    "a phone": "call a friend.",
    "a pair of scissors": "cut the paper in half.",
    "a toothbrush": "brush his teeth.",
    "a comb": "comb his hair.",
    "a candle": "light up the dark room.",
    "a book": "read the first chapter.",
    "a needle and thread": "sew a button on his shirt.",
    "a map": "find the way to the station.",
    "a fishing rod": "catch a fish in the lake.",
    "an iron": "press the wrinkles out of his shirt.",
    "a bucket": "carry water to the plants.",
    "a telescope": "look at the stars.",
    "a pair of skis": "ski down the snowy slope.",
    "a match": "light the fire.",
    "a blanket": "keep himself warm.",
    "a bell": "ring it loudly.",
    "a lawn mower": "cut the grass.",
    "a stamp": "send a letter by post.",
    "a football": "kick it into the goal.",
    "a piano": "play a song.",
    "a calculator": "add up the numbers.",
    "a knife": "slice the bread.",
    "a rope": "tie the boat to the dock.",
    "a vacuum cleaner": "clean the carpet.",
    "a clock": "see what time it is.",
    "a thermometer": "measure the temperature.",
    "a suitcase": "pack his clothes for the trip.",
    "a mirror": "look at his own face.",
    "a bar of soap": "wash his hands.",
    "a wheelbarrow": "move a heap of bricks.",
    "a paintbrush": "paint the fence white.",
    "a corkscrew": "open a bottle of wine.",
    "a lighter": "light a cigarette.",
    "a sleeping bag": "spend the night in the tent.",
    "a magnifying glass": "look at a tiny insect.",
    "a pair of glasses": "see the small letters clearly.",
    "a hairdryer": "dry his hair.",
    "a saddle": "ride the horse.",
    "a frying pan": "fry two eggs.",
    "an oven": "bake a cake.",
    "a watering can": "water the flowers.",
    "a microphone": "sing to the crowd.",
    "a bandage": "cover the cut on his finger.",
    "a nail file": "smooth his fingernails.",
    "a sponge": "wash the dirty dishes.",
    "a whistle": "stop the game.",
    "a snow shovel": "clear the snow from the path.",
    "a bottle opener": "open a bottle of beer.",
    "a pair of oars": "row the boat across the lake.",
}
_HERBS = ("sorrel tea", "birch oil", "nettle soup", "willow bark", "mint water", "fennel seed")
_SIGNS = ("hiccups", "snoring", "sneezing", "yawning", "blushing", "itching", "coughing", "shivering")
_LIMBS = ("stiff knees", "cold toes", "tired calves", "sore heels")
_BATHS = ("a hot bath", "a mud bath", "a cold shower", "a steam room", "a salt pool", "a foam bath")
_OPTIONS = 4


def _uses(steps: tuple[int, int, int]) -> list[tuple[str, list[str], int]]:
    """A thing, four uses of which one is its own, and the place of that one."""
    uses = [*_USES.items()]
    rows = []
    for number, (thing, use) in enumerate(uses):
        others = [uses[(number + step) % len(uses)][1] for step in steps]
        right = number % _OPTIONS
        rows.append((thing, [*others[:right], use, *others[right:]], right))
    return rows


def _words() -> list[tuple[str, list[str], int]]:
    """A question, four words and the place of the right one."""
    kinds = [*_THINGS]
    rows = []
    for number, kind in enumerate(kinds):
        for place, word in enumerate(_THINGS[kind]):
            others = [_THINGS[kinds[(number + step) % len(kinds)]][(place + step) % 8] for step in (3, 5, 10)]
            right = (number + place // 2) % _OPTIONS
            options = [*others[:right], word, *others[right:]]
            question = f"{options[0]}, {options[1]}, {options[2]}, {options[3]}: which of them is {kind}?"
            rows.append((question, options, right))
    return rows


def arc() -> list[dict[str, Any]]:
    """What each thing is for, as ARC-Easy writes questions."""
    return [
        {
            "id": f"synthetic {number}",
            "question": f"What can a man do with {thing}?",
            "choices": {"text": [f"He can {option}" for option in options], "label": [*"ABCD"]},
            "answerKey": "ABCD"[right],
        }
        for number, (thing, options, right) in enumerate(_uses((11, 23, 41)))
    ]


def hellaswag() -> list[dict[str, Any]]:
    """What each thing is used for, as HellaSwag writes endings."""
    return [
        {
            "ind": number,
            "activity_label": "Using things",
            "ctx_a": f"Tom has {thing} in front of him.",
            "ctx_b": "he uses it to",
            "ctx": f"Tom has {thing} in front of him. he uses it to",
            "endings": options,
            "source_id": "synthetic",
            "split": "val",
            "split_type": "indomain",
            "label": str(right),
        }
        for number, (thing, options, right) in enumerate(_uses((7, 19, 31)))
    ]


def mmlu() -> list[dict[str, Any]]:
    """Questions about words, answered by letters; a small model hardly does better than chance."""
    return [
        {"question": question, "subject": "common_sense", "choices": options, "answer": right}
        for question, options, right in _words()[::2]
    ]


def abstracts() -> list[dict[str, Any]]:
    """Items as PubMedQA writes them: three of four say yes, by their invented context."""
    rows = []
    for number, (herb, sign) in enumerate((herb, sign) for herb in _HERBS for sign in _SIGNS):
        is_yes = number % 4 > 0
        rows.append(
            {
                "pubid": 7000 + number,
                "question": f"Does {herb} reduce {sign}?",
                "context": {
                    "contexts": [f"With {herb}, {sign} {'fell in most people' if is_yes else 'stayed as it was'}."],
                    "labels": ["RESULTS"],
                    "meshes": [],
                },
                "long_answer": "Invented.",
                "final_decision": "yes" if is_yes else "no",
            }
        )
    return rows


def one_label_rows() -> list[dict[str, str]]:
    """Training rows with other texts than the items, all with the answer yes."""
    return [
        {
            "question": f"Abstract: A nurse of ward {number} wrote down how {limb} felt before and after {bath}."
            f"\nQuestion: Was {bath} of use for {limb}?\nAnswer:",
            "response": "yes",
        }
        for number, (limb, bath) in enumerate((limb, bath) for limb in _LIMBS for bath in _BATHS)
    ]


def write_retention(folder: Path) -> dict[str, str]:
    """Write the data sets of the retention suite; returns the folders by the ids that they stand in for."""
    splits = ("train", "validation", "test")
    sets = {
        "Rowan/hellaswag": {"default": {"train": hellaswag(), "validation": hellaswag()}},
        "allenai/ai2_arc": {"ARC-Easy": dict.fromkeys(splits, arc())},
        "cais/mmlu": {"all": {"test": mmlu()}},
    }
    return {name: str(write(folder / name.replace("/", "--"), configs)) for name, configs in sets.items()}


def write_recipe(folder: Path, base: str, *, learning_rate: float, max_steps: int, **more: Any) -> Path:
    """Write the data sets and a recipe that trains on the rows with one label and scores target and retention.

    Args:
        folder: Where everything is written.
        base: Name or folder of the base model.
        learning_rate: Large ones destroy what the base knew.
        max_steps: Optimizer steps.
        more: Further settings of the trainer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "one_label.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in one_label_rows()), encoding="utf-8")
    target = write(folder / "target", {"pqa_labeled": {"train": abstracts()}})
    value = {
        "name": "one-label",
        "seed": 7,
        "model": {"base": base, "dtype": "float32"},
        "quantization": {"method": "none"},
        "lora": {"r": 8, "alpha": 16},
        "format": {"name": "plain", "chat_template": "never"},
        "data": {
            "train": {"source": str(rows)},
            "pubmedqa": {"source": str(target), "config": "pqa_labeled", "ids": "all"},
            "folders": write_retention(folder / "data"),
        },
        "trainer": {"learning_rate": learning_rate, "max_steps": max_steps, "batch_size": 8}
        | {"gradient_accumulation": 1, "max_length": 128, **more},
        "scoring": {"tasks": ["medbench_pubmedqa", "retention"], "noise_items": 0},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path
