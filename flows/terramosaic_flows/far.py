"""A block in a worker of a cluster, which knows of the run no more than its plan.

A worker has one thread, and of a machine's GPUs one to itself. One that hangs is killed, and the cluster gives what it
had to another one.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from terramosaic.block.block import run_block
from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import WorkerLostError
from terramosaic.model.device_lock import claimed_gpu
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.files import read_json, remove, write_json

logger = logging.getLogger("terramosaic.flows")


def compute_far_from_the_flow(made: Plan, block: Block, timeout: float) -> BlockReceipt:
    """Computes a block; a worker that takes longer than so many seconds dies over it.

    Raises:
        WorkerLostError: two workers have died so.
        TerramosaicError: as `run_block`.
    """
    device = str(claimed_gpu()) if made.request.device.startswith("cuda") else None
    with _deadly_after(timeout, made, block):
        return run_block(made, block, device=device, threads=1)


@contextmanager
def _deadly_after(timeout: float, made: Plan, block: Block) -> Iterator[None]:
    # Clusters run what a dead worker had as often as they like, so that it is counted where all of them see it.
    mark = RunFolder.of(made).receipt_file(block).with_name("hung.json")
    hung: int = (read_json(mark) or {}).get("workers", 0)
    if hung > 1:
        remove(mark)
        raise WorkerLostError(f"each not done after {timeout:g} s", tries=hung).within(f"block {block.id}")

    def die() -> None:
        write_json(mark, {"workers": hung + 1})
        logger.error("block %s: not done after %g s; its worker is killed", block.id, timeout)
        os.kill(os.getpid(), signal.SIGKILL)

    timer = threading.Timer(timeout, die)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if hung:
        remove(mark)
