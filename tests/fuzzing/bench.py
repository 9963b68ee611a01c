"""A bench on which the command is run on hostile inputs and watched: what it writes, how long it takes, how it ends."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_SECONDS = 5


def watch() -> Callable[..., list[str]]:
    """Watch this process for writing; the function given back sets where it may and tells what was elsewhere."""
    found: list[str] = []
    allowed: list[str] = []
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    changes = {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.symlink", "os.link", "os.truncate", "os.chmod"}

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if not allowed or not (event in changes or (event == "open" and values[2] and values[2] & writing)):
            return
        for path in values[: 2 if event in ("os.rename", "os.link") else 1]:
            if isinstance(path, str | bytes | os.PathLike):
                beside = values[-1] if event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod") else -1
                above = Path(f"/proc/self/fd/{beside}").readlink() if isinstance(beside, int) and beside > 0 else Path()
                place = os.path.realpath(above / os.fsdecode(path))
                if not any(place == root or place.startswith(f"{root}/") for root in (*allowed, "/dev", "/proc")):
                    found.append(f"{event} {place}")

    sys.addaudithook(hook)
    sys.dont_write_bytecode = True  # which Python writes beside modules that a command imports first

    def allow(*folders: Path) -> list[str]:
        seen = list(found)
        found.clear()
        allowed[:] = [os.path.realpath(folder) for folder in folders]
        return seen

    return allow


class TooSlowError(BaseException):
    """The command took longer than anyone waits; no Exception, so that nobody turns it into a message."""


@dataclass
class Bench:
    """A folder with a tiny model and a finished run of it; inputs are put beside them.

    Attributes:
        root: Everything is in it; the command may write to `root/out` only.
        run: The finished run, from which `root/out` is made again for each input.
        allow: See `watch`.
        codes: How often the command ended with which exit code, by kind of input.
        slowest: Seconds of processor time of the slowest call, by kind of input.
    """

    root: Path
    recipe: Path
    model: Path
    run: Path
    allow: Callable[..., list[str]]
    codes: dict[str, Counter[int]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """Where the command may write."""
        return self.root / "out"

    def fresh_run(self) -> Path:
        """The finished run, whole again, in `out`."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self.run, self.out, ignore=shutil.ignore_patterns("*.html", "cache"))
        return self.out

    def call(self, kind: str, *words: object, codes: tuple[int, ...] = (0, 2)) -> int:
        """Run the command in this process and hold it to its promises; returns its exit code."""
        from harness.__main__ import main

        def late(*_: object) -> None:
            raise TooSlowError

        said, errors = io.StringIO(), io.StringIO()
        argv, sys.argv = sys.argv, ["medbench", *map(str, words)]
        before = signal.signal(signal.SIGPROF, late)
        kept, tempfile.tempdir = tempfile.tempdir, str(self.root / "tmp")
        home = os.environ.get("MEDBENCH_HOME")
        os.environ["MEDBENCH_HOME"] = str(self.root / "tmp" / "home")  # where medbench remembers a model's layers
        self.allow(self.out, self.root / "tmp")
        started = time.process_time()
        code = 0
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
                # Processor time, which other processes on the machine do not stretch; the next line is for waiting.
                signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
                faulthandler.dump_traceback_later(
                    6 * MOST_SECONDS, exit=True, file=sys.__stderr__
                )  # for what no signal stops
                main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.cancel_dump_traceback_later()
            elsewhere = self.allow()
            tempfile.tempdir = kept
            os.environ.pop("MEDBENCH_HOME")
            os.environ.update({"MEDBENCH_HOME": home} if home is not None else {})
            sys.argv = argv
            signal.signal(signal.SIGPROF, before)
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), time.process_time() - started)
        self.codes.setdefault(kind, Counter())[code] += 1
        told = said.getvalue() + errors.getvalue()
        assert code in codes, (words, code, errors.getvalue())
        assert not elsewhere, (words, elsewhere)
        assert "Traceback" not in told, told
        assert "\x1b" not in told, told
        assert "hf_aaaa" not in told, told
        if code == 2:
            assert errors.getvalue().startswith(("error: ", "Usage")), errors.getvalue()
        return code


def make_bench(root: Path, recipe: Path, model: Path, run: Path) -> Bench:
    """A bench in a folder of its own."""
    # The tiny model stands in for the one that pip would fetch where a recipe names no base.
    quickstart = root / "tmp" / "home" / "models" / "smollm2-135m-instruct-v1"
    shutil.copytree(model, quickstart, dirs_exist_ok=True)
    (quickstart / "medbench-source.json").write_text("{}")
    bench = Bench(root, recipe, model, run, watch())
    import harness

    harness.ask("Why?", str(recipe), models=f"base,mine={run / 'adapter'}", max_new_tokens=1)  # imports take their time
    harness.plan(str(recipe), quiet=True)
    harness.report(bench.fresh_run(), quiet=True)
    harness.gate(bench.fresh_run(), quiet=True)
    harness.push(bench.fresh_run(), "owner/name", quiet=True)
    harness.compare([run, bench.fresh_run()], out=bench.out / "compared", quiet=True)
    bench.fresh_run()
    return bench
