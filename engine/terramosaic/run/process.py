"""A worker process: computes the blocks that its parent names, one device's worth at a time, until the parent is gone.

Started as a fresh interpreter with one end of a socket pair, never by importing the user's script again: it works
from scripts without a main guard, from notebooks and from a prompt.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue

from terramosaic.block.block import model_threads, open_model, run_block
from terramosaic.block.fence import Fence
from terramosaic.json_log import what_about
from terramosaic.model.device_lock import device_to_itself
from terramosaic.model.devices import parse_device, require_device
from terramosaic.planning.folder import read_plan
from terramosaic.planning.plan import Plan
from terramosaic.run.messages import (
    Began,
    Done,
    Failed,
    Log,
    Order,
    Report,
    Setup,
    Windows,
    send,
)
from terramosaic.url_secrets import learn

#: Seconds that blocks have to stop and to remove what is half-written once the parent is gone.
_GRACE = 5.0


def main(file_descriptor: int) -> None:
    """Serves the parent at the other end of an inherited socket, and never returns."""
    os.set_inheritable(file_descriptor, False)
    serve(Connection(file_descriptor))
    # Files are closed by now, and libraries that hold a GPU have been known to crash while they are unloaded.
    os._exit(0)


class Parent:
    """The other end: where orders come from and where reports go, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self.gone = threading.Event()
        self.orders: SimpleQueue[Order | None] = SimpleQueue()

    def setup(self) -> Setup:
        """The first message; asked for once, before `listen`."""
        return Setup.model_validate_json(self._connection.recv_bytes())

    def listen(self) -> None:
        """Queues orders as they come, and None at the end; then the process has a few seconds to leave by itself."""
        try:
            while True:
                self.orders.put(Order.model_validate_json(self._connection.recv_bytes()))
        except (EOFError, OSError):
            self.gone.set()
            self.orders.put(None)
        time.sleep(_GRACE)
        os._exit(1)

    def send(self, report: Report) -> None:
        """Sends a report; once the parent is gone, `listen` finds out and reports go nowhere."""
        try:
            with self._sending:
                send(self._connection, report)
        except OSError:
            pass


class _ParentsLog(logging.Handler):
    """Hands the engine's log to the parent, whose handlers know where it goes."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        self._parent.send(
            Log(name=record.name, level=record.levelno, line=self.format(record), about=what_about())
        )


def serve(connection: Connection) -> None:
    """Works until the parent closes its end or dies."""
    parent = Parent(connection)
    try:
        setup = parent.setup()
    except (EOFError, OSError):
        return
    learn(setup.secrets)
    threading.Thread(target=parent.listen, name="listen", daemon=True).start()
    log = logging.getLogger("terramosaic")
    log.addHandler(_ParentsLog(parent))
    log.setLevel(setup.log_level)
    log.propagate = False
    with ExitStack() as stack:
        try:
            # Before the first block: a device that cannot be used is no block's fault.
            require_device(parse_device(setup.device))
            stack.enter_context(device_to_itself(parse_device(setup.device), parent.gone))
            plan = read_plan(setup.run_folder)
            open_model(plan, setup.device, threads=_threads(plan, setup))
        except Exception as error:
            parent.send(Failed.of(None, error))
            return
        compute = partial(_compute, parent, setup)
        pool = stack.enter_context(ThreadPoolExecutor(setup.blocks_at_once, thread_name_prefix="block"))
        for order in iter(parent.orders.get, None):
            pool.submit(compute, order)


def _threads(plan: Plan, setup: Setup) -> int:
    device = parse_device(setup.device)
    return model_threads(plan, device, processors=setup.processors, blocks=setup.blocks_at_once)


def _compute(parent: Parent, setup: Setup, order: Order) -> None:
    try:
        parent.send(Began(block=order.name))
        plan = read_plan(order.run_folder)
        receipt = run_block(
            plan,
            plan.block(order.block),
            device=setup.device,
            batch_size=setup.batch_size,
            threads=_threads(plan, setup),
            on_windows=lambda count: parent.send(Windows(block=order.name, count=count)),
            fence=Fence(parent.gone),
        )
    except Exception as error:
        parent.send(Failed.of(order.name, error))
    else:
        parent.send(Done(block=order.name, receipt=receipt))
