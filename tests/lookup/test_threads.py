# SPDX-License-Identifier: MIT
"""Many questions at the same time, where the system allows few threads or none."""

import _thread
import resource
import sys
import threading
import time

import pytest

from lib.lookup import threads

MEGABYTE = 1 << 20


@pytest.mark.parametrize("most", [1, 2, 10, 500])
@pytest.mark.parametrize("number", [0, 1, 2, 100])
def test_each_item_is_found_once(number, most):
    found = list(threads.at_once(lambda item: item * item, list(range(number)), most))
    assert sorted(found) == [(item, item * item) for item in range(number)]


def test_they_work_at_the_same_time():
    barrier = threading.Barrier(8)
    assert len(list(threads.at_once(lambda item: barrier.wait(30), list(range(8)), 8))) == 8


@pytest.mark.parametrize("there", [0, 1, 3])
@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_fewer_threads(monkeypatch, there, error):
    start, used = _thread.start_new_thread, set()

    def limited(function, arguments):
        nonlocal there
        there -= 1
        if there < 0:
            raise error
        return start(function, arguments)

    def work(item):
        used.add(threading.get_ident())
        time.sleep(0.01)
        return item
    monkeypatch.setattr(_thread, "start_new_thread", limited)
    most = there + 1
    assert sorted(threads.at_once(work, list(range(20)), 64)) == [(i, i) for i in range(20)]
    assert len(used) <= most


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_error_ends_it(kind):
    begun = []

    def work(item):
        begun.append(item)
        time.sleep(0.01)
        raise kind
    with pytest.raises(kind):
        list(threads.at_once(work, list(range(1000)), 4))
    time.sleep(0.1)
    assert len(begun) < 50


@pytest.mark.parametrize("limit, expected", [
    (resource.RLIM_INFINITY, 128), (100 * MEGABYTE, 6), (300 * MEGABYTE, 18),
    (1 << 40, 128), (MEGABYTE, 0)])
@pytest.mark.parametrize("which", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_little_memory(monkeypatch, which, limit, expected):
    """Else their stacks take what they need to work."""
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (
        limit if asked == getattr(resource, which) else resource.RLIM_INFINITY, -1))
    monkeypatch.setattr(sys, "abiflags", "")
    assert threads.allowed(128) == expected
    monkeypatch.setattr(sys, "abiflags", "t")
    assert threads.allowed(128) == (128 if limit == resource.RLIM_INFINITY else 1)
