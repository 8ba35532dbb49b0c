"""The distribution as a user gets it: built, installed where no clone is, and run."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the source distribution, so that that one is whole too."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel, and with this one's packages but not its editable install."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
    ]
    subprocess.run([*command, str(wheel)], check=True)
    # Files named *.pth count in an environment's own folder only; so the editable install is not seen through this.
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "packages.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def run(installed: Path, *command: str, cwd: Path) -> str:
    # The suite forbids the temporary server that `demo` starts.
    without = ("PYTHONPATH", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [str(installed / "bin" / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_two_packages_and_what_they_need(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {
        "terramosaic",
        "terramosaic_flows",
    }
    for name in (
        "py.typed",
        "model/bundles/demo/bundle.json",
        "publishing/templates/report.css",
        "viewer/page/index.html",
        "viewer/page/vendor/ol.js.gz",
    ):
        assert f"terramosaic/{name}" in names
    templates = (ROOT / "engine/terramosaic/publishing/templates").rglob("*.html")
    assert {path.relative_to(ROOT / "engine").as_posix() for path in templates} <= set(names)
    assert "terramosaic_flows/py.typed" in names
    # What `terramosaic up` applies is what people read. The passwords of who built it are not in it.
    with zipfile.ZipFile(wheel) as archive:
        begin = "terramosaic_flows/deployments/"
        held = {name.removeprefix(begin): archive.read(name) for name in names if name.startswith(begin)}
    folder = ROOT / "deployments"
    assert held == {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".env"
    }
    assert any(name.endswith("LICENSE") for name in names)


@pytest.mark.slow
def test_it_maps_the_demo_outside_the_repository(installed, tmp_path):
    where = run(installed, "python", "-c", "import terramosaic; print(terramosaic.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)
    run(installed, "terramosaic", "demo", "--out", "demo", cwd=tmp_path)
    assert (tmp_path / "demo" / "latest" / "report.html").is_file()
    assert (tmp_path / "demo" / "latest" / "NDVI.tif").is_file()


@pytest.mark.slow
def test_it_serves_outside_the_repository(installed, tmp_path):
    """Server, deployments and worker from the wheel alone: a triggered and a scheduled run come and finish."""
    of = "from terramosaic_flows.service.settings import deployments_folder; print(deployments_folder())"
    where = run(installed, "python", "-c", of, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)
    run(installed, "terramosaic", "up", "--check", "--home", "home", cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
