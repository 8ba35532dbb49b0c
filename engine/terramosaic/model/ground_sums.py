"""Sums of what windows say of the ground's patches, in the memory of the device that says it.

Of TerraMind that is 12 MB a window and target, which would be copied from the device, added up by the processor and
copied back to be drawn from. Patches lie in tiles of ``step`` x ``step``; a window, of ``side`` x ``side`` patches from
a tile's corner on, lies over several, and is added to all of them by one run of a graph of slices and sums that writes
where it reads. A patch's sum has the order in which windows come, and the bits that numpy's would have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from terramosaic.model.devices import Device
from terramosaic.model.generator import TileKey
from terramosaic.model.io_binding import Place, Tensor
from terramosaic.model.runtime import graph_session, session_options

#: Of the small graphs below; that of ONNX's set of operators in which `Pad` and `Slice` have their present form.
_OPSET, _IR = 17, 9


class GroundSums:
    """Tiles of one target.

    Args:
        side: patches to a side of a window.
        step: patches to a side of a tile.
        codes: of the target's codebook.
        threads: processors that a run may use.

    Raises:
        ModelError: the device cannot be used.
    """

    def __init__(self, side: int, step: int, codes: int, device: Device, *, threads: int) -> None:
        self._shape, self._device, self._codes = (step * step, codes), device, codes
        self._patches = side * side
        self._add, self._mean = (
            _opened(graph, device, threads) for graph in (_adding(side, step, codes), _averaging(codes))
        )
        self._zeros, self._means = self._tensor(), self._tensor()
        self._tiles: dict[TileKey, Tensor] = {}
        self._spare: list[Tensor] = []

    def add(self, logits: Place, tiles: Sequence[TileKey]) -> None:
        """Adds a window's logits, float32 (side², codes), to the tiles under it, row after row."""
        binding = self._add.io_binding()
        self._bind(binding, "logits", logits.address, (self._patches, self._codes))
        for number, key in enumerate(tiles):
            # Where a tile is begun nothing is there to be added to.
            before = self._tiles.get(key, self._zeros)
            tile = self._tiles.setdefault(key, self._spare.pop() if self._spare else self._tensor())
            self._bind(binding, f"tile{number}", before.address, self._shape)
            binding.bind_output(
                f"sum{number}", self._device.kind, self._device.index, np.float32, self._shape, tile.address
            )
        self._add.run_with_iobinding(binding)

    def mean(self, key: TileKey, patches: np.ndarray, windows: np.ndarray) -> Place:
        """The mean of some patches of a tile, float32 (N, codes), until the next call; the tile is forgotten.

        Args:
            patches: their numbers in the tile, row after row, int64 (N,).
            windows: of how many windows the sum of each is, float32 (N,).
        """
        tile = self._tiles[key]
        binding = self._mean.io_binding()
        self._bind(binding, "sums", tile.address, self._shape)
        binding.bind_cpu_input("patches", patches)
        binding.bind_cpu_input("windows", windows[:, None])
        made = Place(self._means, (len(patches), self._codes), self._means.address)
        binding.bind_output(
            "means", self._device.kind, self._device.index, np.float32, made.shape, made.address
        )
        self._mean.run_with_iobinding(binding)
        self.forget(key)
        return made

    def forget(self, key: TileKey) -> None:
        """Makes room of a tile."""
        self._spare.append(self._tiles.pop(key))

    def _bind(self, binding: Any, name: str, address: int, shape: tuple[int, ...]) -> None:
        binding.bind_input(name, self._device.kind, self._device.index, np.float32, shape, address)

    def _tensor(self) -> Tensor:
        return Tensor(self._shape, np.float32, self._device)


def parts_of(side: int, step: int) -> list[tuple[int, int, int, int]]:
    """The tiles under a window, row after row: the first patch of it that lies in each, and how many do so.

    Each as row, column, height, width in patches of the window.
    """
    ends = [(start, min(step, side - start)) for start in range(0, side, step)]
    return [(row, col, height, width) for row, height in ends for col, width in ends]


def _opened(graph: bytes, device: Device, threads: int) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory(prefix="terramosaic-sums-") as folder:
        path = Path(folder) / "sums.onnx"
        path.write_bytes(graph)
        if device.kind == "cuda":
            from terramosaic.model.cuda import open_on_cuda

            return open_on_cuda(path, device_index=device.index, batch=None, threads=threads)
        return graph_session(path, session_options(threads))


def _adding(side: int, step: int, codes: int) -> bytes:
    """A window's logits, cut as tiles lie under it, each part filled up to a tile and added to one."""
    lines, inputs, outputs, constants = [], [], [], {"square": (side, side, codes), "axes": (0, 1)}
    constants["flat"] = (step * step, codes)
    for number, (row, col, height, width) in enumerate(parts_of(side, step)):
        constants[f"from{number}"], constants[f"to{number}"] = (row, col), (row + height, col + width)
        constants[f"fill{number}"] = (0, 0, 0, step - height, step - width, 0)
        inputs.append(f"float[{step * step}, {codes}] tile{number}")
        outputs.append(f"float[{step * step}, {codes}] sum{number}")
        lines.append(
            f"part{number} = Slice (window, from{number}, to{number}, axes)\n"
            f"whole{number} = Pad (part{number}, fill{number})\n"
            f"row{number} = Reshape (whole{number}, flat)\n"
            f"sum{number} = Add (tile{number}, row{number})"
        )
    told = ", ".join(
        f"int64[{len(each)}] {name} = {{{', '.join(map(str, each))}}}" for name, each in constants.items()
    )
    body = "\n".join(["window = Reshape (logits, square)", *lines])
    given = ", ".join([f"float[{side * side}, {codes}] logits", *inputs])
    return _parsed(f"add ({given}) => ({', '.join(outputs)}) <{told}> {{\n{body}\n}}")


def _averaging(codes: int) -> bytes:
    """Some patches of a tile, each by its number of windows."""
    return _parsed(
        f"mean (float[patches, {codes}] sums, int64[some] patches, float[some, 1] windows)"
        f" => (float[some, {codes}] means)"
        "{\nchosen = Gather <axis = 0> (sums, patches)\nmeans = Div (chosen, windows)\n}"
    )


def _parsed(text: str) -> bytes:
    import onnx.parser  # half a second, which runs without a consensus do without

    model = onnx.parser.parse_model(f'<ir_version: {_IR}, opset_import: ["" : {_OPSET}]>\n{text}')
    content: bytes = model.SerializeToString()
    return content
