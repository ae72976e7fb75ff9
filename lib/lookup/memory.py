# SPDX-License-Identifier: MIT
"""Remembers what threads have looked up, so that one asks and the others wait for it."""

import concurrent.futures
import threading


class Memory:
    """Results, each found once.  Errors are remembered, too."""

    def __init__(self):
        self.lock = threading.Lock()
        self.results: "dict[object, concurrent.futures.Future]" = {}

    def get(self, asked, find):
        """Returns find() of the first call with `asked`, a hashable object; raises what it raised.

        find: function without arguments; it may ask for something else, but not in a circle
        """
        with self.lock:
            is_first = asked not in self.results
            result = self.results.setdefault(asked, concurrent.futures.Future())
        if is_first:
            try:
                result.set_result(find())
            except BaseException as error:
                result.set_exception(error)     # nobody may wait for ever
        return result.result()
