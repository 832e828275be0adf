"""Child: a process that answers questions, one JSON line for one JSON line.

    with Child("load", role="writers", url=url, count=64, size=300) as load:
        load.ask(seconds=2.0)

A child prints `{}` when it is ready, and an answer for each line that it reads until its input
ends. So clients never share an interpreter with what measures them.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
ANSWER_SECONDS = 300.0
"""For the longest of them: a million events appended on a slow disk."""
END_SECONDS = 10.0


class Child:
    """The parent's side."""

    def __init__(self, module: str, **setup: Any) -> None:
        command = [sys.executable, "-m", f"tests.bench.{module}", json.dumps(setup)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        """Of the process, until it is left."""
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._answer()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def ask(self, **question: Any) -> Any:
        """Ask and wait for the answer.

        Raises:
            ConnectionError: the child ended; its traceback is on standard error.
            TimeoutError: it did not answer in `ANSWER_SECONDS`.
        """
        self._stdin.write(json.dumps(question).encode() + b"\n")
        self._stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        ready, _, _ = select.select([self._stdout], [], [], ANSWER_SECONDS)
        if not ready:
            raise TimeoutError(f"a child gave no answer in {ANSWER_SECONDS} s")
        line = self._stdout.readline()
        if not line:
            raise ConnectionError("a child ended without an answer")
        return json.loads(line)

    def _end(self) -> None:
        self._stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()


def answer(respond: Callable[..., Any]) -> None:
    """Be a child: answer each question, its members as keywords, until there are no more."""
    _print({})
    for line in sys.stdin:
        _print(respond(**json.loads(line)))
    # Thousands of sockets and a million events need not be taken apart one by one.
    os._exit(0)


def setup() -> dict[str, Any]:
    """Return what the parent set this child up with."""
    result: dict[str, Any] = json.loads(sys.argv[1])
    return result


def _print(result: Any) -> None:
    print(json.dumps(result), flush=True)
