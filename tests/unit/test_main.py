"""`python -m eventhub` is the command, by its name."""

import runpy
import subprocess
import sys

import pytest

from eventhub import __version__


def test_the_package_runs_as_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anything", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("eventhub", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out) == (0, f"eventhub, version {__version__}\n")


def test_importing_it_runs_nothing() -> None:
    assert "main" in runpy.run_module("eventhub.__main__", run_name="imported")


def test_a_hub_loads_nothing_that_only_some_hubs_need() -> None:
    """A command that a person waits for should not cost half a second more."""
    rare = {"sqlalchemy", "authlib", "joserfc", "obstore"}
    program = f"import sys, eventhub.hub; print({rare} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
