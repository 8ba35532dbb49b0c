"""What docs/bundle.md shows works as it stands there: its model, its spec, its commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from click.testing import CliRunner

from terramosaic.cli.app import cli
from terramosaic.demo.world import write_world

PAGE = Path(__file__).parents[3] / "docs" / "bundle.md"


def test_the_page_makes_a_map_of_water(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.findall(r"^```(\w*)\n(.*?)^```\n", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (_, python), (_, spec), (_, commands) = found[:3]
    exec(compile(python, str(PAGE), "exec"), {})
    Path("water.yaml").write_text(spec)
    catalog = write_world(tmp_path / "world", size=240)
    left, bottom, right, top = next(pystac.Catalog.from_file(str(catalog)).get_items(recursive=True)).bbox
    inner = (
        left * 0.9 + right * 0.1,
        bottom * 0.9 + top * 0.1,
        left * 0.2 + right * 0.8,
        bottom * 0.1 + top * 0.9,
    )
    for shown, here in {
        "8.95 43.68 9.15 43.77": " ".join(map(str, inner)),
        "--datetime 2020-04": f"--datetime 2020-04 --catalog {catalog} --out out --keep-imagery",
    }.items():
        assert shown in commands
        commands = commands.replace(shown, here)
    for line in commands.splitlines():
        done = CliRunner().invoke(cli, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    (path,) = {path.resolve() for path in Path("out").glob("*/water.tif")}
    with rasterio.open(path) as mosaic, rasterio.open(path.with_name("imagery.tif")) as imagery:
        water, window = mosaic.read(1), imagery.window(*mosaic.bounds)
        green, infrared = imagery.read(window=window).astype(int)
        assert mosaic.tags()["TERRAMOSAIC_STRIDE"] == "208"
        assert mosaic.colormap(1)[2][:3] == (0x2B, 0x6C, 0xB0)
    seen = (green > 0) & (green != infrared)
    np.testing.assert_array_equal(water[seen], np.where(green > infrared, 2, 1)[seen])
    assert set(np.unique(water)) == {1, 2}
