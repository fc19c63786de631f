"""A call in a thread of its own gives its result or its exception to the one who asks for it."""

from __future__ import annotations

import sys
import threading

import pytest

from analyzer.alongside import Alongside


def test_the_result_is_that_of_the_call_and_the_call_runs_elsewhere() -> None:
    caller = threading.get_ident()
    assert Alongside("worker", threading.get_ident).result() != caller


def test_the_call_runs_while_the_caller_goes_on() -> None:
    is_begun, may_end = threading.Event(), threading.Event()

    def work() -> str:
        is_begun.set()
        assert may_end.wait(10)
        return "done"

    call = Alongside("worker", work)
    assert is_begun.wait(10)
    may_end.set()
    assert call.result() == "done"


def test_what_the_call_raises_is_raised_where_its_result_is_asked_for() -> None:
    def work() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        Alongside("worker", work).result()


def test_the_interpreter_switches_threads_as_before_once_the_result_is_there() -> None:
    before = sys.getswitchinterval()
    Alongside("worker", lambda: None).result()
    assert sys.getswitchinterval() == before
