"""A signal stops the command, also where Python drops what is raised."""

import os
import signal
import time

import pytest

from training.stopping import Stopped, stopping_on_signals


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
