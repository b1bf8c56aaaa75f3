"""The files of a deployment as values: what compose starts, what Prometheus and Grafana read."""

from __future__ import annotations

import json
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "behaviour-stream.json"


def read_yaml(path: Path) -> Any:
    """The file's values, with compose's `${NAME:-default}` as its default."""
    return YAML(typ="safe").load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", path.read_text()))


@cache
def compose() -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(ROOT / "docker-compose.yml")
    return content


@cache
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


@cache
def ours() -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: service for name, service in services().items() if "build" in service}


@cache
def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_bytes())
    return content


def queries() -> list[tuple[str, str]]:
    """(panel's title, PromQL with Grafana's variables) of every query."""
    return [(panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def alerts() -> dict[str, str]:
    """Alert -> PromQL."""
    return {rule["alert"]: rule["expr"] for group in read_yaml(ALERTS)["groups"] for rule in group["rules"]}


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines())
        if word
    ]


def image_environment() -> dict[str, str]:
    """What the image's last stage sets."""
    last = max(n for n, (word, _) in enumerate(instructions()) if word == "FROM")
    return dict(re.findall(r"(\w+)=(\S+)", " ".join(rest for word, rest in instructions()[last:] if word == "ENV")))


def tool(name: str) -> str | None:
    """The path of a program beside this Python, or on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
