"""Writing that may fail and must not end a run: a full disk is said, once in a run and in no more words than that."""

from __future__ import annotations

from collections.abc import Callable


class Tolerance:
    def __init__(self, say: Callable[[str], None]) -> None:
        """
        Args:
            say: told why the journal can't be written, in a sentence.
        """
        self._say = say
        self._told = self._a_run_began = self._told_in_a_run = False

    def __call__(self, write: Callable[[], None]) -> None:
        """Write to the journal, if that can be."""
        try:
            write()
        except OSError as error:
            if not self._told:
                self._told, self._told_in_a_run = True, self._a_run_began
                self._say(f"The journal can't be written ({error.strerror or error}); the run goes on without it.")

    def another_run(self) -> None:
        """Count another run, from which on it is worth another word; not where it was said while this one waited."""
        self._told = self._told and not self._told_in_a_run
        self._a_run_began = self._told_in_a_run = True
