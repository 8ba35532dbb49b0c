"""What is public, what importing it brings along, and what the command line starts without."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import terramosaic
from terramosaic import errors
from terramosaic.cli import app

PUBLIC = {
    "Assessment", "Bundle", "CatalogError", "ChangedError", "CheckFailedError", "DamagedBlocksError", "DeadAssetError",
    "EmptyMapError", "ForeignItemError", "LeaseHeldError", "LeaseLostError", "MapResult", "MapSeries", "NoRadarError",
    "MissingBandError", "ModelError", "Mosaic", "NoScenesError", "NotVerifiableError", "NothingLeftError",
    "OffsetConflictError", "OutputError", "Plan", "PolygonFile", "Progress", "RefusedHrefError", "RegionRequest",
    "RequestError", "RunCancelledError", "StoreError", "TerramosaicError", "UnknownMosaicError",
    "UnusableFileError", "UnusableItemError", "Verification", "WorkerLostError", "assemble", "assess", "load_bundle",
    "map_region", "map_series", "open_run", "open_series", "plan", "polygons", "publish", "read_plan", "run_block",
    "verify", "write_imagery", "zonal",
}  # fmt: skip

#: Heavy packages, and those that only parts of this one may bring.
HEAVY = {
    "boto3", "botocore", "dask", "distributed", "jinja2", "mgrs", "numpy", "obstore", "odc", "onnx", "onnxruntime",
    "pandas", "PIL", "planetary_computer", "prefect", "pydantic", "pyproj", "pystac", "pystac_client", "rasterio",
    "ray", "rich", "rioxarray", "scipy", "shapely", "terratorch", "torch", "xarray",
}  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has after running the code."""
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_public_names():
    assert set(terramosaic.__all__) == PUBLIC
    assert list(terramosaic.__all__) == sorted(terramosaic.__all__)
    for name in terramosaic.__all__:
        assert getattr(terramosaic, name).__name__ == name
    assert {name for name in dir(terramosaic) if not name.startswith("__")} == PUBLIC


def test_all_errors_are_public():
    tree = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.TerramosaicError)
    }
    assert tree <= PUBLIC


def test_what_type_checkers_see_is_what_there_is():
    source = Path(terramosaic.__file__).read_text(encoding="utf-8")
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n__all__")[0]
    seen: dict[str, object] = {}
    exec(inspect.cleandoc(block), seen)
    seen.pop("__builtins__")
    assert seen.keys() == PUBLIC
    assert all(getattr(terramosaic, name) is value for name, value in seen.items())


def test_no_public_name_hides_a_module():
    # `import terramosaic.plan as m` must never give a function.
    for name in terramosaic.__all__:
        with pytest.raises(ModuleNotFoundError):
            import_module(f"terramosaic.{name}")


def test_unknown_name():
    with pytest.raises(AttributeError, match="'terramosaic' has no attribute 'verify_all'"):
        _ = terramosaic.verify_all


def test_rooms_and_at_most_six_modules_stand_at_the_top():
    folder = Path(terramosaic.__file__).parent
    assert len([path for path in folder.glob("*.py") if not path.name.startswith("__")]) <= 6


def test_neither_prefect_nor_torch_comes_with_the_face():
    modules = modules_after("from terramosaic import *")
    assert "terramosaic.run.mapping" in modules
    assert not {"prefect", "torch", "terratorch", "onnx"} & modules


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_command_answers_without_what_mapping_needs(option):
    modules = modules_after(
        f"import sys; sys.argv = ['terramosaic', {option!r}]\n"
        "from terramosaic.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code"
    )
    assert "terramosaic.cli.app" in modules
    assert not HEAVY & modules


def test_commands_of_models_start_without_what_packing_needs():
    assert not {"onnx", "torch", "terratorch"} & modules_after("import terramosaic.cli.model")


def test_values_show_themselves_once_the_face_was_used():
    shown = "from terramosaic import RegionRequest; r = RegionRequest(region=(13, 45, 13.1, 45.1), datetime='2023')"
    assert "terramosaic.publishing.notebook" in modules_after(f"{shown}; assert 'class=' in r._repr_html_()")
    alone = shown.replace("from terramosaic import", "from terramosaic.request.request import")
    assert "terramosaic.publishing.notebook" not in modules_after(f"{alone}; assert r._repr_html_() is None")


def test_the_help_says_what_each_command_says_of_itself():
    context = click.Context(app.cli)
    names = app.cli.list_commands(context)
    assert names == [
        "assess",
        "clean",
        "config",
        "demo",
        "evaluate",
        "map",
        "model",
        "plan",
        "polygons",
        "runs",
        "serve",
        "up",
        "verify",
        "zonal",
    ]
    for name, place in app._COMMANDS.items():
        command = app.cli.get_command(context, name)
        assert command is not None and command.name == name
        first, _, _ = inspect.cleandoc(command.help or "").partition("\n\n")
        assert place.help == " ".join(first.split())
