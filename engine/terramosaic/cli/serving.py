"""``terramosaic serve``: a map over all runs of an output folder, in a browser."""

from __future__ import annotations

import socket

import click

from terramosaic.cli.consoles import OUT
from terramosaic.cli.lines import show_line
from terramosaic.cli.verbosity import is_quiet, is_verbose
from terramosaic.errors import RequestError
from terramosaic.publishing.numbers import counted


@click.command("serve")
@click.argument("out")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Where to listen; 0 takes a free one",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; whoever reaches it sees the maps, so put a proxy with a login before any but loopback",
)
def serve_command(out: str, port: int, host: str) -> None:
    """Shows maps in a browser: all runs in an output folder or bucket, read-only, until it is stopped.

    OUT is the folder or URL that maps were made in, or a run's own. Runs that finish later appear when the page
    is loaded again.
    """
    # For start-up time: none of it is wanted for --help.
    import uvicorn

    from terramosaic.viewer.app import make_app
    from terramosaic.viewer.shelf import Shelf

    shelf = Shelf(out)
    found = len(shelf.runs)
    app = make_app(shelf, host=host)
    with _listening(host, port) as listening:
        if not is_quiet():
            for name, why in shelf.problems.items():
                show_line(OUT, f"warning: {name}: {why}", style="yellow")
            show_line(OUT, f"{counted(found, 'run')}; stop with Ctrl-C")
        show_line(OUT, f"open {_url(listening)} in a browser")
        level = "info" if is_verbose() else "warning"
        config = uvicorn.Config(app, log_level=level, access_log=is_verbose(), server_header=False)
        # It waits for connections that browsers keep open: what is being read may end, and no more.
        config.timeout_graceful_shutdown = 2
        uvicorn.Server(config).run([listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        RequestError: there is no such address here, or another program has the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise RequestError(
            f"host: {host!r} is no address of this machine ({error.strerror or error})"
        ) from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise RequestError(
            f"port: cannot listen on {host}, port {port} ({error.strerror or error}); take another with --port, or 0 "
            "for any that is free"
        ) from error
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    named = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://[{named}]:{port}/" if ":" in named else f"http://{named}:{port}/"
