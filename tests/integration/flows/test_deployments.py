"""The files in deployments/: what they name exists. Nothing is built: no Docker engine or cluster is at hand."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from terramosaic_flows.service.settings import RUN_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deployments"
DOCKER = FOLDER / "docker"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load(path: str) -> Any:
    return yaml.safe_load((FOLDER / path).read_text())


def code_of_readme() -> list[str]:
    """Command lines in the README's code blocks, continuations joined."""
    blocks = re.findall(r"```\n(.*?)```", (FOLDER / "README.md").read_text(), re.S)
    return [
        line.partition("   #")[0].strip()
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


def container_commands() -> list[list[str]]:
    services = load("docker/compose.yaml")["services"].values()
    return [service["command"] for service in services if "command" in service]


def stages() -> dict[str, list[list[str]]]:
    """The Dockerfile's stages, each with its instructions, and those of the stage that it begins with."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["FROM"]:
            lines = found[words[3]] = list(found.get(words[1], []))
        elif words and not line.startswith("#"):
            lines.append(words)
    return found


def check_command(words: list[str]) -> None:
    """A command of ours or of Prefect's, with its options, as far as it can be read without being run."""
    if words[0] == "prefect":
        # Prefect has no public way to read a command line without running it.
        from prefect.cli._app import _app

        # The first is read by another layer; a run's id is one.
        given = [str(uuid4()) if word == "ID" else word for word in words[1:] if word != "--no-prompt"]
        _app.parse_args(given, exit_on_error=False, print_error=False)
    elif words[0] == "terramosaic":
        from terramosaic.cli.app import cli

        context = cli.make_context("terramosaic", words[1:])
        name, command, rest = cli.resolve_command(context, words[1:])
        command.make_context(name, rest, parent=context)
    elif words[:2] == ["python", "-m"]:
        found = importlib.util.find_spec(words[2])
        assert found and (
            not found.submodule_search_locations or importlib.util.find_spec(f"{words[2]}.__main__")
        )
    else:
        assert words[0] in ("export", "cp", "docker", "kubectl", "curl"), words


@pytest.mark.parametrize(
    "words", [shlex.split(line) for line in code_of_readme()] + container_commands(), ids=" ".join
)
def test_commands_exist_with_their_options(words):
    check_command(words)
    # Whatever of them lies in the repository is there.
    for word in words:
        if word.startswith("deployments/") and not word.endswith("/.env"):
            assert (ROOT / word).exists(), word


def test_a_wrong_option_is_noticed():
    with pytest.raises(Exception, match="--pol"):
        check_command(["prefect", "worker", "start", "--pol", "terramosaic"])


def test_settings_are_known_to_prefect():
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_settings_fields

    from terramosaic_flows.service.settings import service_environment

    names = set(service_environment(Path("/home"), 1, "user:password"))
    for path in FOLDER.rglob("*"):
        if path.is_file():
            names |= set(re.findall(r"\bPREFECT_[A-Z_]+\b", path.read_text()))
    known = set(_get_settings_fields(Settings)) | {"PREFECT_HOME"}
    assert {name for name in names if name.startswith("PREFECT_")} <= known


def test_every_deployment_is_a_flow_that_runs_from_anywhere():
    deployments = {each["name"]: each for each in load("prefect.yaml")["deployments"]}
    assert set(deployments) == {"map-region", "watch-region", "assess-map", "export-model", "check-model"}
    for name, deployment in deployments.items():
        module, _, function = deployment["entrypoint"].rpartition(".")
        assert getattr(importlib.import_module(module), function).name == name
        assert deployment["pull"] == [] and deployment["description"] and "terramosaic" in deployment["tags"]
        assert deployment["work_pool"]["name"] == "terramosaic"
        # Runs that map are limited by the pool and the workers, so that several machines work at once.
        limit = deployment.get("concurrency_limit")
        assert limit == (
            None if "map" in deployment["tags"] else {"limit": 1, "collision_strategy": "ENQUEUE"}
        )
    assert all("auto-resume" in deployments[name]["tags"] for name in ("map-region", "watch-region"))


def test_automations_are_what_prefect_reads_and_wait_for_three_heartbeats():
    from prefect.events.schemas.automations import AutomationCore

    crash, resume = (AutomationCore.model_validate(each) for each in load("automations.yaml")["automations"])
    assert crash.trigger.within.total_seconds() == 3 * int(
        RUN_ENVIRONMENT["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
    )
    # A reactive one would start a run twice: Prefect reports a crash twice.
    assert resume.trigger.posture.value == "Proactive"


def test_every_worker_has_what_its_runs_need_in_their_environment():
    services = load("docker/compose.yaml")["services"]
    pod = load("kubernetes/base-job-template.json")["job_configuration"]["job_manifest"]["spec"]["template"]
    exported = dict(re.findall(r"(\w+)=(\S+)", " ".join(code_of_readme())))
    for environment in (
        services["worker"]["environment"],
        services["worker-gpu"]["environment"],
        {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]},
        exported,
    ):
        assert RUN_ENVIRONMENT.items() <= environment.items()


@pytest.mark.parametrize("path", ["process-pool.json", "kubernetes/base-job-template.json"])
def test_a_run_can_ask_its_pool_for_resources_and_for_nothing_else(path):
    template = load(path)
    variables = template["variables"]
    assert variables["additionalProperties"] is False
    assert not variables["properties"].keys() - {
        "cpu_request", "cpu_limit", "memory_request", "memory_limit", "gpus",
    }  # fmt: skip
    # A text could be a reference to a block of the server's, and so its secret.
    assert all(each["type"] == "integer" or "pattern" in each for each in variables["properties"].values())
    # Prefect adds a run's `env` to one that is written out here, whatever the variables are.
    assert "env" not in template["job_configuration"]


def test_compose_and_dockerfile_agree_with_the_repository():
    compose = load("docker/compose.yaml")
    services = compose["services"]
    assert set(services) == {"passwords", "postgres", "server", "setup", "worker", "worker-gpu"}
    mounted = {volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", [])}
    assert mounted == set(compose["volumes"])
    # Nothing is open to other machines, and nobody comes in without a login.
    assert services["server"]["ports"] == ["127.0.0.1:4200:4200"]
    asked = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    assert asked == set(re.findall(r"^(\w+)=", (DOCKER / "example.env").read_text(), re.M))
    # Before any server, passwords that everybody knows are refused.
    assert set(services["passwords"]["environment"]) == asked
    assert (
        "passwords" in services["postgres"]["depends_on"] and "postgres" in services["server"]["depends_on"]
    )
    server = services["server"]["environment"]
    assert server["PREFECT_SERVER_API_AUTH_STRING"].startswith("${TERRAMOSAIC_AUTH:?")
    assert server["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:4200"
    # The example has no password that everybody knows.
    assert not re.findall(r"^\w+=.+", (DOCKER / "example.env").read_text(), re.M)
    for name in ("setup", "worker", "worker-gpu"):
        assert "TERRAMOSAIC_AUTH" in services[name]["environment"]["PREFECT_API_AUTH_STRING"]
    built = stages()
    for service in services.values():
        for needed in service.get("depends_on", {}):
            assert needed in services
        if "build" in service:
            assert (DOCKER / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]) == DOCKER / "Dockerfile"
            assert service["build"]["target"] in built and service["image"].endswith(
                service["build"]["target"]
            )
    for stage in ("cpu", "cuda"):
        for words in built[stage]:
            if words[0] == "COPY":
                assert all((ROOT / source).exists() for source in words[1:-1]), words
            if words[0] == "CMD":
                assert json.loads(" ".join(words[1:]))[0] in PROJECT["scripts"]
            if words[:3] == ["RUN", "pip", "install"]:
                for extra in re.findall(r"\[(\w+)\]", words[-1]):
                    assert extra in PROJECT["optional-dependencies"]
    # What the Dockerfile copies is not left out of its context.
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    copied = {source for words in built["base"] if words[0] == "COPY" for source in words[1:-1]}
    assert not copied & set(ignored)


def test_kubernetes_template_names_its_variables_claims_and_image():
    template = load("kubernetes/base-job-template.json")
    variables = template["variables"]["properties"]
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"])))
    assert used == set(variables)
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for kind in ("limits", "requests"):
        assert container["resources"][kind]["nvidia.com/gpu"] == "{{ gpus }}"
    claims = {
        each["metadata"]["name"]
        for each in yaml.safe_load_all((FOLDER / "kubernetes/volumes.yaml").read_text())
    }
    assert {each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"]} == claims
    assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    # Where the image keeps things.
    environment = " ".join(word for words in stages()["base"] if words[0] == "ENV" for word in words)
    for mount in container["volumeMounts"]:
        assert f"={mount['mountPath']}/" in environment
    assert container["image"] == load("docker/compose.yaml")["services"]["worker-gpu"]["image"]
