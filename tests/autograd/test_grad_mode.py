"""no_grad and its relatives: contexts, decorators, nesting, threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import lectorium as lt


def records() -> bool:
    return (lt.ones(1, requires_grad=True) * 2).requires_grad


def test_no_grad_records_nothing_and_ends() -> None:
    with lt.no_grad():
        assert not records()
        assert not lt.is_grad_enabled()
    assert records()


def test_modes_nest() -> None:
    with lt.no_grad():
        with lt.enable_grad():
            assert records()
            with lt.set_grad_enabled(False):
                assert not records()
            assert records()
            with lt.inference_mode():
                assert not records()
        assert not records()
    with lt.inference_mode(False):
        assert records()


@pytest.mark.parametrize(
    ("decorator", "on"),
    [
        (lambda: lt.no_grad(), False), (lambda: lt.no_grad, False), (lambda: lt.inference_mode(), False),
        (lambda: lt.inference_mode, False), (lambda: lt.enable_grad(), True), (lambda: lt.enable_grad, True),
        (lambda: lt.set_grad_enabled(False), False), (lambda: lt.set_grad_enabled(True), True),
    ],
)  # fmt: skip
def test_modes_decorate_functions(decorator: Any, on: bool) -> None:
    @decorator()
    def f() -> bool:
        """Its docstring."""
        return records()

    assert records()
    with lt.set_grad_enabled(not on):
        assert f() is on
        assert lt.is_grad_enabled() is not on
    assert f.__doc__ == "Its docstring."


def test_a_decorated_function_may_call_itself() -> None:
    @lt.no_grad()
    def count(n: int) -> int:
        assert not records()
        return n if n == 0 else count(n - 1)

    count(5)
    assert records()


def test_a_decorated_generator_keeps_its_mode_to_itself() -> None:
    @lt.no_grad()
    def steps():
        got = yield records()
        try:
            yield got, records()
        except KeyError:
            yield "caught", records()
        return "end"

    g = steps()
    assert next(g) is False
    assert records()
    assert g.send(7) == (7, False)
    assert records()
    assert g.throw(KeyError()) == ("caught", False)
    assert records()
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == "end"
    closed = steps()
    next(closed)
    closed.close()
    assert records()


def test_an_exception_ends_the_mode_too() -> None:
    with pytest.raises(KeyError), lt.no_grad():
        raise KeyError
    assert records()


def test_set_grad_enabled_acts_at_once_without_with() -> None:
    lt.set_grad_enabled(False)
    try:
        assert not records()
    finally:
        lt.set_grad_enabled(True)
    assert records()


def test_each_thread_has_its_own_mode() -> None:
    seen: dict[str, bool] = {}
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        seen["at the start"] = records()
        with lt.no_grad():
            inside.set()
            done.wait(5)
            seen["within"] = records()

    with lt.no_grad():
        t = threading.Thread(target=other)
        t.start()
        inside.wait(5)
    seen["here meanwhile"] = records()
    done.set()
    t.join()
    assert seen == {"at the start": True, "here meanwhile": True, "within": False}


def test_a_tensor_made_under_no_grad_can_be_a_leaf_later() -> None:
    with lt.no_grad():
        x = lt.ones(1, requires_grad=True) * 3
    assert x.is_leaf
    x.requires_grad_()
    (x * x).sum().backward()
    assert x.grad.item() == 6


def test_backward_works_while_recording_is_off() -> None:
    x = lt.ones(1, requires_grad=True)
    y = x * 3
    with lt.no_grad():
        y.backward()
    assert x.grad.item() == 3
    assert not x.grad.requires_grad
