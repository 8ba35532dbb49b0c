"""The parent's side of one worker process: started, fed, listened to, and stopped without leaving anything behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from multiprocessing import Pipe

from terramosaic.errors import ModelError, RequestError
from terramosaic.planning.plan import Block
from terramosaic.run.messages import Order, Report, Setup, receive_report, send

#: The module whose ``main`` a worker process runs.
MODULE = "terramosaic.run.process"


class Worker:
    """A process on a device.

    Its death shows in one place only: its messages end. The system closes a dead process's socket behind everything
    that the process said, so a block that it finished before it died is never lost or done again.

    Raises:
        ModelError: the system starts no more processes.
    """

    def __init__(self, setup: Setup) -> None:
        self._connection, other_end = Pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _program(other_end.fileno())],
                pass_fds=[other_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A group of its own: Ctrl-C in a terminal reaches the parent alone, which then stops its workers.
                process_group=0,
            )
        except OSError as error:
            raise ModelError(
                f"worker on {setup.device}: no process can be started: {error.strerror}"
            ) from error
        finally:
            other_end.close()
        self._send(setup)

    def order(self, name: str, run_folder: str, block: Block) -> None:
        """Asks for a block of any run, of which it will report under ``name``."""
        self._send(Order(name=name, run_folder=run_folder, block=block.id))

    def hear(self) -> Report | None:
        """What it says next; None if it is dead and has said everything."""
        try:
            return receive_report(self._connection)
        except (EOFError, OSError):
            return None

    def dismiss(self) -> None:
        """Closes the socket: a worker that still lives stops its blocks and ends."""
        self._connection.close()

    def hang_up(self) -> None:
        """Says that nothing more will be asked; it stops its blocks and ends, and what it says is still heard.

        Unlike `dismiss`, it may be called while another thread hears.
        """
        # A socket that a thread reads from is not closed by closing it here.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def ending(self, patience: float) -> str:
        """How it ended; waited for, and after so many seconds enforced."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def _send(self, message: Setup | Order) -> None:
        with contextlib.suppress(OSError):
            send(self._connection, message)


def require_platform() -> None:
    """Says plainly where worker processes do not work.

    Raises:
        RequestError: on Windows, which hands no sockets down to a process.
    """
    if sys.platform == "win32":
        raise RequestError("devices: worker processes need Linux or macOS; on Windows leave devices out")


def _program(file_descriptor: int) -> str:
    """What the interpreter runs, with modules found where this process finds them."""
    paths = [str(path) for path in sys.path]
    return f"import sys; sys.path[:] = {paths!r}; from {MODULE} import main; main({file_descriptor})"
