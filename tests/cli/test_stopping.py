"""Ctrl-C and its like stop the work once; what saves its results is not cut short."""

import contextlib
import os
import signal
import time

import pytest

from mnistzoo.cli.stopping import StopSignals

if os.name != "posix":
    pytest.skip("needs POSIX signals", allow_module_level=True)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_waits_until_what_is_finished_is_saved(number: signal.Signals) -> None:
    with StopSignals() as stop_signals:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        for impatient in SIGNALS:
            signal.raise_signal(impatient)
        saved = True
        with pytest.raises(KeyboardInterrupt):
            stop_signals.listen()
    assert saved


def test_a_first_signal_can_be_put_off_too() -> None:
    with StopSignals() as stop_signals:
        stop_signals.put_off()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            stop_signals.listen()
        stop_signals.listen()


def test_handlers_are_as_before_after_the_block_and_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_whose_exception_was_swallowed_raises_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    with StopSignals() as stop_signals:
        for seconds in (0.0, 5.0, 10.0):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
                pytest.fail("the signal did nothing")
            assert stop_signals.came
            seconds += 4.9
            signal.raise_signal(signal.SIGTERM)  # impatience
