"""TerraMesh in small: shards in its layout. Patches of 224 pixels get the 20 around them that it has."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from numcodecs import Blosc

#: What surrounds the middle window of a sample, and the types that modalities are stored in.
MARGIN = 20
DTYPES = {"S2L2A": "i2", "DEM": "i2", "LULC": "u1", "S1RTC": "f2", "S1GRD": "f2", "NDVI": "f2"}

#: Names of the bands as the zarrs have them.
BANDS = {"S1RTC": ["vv", "vh"], "S1GRD": ["vv", "vh"]}


def sample_zip(modality: str, pixels: np.ndarray, *, time: int = 1_600_000_000) -> bytes:
    """A sample as published: zarr version 2, consolidated, in a zip without compression of its own.

    Args:
        modality: decides the type.
        pixels: (bands, 224, 224).
        time: of the acquisition, in seconds.
    """
    wide = np.pad(pixels, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="reflect")
    names = BANDS.get(modality, [f"B{n:02}" for n in range(len(wide))])
    arrays = {
        "bands": (wide[None].astype(DTYPES[modality]), ["time", "band", "y", "x"]),
        "band": (np.array(names), ["band"]),
        "time": (np.array([time * 10**9], "i8"), ["time"]),
        "x": (np.arange(wide.shape[2]) * 10.0, ["x"]),
        "y": (np.arange(wide.shape[1]) * -10.0, ["y"]),
        "center_lon": (np.array(13.4), []),
        "center_lat": (np.array(52.5), []),
    }
    files = {".zgroup": b'{"zarr_format": 2}', ".zattrs": b"{}"}
    for name, (values, dimensions) in arrays.items():
        files |= _array(name, values, dimensions)
    consolidated = {
        name: json.loads(text) for name, text in files.items() if name.split("/")[-1].startswith(".z")
    }
    files[".zmetadata"] = json.dumps({"metadata": consolidated, "zarr_consolidated_format": 1}).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def _array(name: str, values: np.ndarray, dimensions: list[str]) -> dict[str, bytes]:
    """An array's files as zarr 2.18 writes them: one chunk, Blosc with its defaults. Written without zarr."""
    blosc = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    header = {
        "chunks": values.shape, "compressor": blosc.get_config(), "dtype": values.dtype.str, "fill_value": None,
        "filters": None, "order": "C", "shape": values.shape, "zarr_format": 2,
    }  # fmt: skip
    chunk = ".".join("0" * max(1, values.ndim))
    return {
        f"{name}/.zarray": json.dumps(header).encode(),
        f"{name}/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": dimensions}).encode(),
        f"{name}/{chunk}": blosc.encode(np.ascontiguousarray(values)),
    }


def write_shard(path: Path, samples: Mapping[str, bytes]) -> None:
    """A shard: a tar of samples by key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, content in samples.items():
            member = tarfile.TarInfo(f"{key}.zarr.zip")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_terramesh(
    root: Path, shards: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]], split: str = "val"
) -> Path:
    """A data set: shard to key to modality to (bands, 224, 224)."""
    for name, samples in shards.items():
        for modality in sorted({modality for sample in samples.values() for modality in sample}):
            zips = {
                key: sample_zip(modality, sample[modality])
                for key, sample in samples.items()
                if modality in sample
            }
            write_shard(root / split / modality / name, zips)
    return root


def example(shared_data: Path, name: str) -> dict[str, np.ndarray]:
    """A published example patch in its modalities, but for S2L1C."""
    folder = shared_data / "terramesh-examples"
    found = {}
    for modality in ("S2L2A", "S1RTC", "NDVI", "LULC", "DEM"):
        with rasterio.open(folder / modality / f"{name}.tif") as file:
            found[modality] = file.read()
    return found
