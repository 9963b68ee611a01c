"""Whether lm-eval has a task of a name, without parsing its 14,000 task files where no line of them says that name."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# A line with one of these keys, an item of a list, or a single word, as in a list in brackets over several lines.
_LINE = re.compile(
    rb"""^[ \t]*(?:-[ \t]*)?["']?(?:task|group|tag)["']?[ \t]*:(.*)$|^[ \t]*-(.*)$|^[ \t]*([^\s:]+)[ \t]*$""",
    re.MULTILINE,
)
_WORD = re.compile(rb"[^\s\[\],\"']+")


@functools.cache
def possible_names() -> frozenset[str]:
    """Every word where lm-eval's task files say the name of a task, group or tag, and some that are none."""
    from lm_eval import tasks

    words: set[bytes] = set()
    files = (path for path in Path(tasks.__file__).parent.rglob("*") if "yaml" in path.name or not path.suffix)
    for path in filter(Path.is_file, files):
        for parts in _LINE.findall(path.read_bytes()):
            words.update(_WORD.findall(b" ".join(parts)))
    return frozenset(word.decode(errors="replace") for word in words)


def name_check(index: Callable[[], Mapping[str, Any]]) -> Callable[[str], bool]:
    """A function that says whether lm-eval has a task, group or tag of a name.

    Args:
        index: Gives lm-eval's tasks by name; called only for names that may be there.
    """
    return lambda name: name in possible_names() and name in index()
