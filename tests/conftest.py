"""What all tests share: hypothesis' profile, fresh random numbers, and CI's view of skips.

With LECTORIUM_CI=1 a test that would be skipped because PyTorch, the data sets or a GPU (Mesa's
software Vulkan driver will do) are missing fails instead: CI has all three.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

import lectorium as lt

IN_CI = os.environ.get("LECTORIUM_CI") == "1"
_MUST_NOT_MISS = re.compile(r"\btorch\b|LECTORIUM_DATA|\bGPU\b|Vulkan", re.IGNORECASE)

_ALWAYS: dict[str, object] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("local", max_examples=40, **_ALWAYS)
settings.register_profile("ci", max_examples=40, derandomize=True, **_ALWAYS)
settings.load_profile("ci" if IN_CI else "local")


# Started in the background of a shell, a process ignores Ctrl-C and so do its children: the tests that
# send one need Python's own handler.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Makes a failure of a skip that CI does not allow."""
    # An expected failure also reports as skipped, without a place and a reason.
    if report.outcome != "skipped" or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return
    reason = report.longrepr[2]
    if _MUST_NOT_MISS.search(reason):
        report.outcome = "failed"
        report.longrepr = f"LECTORIUM_CI=1 does not allow this skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI:
        forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI:
        forbid_skip(report)
    return report


@pytest.fixture(autouse=True)
def _the_same_random_numbers_for_every_test() -> Iterator[None]:
    lt.manual_seed(0)
    yield
    lt.set_default_dtype(lt.float32)
