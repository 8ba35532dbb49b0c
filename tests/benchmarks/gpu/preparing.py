"""A bundle's graphs made ready for processor and GPU before they are needed, several at once in processes of their own.

Each takes half a minute of one processor and up to 3 GB; one after the other they would take most of a short lease.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.gpu.models import open_bundle
from tests.benchmarks.gpu.table import Results

if TYPE_CHECKING:
    from terramosaic.model.bundle import Bundle

#: Processors and bytes of memory that a process should find.
_PROCESSORS, _MEMORY = 2, 4e9


def prepare(results: Results, folder: Path, targets: tuple[str, ...], devices: tuple[str, ...]) -> None:
    """Prepares all graphs that a chain of targets runs on some devices, the large ones first; a row for each."""
    bundle = open_bundle(folder)
    jobs = [(role, file, device) for device in devices for role, file in _graphs(bundle, targets)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    width = max(1, min((os.cpu_count() or 1) // _PROCESSORS, int(memory // _MEMORY), len(jobs)))
    began = time.perf_counter()
    with ProcessPoolExecutor(width, mp_context=get_context("spawn")) as pool:
        waiting = [(job, pool.submit(_prepare, folder, *job)) for job in jobs]
        for (_, file, device), done in waiting:
            results.row("Graphs made ready", ("graph", "for", "s"), (file, device, done.result()))
    spent = time.perf_counter() - began
    results.row("Graphs made ready", ("graph", "for", "s"), (f"all, {width} at once", "", spent))


def _graphs(bundle: Bundle, targets: tuple[str, ...]) -> list[tuple[str, str]]:
    """Roles and files, the steps first."""
    from terramosaic.model.manifest import CLASSES, CONTEXT, DECODE, EMBED, STEP, TOKENS

    found = [
        (role, bundle.targets[target].graphs[role])
        for role in (STEP, CLASSES, TOKENS)
        for target in targets
        if role in bundle.targets[target].graphs
    ]
    shared = [(role, bundle.manifest.graphs[role]) for role in (CONTEXT, DECODE)]
    return [*found, *shared, (EMBED, bundle.inputs["S2L2A"].graphs[EMBED])]


def _prepare(folder: Path, role: str, file: str, device: str) -> float:
    """In a process of its own: makes one graph ready; seconds."""
    from terramosaic.model.cuda import prepare_step, prepare_transformer
    from terramosaic.model.devices import parse_device
    from terramosaic.model.manifest import STEP
    from terramosaic.model.prepared import prepared_graph
    from terramosaic.model.sessions import open_session

    began = time.perf_counter()
    bundle, where = open_bundle(folder), parse_device(device)
    if where.kind == "cuda":  # as `open_session` does, without a GPU's memory
        kind, make = ("step", prepare_step) if role == STEP else ("transformer", prepare_transformer)
        prepared_graph(bundle, file, f"cuda {kind}", make)
    else:
        open_session(bundle, role, file, where, threads=1, batch=1)
    return time.perf_counter() - began
