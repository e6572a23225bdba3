"""Every benchmark says how to call it."""

from __future__ import annotations

import importlib
import re

import pytest

from benchmarks._common import BENCHMARKS_README

NO_ARGUMENTS = {"benchmarks.quality_report"}
NAMED = re.findall(r"python -m (benchmarks\.\w+)", BENCHMARKS_README.read_text("utf-8"))
COMMANDS = sorted(set(NAMED) - NO_ARGUMENTS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed(name, capsys, monkeypatch):
    main = importlib.import_module(name).main
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"python -m {name}" in capsys.readouterr().out
