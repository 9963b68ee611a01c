"""A judge behind a real server, killed and resumed, with every request counted: it proves the plumbing, no verdict.

    python -m benchmarks.judge_proof OUT.json --run RUN --url http://127.0.0.1:8012/v1 --model NAME [--rubric NAME]

RUN is a run folder with generated answers; a copy of it is judged. A third command finds everything answered, so what
it sends are the probes of the server, which are sent at every start.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.evidence import environment
from benchmarks.served_proof import CountingProxy
from reports.document.reading import read_results
from reports.files import write_json

_SAVED_NEXT = 1  # reply that is saved while the next request is under way


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True, help="the judge's name on the server")
    parser.add_argument("--rubric", default="five-aspects")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--kill-after", type=int, default=10, help="requests; there must be more of them")
    parser.add_argument("--allow-dirty", action="store_true")
    args = parser.parse_args()
    facts = environment(allow_dirty=args.allow_dirty)
    with tempfile.TemporaryDirectory() as folder, CountingProxy(args.url) as proxy:
        run = Path(shutil.copytree(args.run, Path(folder) / "run"))
        command = [sys.executable, "-m", "medbench", "judge", str(run), "--judge", f"judge={proxy.url}#{args.model}"]
        command += ["--rubric", args.rubric, "--set", f"scoring.served.concurrency={args.concurrency}"]
        started = time.perf_counter()
        killed = subprocess.Popen(command)  # noqa: S603
        while len(proxy.sent) < args.kill_after and killed.poll() is None:
            time.sleep(0.02)
        if killed.poll() is not None:
            sys.exit(f"the first command ended after {len(proxy.sent)} requests, before it could be killed")
        killed.kill()
        killed.wait()
        before = list(proxy.sent)
        subprocess.run(command, check=True)  # noqa: S603
        seconds, resumed = time.perf_counter() - started, proxy.sent[len(before) :]
        subprocess.run(command, check=True)  # noqa: S603
        probes = {*proxy.sent[len(before) + len(resumed) :]}
        judging = read_results(run).judging
    again = ({*before} & {*resumed}) - probes
    write_json(
        args.out,
        {
            "what": "A judge behind a real server, killed and resumed; its scores mean nothing",
            "command": f"python -m benchmarks.judge_proof OUT.json --rubric {args.rubric}"
            f" --concurrency {args.concurrency} --kill-after {args.kill_after}",
            "environment": facts,
            "requests": {"before the kill": len(before), "after it": len(resumed), "of them probes": len(probes)},
            "sent_twice": len(again),
            "unsaved_at_most": args.concurrency + _SAVED_NEXT,
            "seconds": round(seconds, 1),
            "replies": [
                {"model": count.model, "total": count.total, "failed": count.failed}
                for one in judging
                for count in one.replies
            ],
            "applies_json_schema": [one.judge.json_schema for one in judging],
        },
    )
    if len(again) > args.concurrency + _SAVED_NEXT:
        sys.exit(f"{len(again)} judgements were requested twice, more than were not saved yet")


if __name__ == "__main__":
    main()
