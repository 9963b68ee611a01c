"""A signal stops the command, also where Python drops what is raised."""

import os
import signal
import time

import pytest

from training.stopping import Stopped, finishing_batches, is_asked_to_stop, stop_if_asked, stopping_on_signals


class Signals:
    """Sends a signal to this process while it is taken down."""

    def __del__(self):  # noqa: D105
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)  # the handler runs here


def test_a_signal_is_not_lost_while_an_object_is_taken_down():
    def run():
        Signals()
        time.sleep(5)

    with pytest.raises(Stopped, match="SIGINT") as stopped, stopping_on_signals():
        run()
    assert stopped.value.exit_code == 130


def stopped_by(run):
    """How a run ends that is a command's batch, and stopped by a signal."""

    def batch():
        with stopping_on_signals(), finishing_batches():
            run()

    with pytest.raises(Stopped) as stopped:
        batch()
    assert not is_asked_to_stop()
    return stopped.value


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


def test_a_first_signal_waits_until_all_that_is_computed_has_been_handed_on(capfd):
    done = []

    def run():
        stop_if_asked()
        send(signal.SIGTERM)
        done.append(is_asked_to_stop())
        stop_if_asked()
        done.append("never")

    stopped = stopped_by(run)
    assert done == [True]
    assert (str(stopped), stopped.number, stopped.exit_code) == ("SIGTERM", signal.SIGTERM, 143)
    assert capfd.readouterr().err == "\nstopping after the batch in flight; once more stops at once\n"


def test_the_end_of_a_batch_stops_too_and_a_second_signal_at_once():
    assert str(stopped_by(lambda: send(signal.SIGTERM))) == "SIGTERM"
    assert str(stopped_by(lambda: send(signal.SIGTERM, signal.SIGINT))) == "SIGINT"


def test_a_signal_waits_where_nothing_can_be_said(monkeypatch):
    def closed(*_):
        raise OSError

    monkeypatch.setattr(os, "write", closed)
    done = []

    def run():
        send(signal.SIGTERM)
        done.append(is_asked_to_stop())

    assert str(stopped_by(run)) == "SIGTERM"
    assert done == [True]


def test_signals_are_what_they_were_once_the_command_is_over():
    before = signal.getsignal(signal.SIGTERM)
    stopped_by(lambda: send(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == before
