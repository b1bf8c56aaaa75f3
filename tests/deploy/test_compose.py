"""docker-compose.yml says what our command line, our settings and the images understand. No container runs here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stream import worker
from stream.cli import cli
from stream.kafka import embedded
from stream.settings import ENV_PREFIX, Settings, load
from tests.deploy.deployment import (
    DASHBOARD,
    DEPLOY,
    PROMETHEUS,
    ROOT,
    compose,
    image_environment,
    instructions,
    ours,
    read_yaml,
    services,
    tool,
)

WORKERS = {"worker", "worker-gpu"}


def _settings(name: str) -> Settings:
    """What a service of ours runs with: its flags over its environment over the image's."""
    first, *rest = ours()[name]["command"]
    with cli.make_context("behaviour-stream", [first, *rest]) as outer:
        found, command, arguments = cli.resolve_command(outer, [first, *rest])
        assert command is not None
        with command.make_context(found, arguments, parent=outer) as context:
            flags = {name: value for name, value in context.params.items() if name in Settings.__struct_fields__}
    return load(flags, environ={**image_environment(), **_environment(ours()[name])})


def _environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def _listeners(name: str) -> dict[str, str]:
    """Listener -> host:port of one of the broker's settings."""
    return dict(part.split("://") for part in services()["broker"]["environment"][name].split(","))


def _started(*profiles: str) -> set[str]:
    return {name for name, s in services().items() if not s.get("profiles") or set(s["profiles"]) & set(profiles)}


def test_the_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema=vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_itself_takes_the_file() -> None:
    found = tool("docker-compose")
    if found is None:
        pytest.skip("docker-compose is not installed: Docker Compose itself has not read the file")
    command = [found, "--profile=demo", "--profile=gpu", "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_up_starts_everything_but_load_and_gpu_which_have_a_profile_each() -> None:
    everything = {"broker", "topics", "worker", "prometheus", "grafana"}
    assert _started() == everything
    assert _started("demo") == everything | {"simulator"}
    assert _started("gpu") == everything | {"worker-gpu"}


@pytest.mark.parametrize("name", ours())
def test_our_command_line_takes_every_command_and_our_settings_every_variable(name: str) -> None:
    assert _settings(name).bootstrap_servers == _listeners("KAFKA_ADVERTISED_LISTENERS")["INSIDE"]
    assert all(variable.startswith(ENV_PREFIX) for variable in _environment(ours()[name]))


def test_a_command_or_variable_that_is_none_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ours(), "worker", ours()["worker"] | {"command": ["worker", "--partition=4"]})
    with pytest.raises(Exception, match="No such option"):
        _settings("worker")
    monkeypatch.setitem(ours(), "worker", ours()["topics"] | {"environment": {"BEHAVIOUR_PARTITION": 4}})
    with pytest.raises(Exception, match="no such setting"):
        _settings("worker")


@pytest.mark.parametrize("name", services())
def test_every_file_and_folder_that_a_service_names_is_there(name: str) -> None:
    service = services()[name]
    if build := service.get("build"):
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()
        assert set(build["args"]) <= {rest.split("=")[0] for word, rest in instructions() if word == "ARG"}
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in compose()["volumes"], volume


@pytest.mark.parametrize("name", services())
def test_every_image_but_ours_is_pinned_to_a_release(name: str) -> None:
    if name not in ours():
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", services()[name]["image"])


@pytest.mark.parametrize("name", services())
def test_every_port_is_for_this_machine_alone(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in services()[name].get("ports", ()))


@pytest.mark.parametrize("name", services())
def test_what_a_service_waits_for_is_there_and_can_come(name: str) -> None:
    for awaited, how in services()[name].get("depends_on", {}).items():
        target = services()[awaited]
        assert not target.get("profiles"), f"{awaited} is not always started"
        if how["condition"] == "service_healthy":
            assert "test" in target["healthcheck"]
        else:
            assert (how["condition"], target["restart"]) == ("service_completed_successfully", "no")


def test_what_runs_for_ever_is_started_again_and_has_a_health_check() -> None:
    for name in _started("gpu") - {"topics"}:
        assert services()[name]["restart"] == "unless-stopped"
        assert name in WORKERS or "test" in services()[name]["healthcheck"]  # the image has one for workers
    for name in ours().keys() - WORKERS:
        assert services()[name]["healthcheck"] == {"disable": True}  # they have no /healthz


