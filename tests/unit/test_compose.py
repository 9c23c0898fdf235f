"""docker-compose.yml, read without Docker: Kafka as in `netsold up`, and the order of services."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations import cli
from operations.cli import COMMANDS, GROUPS
from operations.local.kafka_jars import KAFKA
from schemas.tokens import Scope
from serving.access import Access, Admitted, RequestHead, require_tokens
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
SHARED = "operations/local/kafka.properties"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the compose file, by name."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def _properties(text: str) -> dict[str, str]:
    return dict(
        line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#")
    )


def _added(environment: dict[str, str]) -> dict[str, str]:
    """The settings that the image adds to the mounted file, by its documented rule for names."""
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
    }


def test_both_kafkas_are_of_one_version(services: dict[str, Any]) -> None:
    """The image's tag is the version of the jars that `netsold up` runs."""
    assert services["kafka"]["image"] == f"apache/kafka:{KAFKA.rsplit(':', 1)[1]}"


def test_the_broker_settings_are_the_shared_ones(services: dict[str, Any]) -> None:
    """The shared file is mounted where the image reads it, and no setting is overridden."""
    mounts = [mount.split(":") for mount in services["kafka"]["volumes"]]
    assert [f"./{SHARED}", "/mnt/shared/config/server.properties", "ro"] in mounts
    shared = _properties((ROOT / SHARED).read_text())
    assert not shared.keys() & _added(services["kafka"]["environment"]).keys()
    assert shared["auto.create.topics.enable"] == "false"
    assert shared["log.retention.ms"] == "-1"
    assert {shared[name] for name in shared if name.endswith((".factor", ".min.isr"))} == {"1"}, (
        "one broker has one replica"
    )


def test_the_listeners_agree(services: dict[str, Any]) -> None:
    """Each listener has a protocol and an address for clients; the log is in the named volume."""
    added = _added(services["kafka"]["environment"])
    listeners = dict(listener.split("://") for listener in added["listeners"].split(","))
    advertised = dict(
        listener.split("://") for listener in added["advertised.listeners"].split(",")
    )
    assert set(listeners) == {
        pair.split(":")[0] for pair in added["listener.security.protocol.map"].split(",")
    }
    assert {name: address.split(":")[1] for name, address in advertised.items()} == {
        name: address.split(":")[1] for name, address in listeners.items() if name != "CONTROLLER"
    }
    assert (
        services["topics"]["environment"]["NETSOLD_KAFKA__BOOTSTRAP_SERVERS"]
        == advertised["NETWORK"]
    )
    assert f"kafka:{added['log.dirs']}" in services["kafka"]["volumes"]


def test_services_wait_for_what_they_need(services: dict[str, Any]) -> None:
    """Topics wait for a healthy Kafka, workers and readers for the topics."""
    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    done = {"condition": "service_completed_successfully"}
    assert services["worker"]["depends_on"] == {"topics": done}
    assert services["reader"]["depends_on"] == {"topics": done, "token": done}


def test_the_reader_has_a_token_of_its_own(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is made in the volume that both mount, so that a reader beyond loopback starts.

    Commands in its container have the token, and no other service has it.
    """
    token, reader = services["token"], services["reader"]
    assert token["volumes"] == reader["volumes"] == ["reader:/data"]
    command, saved = token["command"][:-1], token["command"][-1]
    assert saved.startswith("/data/")
    monkeypatch.setattr(sys, "argv", ["netsold", *command, str(tmp_path / "access")])
    umask = os.umask(0o022)
    try:
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    finally:
        os.umask(umask)
    files = {
        name.lower().removeprefix("netsold_"): str(value).replace(saved, str(tmp_path / "access"))
        for name, value in reader["environment"].items()
        if name.startswith("NETSOLD_READER_")
    }
    settings = Settings(_env_file=None, data_dir=tmp_path, **files)  # type: ignore[arg-type]  # texts, as the environment gives them
    require_tokens(settings)
    head = {b"authorization": f"Bearer {settings.reader_secret()}".encode()}
    admitted = Access(settings).admit(RequestHead("/v1/status", b"", head, "172.17.0.1"))
    assert isinstance(admitted, Admitted)
    assert admitted.scope is Scope.OPERATE
    others = (
        services[name].get("environment", {})
        for name in services
        if name not in {"kafka", "reader"}
    )
    assert not any("TOKEN" in name for environment in others for name in environment)


def test_health_checks_use_the_published_addresses(services: dict[str, Any]) -> None:
    """Kafka has its own script, and the reader /readyz.

    The reader's port is published on loopback.
    """
    assert (
        services["kafka"]["healthcheck"]["test"][1] == "/opt/kafka/bin/kafka-broker-api-versions.sh"
    )
    port = Settings.model_fields["reader_port"].default
    assert f"http://127.0.0.1:{port}/readyz" in shlex.join(
        services["reader"]["healthcheck"]["test"]
    )
    assert services["reader"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_every_command_exists(services: dict[str, Any]) -> None:
    """Each service of our image runs an existing command with existing settings."""
    known = {command.name for command in COMMANDS} | {group.name for group in GROUPS}
    names = {f"NETSOLD_{name.upper()}" for name in Settings.model_fields} | {
        "NETSOLD_KAFKA__BOOTSTRAP_SERVERS",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    }
    for service in services.values():
        if service["image"] == "netsold":
            assert service["command"][0] in known
            assert set(service["environment"]) <= names


def test_the_image_has_every_package_and_the_hashed_lock() -> None:
    """The Dockerfile copies each package of pyproject.toml; .dockerignore allows it."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for package in ("schemas", "tables", "streams", "serving", "operations"):
        assert f"COPY {package} {package}\n" in dockerfile
        assert f"!{package}" in let_through
    assert "--require-hashes -r requirements/run.txt" in dockerfile
