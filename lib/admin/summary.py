# SPDX-License-Identifier: MIT
"""The summary of a run for many domains: what it did, and what waits for whom."""

from .findings import named, visible

# A line begins with one of these; the first ones are printed first.
FAILED, TODO, WAITS, DONE = KINDS = ("FAIL", "todo", "wait", "done")


class Summary:
    """Lines about domains, of four kinds.

    FAILED: what went wrong; TODO: what the administrator has to do
    WAITS: what will be done by a later run; DONE: what this one did
    """

    def __init__(self):
        self.domains = {}       # (kind, text): list of domains
        self.appendix = []      # texts below the lines: records to publish, for example

    def add(self, kind, domain, text):
        """Adds a line; domains with the same one share it."""
        about = self.domains.setdefault((kind, visible(" ".join(text.split()))), [])
        if domain not in about:
            about.append(domain)

    def has(self, *kinds):
        """Returns whether there is a line of one of the kinds."""
        return any(kind in kinds for kind, _ in self.domains)

    def lines(self):
        """Returns the lines, the worst first, list of str."""
        return [f"{kind} {named(domains)}: {text}" for (kind, text), domains in
                sorted(self.domains.items(), key=lambda item: KINDS.index(item[0][0]))]

    def show(self, is_watched):
        """Prints it, unless everything merely waits and nobody watches.  Returns the exit code."""
        if is_watched or self.has(FAILED, TODO, DONE):
            for text in [*self.lines(), *filter(None, self.appendix)]:
                print(text)
        return int(self.has(FAILED))
