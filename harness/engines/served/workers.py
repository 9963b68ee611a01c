"""Runs requests in a few threads and hands on each result as soon as it is there."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

from training.stopping import is_asked_to_stop, stop_if_asked

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_POLL_SECONDS = 0.5  # for a request to stop


def run_jobs(
    jobs: Iterable[_Job], run: Callable[[_Job], _Result], threads: int, give_up: Callable[[], None]
) -> Iterator[tuple[_Job, _Result]]:
    """(job, result) in the order of completion.

    After a first error, or a request to stop, no further job is started, and those under way are completed and yielded
    first: what a server has answered is not lost. The threads do not keep the process from ending.

    Args:
        jobs: What to do.
        run: Does it.
        threads: Jobs at once.
        give_up: Called after the first error, so that jobs under way end soon.
    """
    todo: SimpleQueue[_Job | None] = SimpleQueue()
    done: SimpleQueue[tuple[_Job, _Result | BaseException]] = SimpleQueue()
    _start_threads(todo, done, run, threads)
    waiting, under_way = iter(jobs), 0
    failure: BaseException | None = None
    try:
        while True:
            if failure is None and not is_asked_to_stop():
                for job in itertools.islice(waiting, threads - under_way):
                    todo.put(job)
                    under_way += 1
            if not under_way:
                break
            try:
                job, result = done.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            under_way -= 1
            if not isinstance(result, BaseException):
                yield job, result
            else:
                failure = failure or result
                give_up()
    finally:
        for _ in range(threads):
            todo.put(None)
    if failure is not None:
        raise failure
    stop_if_asked()


def _start_threads(
    todo: SimpleQueue[_Job | None],
    done: SimpleQueue[tuple[_Job, _Result | BaseException]],
    run: Callable[[_Job], _Result],
    threads: int,
) -> None:
    """Threads that do what is in one queue and put results, or errors, into the other, until they get None."""

    def work() -> None:
        while (job := todo.get()) is not None:
            try:
                done.put((job, run(job)))
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                done.put((job, error))

    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
