"""Prepared graphs are checked when they are opened, and made anew when they are not as they were."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from terramosaic.model.bundle import load_bundle
from terramosaic.model.prepared import prepared_graph

BUNDLE = load_bundle("demo")


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Path, int]]:
    """Opens a graph that is made by copying, with weights beside it: its path, and how often it was made."""
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))
    made: list[Path] = []

    def make(source: Path, target: Path) -> None:
        shutil.copyfile(source, target)
        target.with_name("graph.data").write_bytes(b"weights")
        made.append(target)

    return lambda: (prepared_graph(BUNDLE, "NDVI.onnx", "copy", make), len(made))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


def test_a_whole_one_is_made_once(opened, caplog):
    assert [opened()[1] for _ in range(3)] == [1, 1, 1]
    assert "damaged" not in caplog.text


@pytest.mark.parametrize("name", ["graph.onnx", "graph.data", "files.json"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), flip, Path.unlink])
def test_a_damaged_one_is_made_anew(opened, caplog, name, damage):
    graph, _ = opened()
    damage(graph.with_name(name))
    assert opened() == (graph, 2) and opened() == (graph, 2)
    assert graph.read_bytes() == (BUNDLE.folder / "NDVI.onnx").read_bytes()
    assert graph.with_name("graph.data").read_bytes() == b"weights"
    assert f"{graph.parent} is damaged and is made anew" in caplog.text
