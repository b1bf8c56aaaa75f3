"""The dashboard's JSON is what Grafana expects and what a reader needs; test_live.py asks its queries."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import Any

import pytest

from tests.deploy.deployment import DEPLOY, dashboard, queries, read_yaml

PANELS = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"] for variable in dashboard()["templating"]["list"]}
# Grafana's own
BUILT_IN = {"__rate_interval"}


def _source() -> dict[str, str]:
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    return {"type": source["type"], "uid": source["uid"]}


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


def test_each_panel_has_a_number_and_a_place_of_its_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations(panels, 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def test_each_row_is_told_by_its_title_and_holds_something() -> None:
    kinds = [panel["type"] for panel in dashboard()["panels"]]
    assert kinds[0] == "row"
    assert kinds[-1] != "row"
    assert ("row", "row") not in set(pairwise(kinds))


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_each_panel_tells_what_it_shows_in_which_unit_and_asks_prometheus(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"].get("thresholds") or panel["type"] == "heatmap"
    assert panel["targets"]
    for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
        assert source == _source()
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_titles_are_said_once() -> None:
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(set(titles)) == len(titles)


def test_variables_that_queries_use_are_defined_and_those_defined_are_used() -> None:
    used = {name for _, expr in queries() for name in re.findall(r"\$(\w+)", expr)}
    assert used - BUILT_IN == VARIABLES
    repeated = {panel["repeat"] for panel in PANELS if "repeat" in panel}
    assert repeated <= VARIABLES


def test_nobody_changes_it_but_in_this_repository() -> None:
    (provider,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/behaviour-stream.yml")["providers"]
    assert provider["allowUiUpdates"] is False
    assert dashboard()["editable"] is False
    assert dashboard().get("id") is None  # Grafana gives it one; the uid makes its address
    assert dashboard()["uid"] == "behaviour-stream"
