"""The stages of a fit, timed."""

from __future__ import annotations

import pytest

from sklearn_prune.matching import StageClock


def test_seconds_are_those_of_each_stage_in_order(capsys):
    clock = StageClock(verbose=1)
    with clock.stage("network"):
        assert capsys.readouterr().out == "[InfluencePruner] network ...\n"
    clock.add("memory", 2.0)
    clock.add("memory", 3.0)
    assert [name for name, _ in clock.seconds] == ["network", "memory"]
    assert clock.spent_in("memory", "head") == pytest.approx(5.0)
    assert clock.total >= 5.0
    assert "[InfluencePruner] memory           2.00 s" in capsys.readouterr().out


def test_a_quiet_clock_prints_nothing(capsys):
    StageClock().say("anything")
    assert capsys.readouterr().out == ""
