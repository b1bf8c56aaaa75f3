"""Prometheus' own tool checks its configuration and its rules, and runs the rules' tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.deploy.deployment import ALERTS, PROMETHEUS, alerts, read_yaml, tool

STORIES = Path(__file__).with_name("alerts.test.yml")


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", PROMETHEUS), ("check", "rules", ALERTS), ("test", "rules", STORIES)],
    ids=["configuration", "rules", "stories"],
)
def test_promtool_agrees(arguments: tuple[str, str, Path]) -> None:
    promtool = tool("promtool")
    if promtool is None:
        pytest.skip("promtool (Prometheus) is not installed: its files were not checked")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_story_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    checks = [check for story in read_yaml(STORIES)["tests"] for check in story["alert_rule_test"]]
    firing = {check["alertname"] for check in checks if check.get("exp_alerts")}
    # A check that expects one of several series also says that the others do not fire.
    silent = {check["alertname"] for check in checks if not check.get("exp_alerts")} | {
        check["alertname"]
        for story in read_yaml(STORIES)["tests"]
        for check in story["alert_rule_test"]
        if len(story["input_series"]) > len(check.get("exp_alerts", ())) > 0
    }
    assert firing == silent == set(alerts())


def test_every_alert_says_how_urgent_it_is_what_is_wrong_and_what_that_means() -> None:
    for group in read_yaml(ALERTS)["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"].keys() == {"summary", "description"}