def test_a_worker_is_given_longer_to_stop_than_it_takes_at_most() -> None:
    for name in WORKERS:
        assert int(services()[name]["stop_grace_period"].removesuffix("s")) > worker._STOP_SECS


def test_replicas_of_a_worker_get_in_each_others_way_nowhere() -> None:
    for name in WORKERS:
        assert not services()[name].keys() & {"container_name", "ports", "hostname", "volumes"}
    assert _settings("worker").data_dir.is_absolute()
    assert ("VOLUME", str(_settings("worker").data_dir)) in instructions()


def test_the_gpu_worker_is_built_with_cuda_refuses_to_do_without_and_is_given_one() -> None:
    service = services()["worker-gpu"]
    assert _settings("worker-gpu").device == "cuda"
    assert service["build"]["args"] == {"TORCH": "cuda"}
    assert service["image"] != services()["worker"]["image"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_the_broker_is_the_kafka_that_the_tests_run_against() -> None:
    assert services()["broker"]["image"] == f"apache/kafka:{embedded._KAFKA_VERSION}"


def test_every_listener_of_the_broker_has_a_port_and_a_protocol_and_all_but_the_controllers_an_address() -> None:
    environment = services()["broker"]["environment"]
    listening, told = _listeners("KAFKA_LISTENERS"), _listeners("KAFKA_ADVERTISED_LISTENERS")
    protocols = dict(part.split(":") for part in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    controller = environment["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert listening.keys() == protocols.keys() == told.keys() | {controller}
    assert {name: at.split(":")[1] for name, at in told.items()} == {
        name: at.split(":")[1] for name, at in listening.items() if name != controller
    }
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{environment['KAFKA_NODE_ID']}@{listening[controller]}"
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in told
    (mount,) = services()["broker"]["volumes"]
    assert mount.split(":")[1] == environment["KAFKA_LOG_DIRS"]


def test_programs_on_this_machine_find_the_broker_where_all_look_by_default() -> None:
    default = load(environ={}).bootstrap_servers
    assert _listeners("KAFKA_ADVERTISED_LISTENERS")["HOST"] == default
    assert services()["broker"]["ports"] == [f"{default}:{default.split(':')[1]}"]


def test_prometheus_scrapes_every_container_that_is_called_a_worker_at_the_port_of_its_metrics() -> None:
    (scrape,) = read_yaml(PROMETHEUS)["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    assert found["port"] == _settings("worker").metrics_port
    assert _settings("worker").metrics_host == "0.0.0.0"
    for name in WORKERS:
        assert services()[name]["networks"]["default"]["aliases"] == found["names"]


def test_prometheus_reads_our_files_and_keeps_what_it_scraped() -> None:
    flags = dict(flag.removeprefix("--").split("=") for flag in services()["prometheus"]["command"])
    mounts = dict(volume.split(":")[:2] for volume in services()["prometheus"]["volumes"])
    assert Path(flags["config.file"]) == Path(mounts["./deploy/prometheus"]) / PROMETHEUS.name
    assert flags["storage.tsdb.path"] == mounts["prometheus-data"]


def test_grafana_has_prometheus_as_its_source_and_finds_the_dashboard() -> None:
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/behaviour-stream.yml")["providers"]
    address = urlsplit(source["url"])
    assert services()[str(address.hostname)]["ports"] == [f"127.0.0.1:{address.port}:{address.port}"]
    assert source["jsonData"]["timeInterval"] == read_yaml(PROMETHEUS)["global"]["scrape_interval"]
    inside = {volume.split(":")[1]: volume.split(":")[0] for volume in services()["grafana"]["volumes"]}
    assert ROOT / inside[provider["options"]["path"]] == DASHBOARD.parent
    home = Path(services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert ROOT / inside[str(home.parent)] / home.name == DASHBOARD


def test_whoever_reaches_grafana_may_look_and_nobody_can_log_in() -> None:
    said = services()["grafana"]["environment"]
    assert (said["GF_AUTH_ANONYMOUS_ENABLED"], said["GF_AUTH_ANONYMOUS_ORG_ROLE"]) == ("true", "Viewer")
    assert (said["GF_AUTH_BASIC_ENABLED"], said["GF_AUTH_DISABLE_LOGIN_FORM"]) == ("false", "true")
    assert said["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert not any("PASSWORD" in name for name in said)
