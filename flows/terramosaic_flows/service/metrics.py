"""The metrics of a worker for Prometheus: what its flow runs and their processes have counted, at one endpoint.

Each sum is shown twice: over all runs since the worker was started, as a counter, which outlives the runs; and by run,
as a gauge, from a run's first count until a while after its end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from terramosaic.errors import RequestError
from terramosaic.settings import METRICS
from terramosaic.storage.tally import Key, Told, told_in

#: Seconds for which a run that has ended is shown by itself; Prometheus asks each minute, mostly.
_AFTERWARDS = 900.0

#: What is counted, in words, with the labels that tell it apart.
MEANINGS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "runs": ("Flow runs that have ended", ("flow", "outcome")),
    "blocks": ("Blocks that were computed, or failed", ("outcome",)),
    "windows": ("Windows that the model has seen, of finished blocks", ()),
    "block_seconds": ("Seconds in finished blocks: waiting for data, in the model, on the rest", ("phase",)),
    "read_bytes": ("Bytes of pixels that were read from scenes, decoded, by processes of this machine", ()),
    "written_bytes": ("Bytes of finished blocks' rasters and of mosaics", ("what",)),
    "failures": ("Blocks and runs that failed, by the kind of error", ("what", "kind")),
    "retries": ("What was tried again: a scene's file, a task of blocks", ("what", "kind")),
}


def address_of(text: str) -> tuple[str, int]:
    """Host and port of an endpoint: ``127.0.0.1:9464``, ``[::1]:9464``, or a port alone, on loopback.

    Raises:
        RequestError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not (port.isdecimal() and 0 < int(port) < 65536 and (host or not colon)):
        raise RequestError(f"{METRICS}: {text!r} is no address; give HOST:PORT such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", int(port)


def serve(folder: Path, host: str, port: int) -> None:
    """Answers ``http://HOST:PORT/metrics`` in a thread of this process, for as long as it lives.

    Args:
        folder: where processes keep what they have counted.
        host: to listen on.
        port: to listen on.

    Raises:
        OSError: the port is taken, or the host is none of this machine's.
    """
    registry = CollectorRegistry()
    registry.register(Tallies(folder))
    start_http_server(port, host, registry)


class Tallies(Collector):
    """The sums of a folder, gathered each time that somebody asks.

    Args:
        folder: where processes keep what they have counted.
        afterwards: seconds for which a run that has ended is shown by itself.
    """

    def __init__(self, folder: Path, afterwards: float = _AFTERWARDS) -> None:
        self._folder, self._afterwards = folder, afterwards
        self._lock = threading.Lock()
        self._gone: dict[Key, float] = {}

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering does not gather."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, as `MEANINGS` has them."""
        with self._lock:
            told = list(self._told())
            all_runs = dict(self._gone)
        by_run: dict[str, dict[Key, float]] = {}
        for one in told:
            _add(all_runs, one.sums)
            if one.run:
                _add(by_run.setdefault(one.run, {}), one.sums)
        for name, (meaning, labels) in MEANINGS.items():
            counter = CounterMetricFamily(
                f"terramosaic_{name}", f"{meaning}, since the worker was started", labels=labels
            )
            gauge = GaugeMetricFamily(
                f"terramosaic_run_{name}", f"{meaning}, of a run", labels=("run", *labels)
            )
            _fill(counter, name, labels, all_runs)
            for run, sums in by_run.items():
                _fill(gauge, name, labels, sums, run)
            yield counter
            # A run ends once.
            if name != "runs":
                yield gauge
        yield _names(told)

    def _told(self) -> Iterator[Told]:
        """What there is; what ended long ago goes into the sums over all runs, and its file with it."""
        for file, told in told_in(self._folder):
            if told.is_alive or told.age < self._afterwards:
                yield told
            else:
                _add(self._gone, told.sums)
                with suppress(OSError):
                    file.unlink()


def _add(sums: dict[Key, float], more: Mapping[Key, float]) -> None:
    for key, amount in more.items():
        sums[key] = sums.get(key, 0.0) + amount


def _fill(
    family: CounterMetricFamily | GaugeMetricFamily,
    name: str,
    labels: tuple[str, ...],
    sums: Mapping[Key, float],
    *first: str,
) -> None:
    for (counted, given), amount in sorted(sums.items()):
        if counted == name:
            values = dict(given)
            family.add_metric([*first, *(values.get(label, "") for label in labels)], amount)
    if not labels and not first and not family.samples:
        family.add_metric([], 0)


def _names(told: Iterable[Told]) -> InfoMetricFamily:
    """What runs are called."""
    facts: dict[str, dict[str, str]] = {}
    for one in told:
        if one.run and one.facts:
            facts.setdefault(one.run, {}).update(one.facts)
    info = InfoMetricFamily("terramosaic_run", "What a run is called", labels=("run",))
    for run, known in facts.items():
        info.add_metric([run], known)
    return info
