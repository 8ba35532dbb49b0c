"""A worker's metrics: sums over all runs that outlive them, and those of each run while somebody may ask."""

from __future__ import annotations

import json
import os
import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from terramosaic.errors import RequestError
from terramosaic.storage import tally
from terramosaic_flows.service.metrics import Tallies, address_of, serve
from terramosaic_flows.service.worker import serve_metrics


def told(folder, name, run, age=0.0, **sums):
    """The file of a process that is gone."""
    file = folder / f"{name}-1.json"
    amounts = [[each, {}, amount] for each, amount in sums.items()]
    file.write_text(json.dumps({"run": run, "facts": {"name": f"{run}'s"} if run else {}, "sums": amounts}))
    os.utime(file, (file.stat().st_atime - age, file.stat().st_mtime - age))
    return file


def samples(tallies):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in tallies.collect()
        for sample in family.samples
    }


def test_processes_add_up_to_runs_and_runs_to_the_worker(tmp_path):
    told(tmp_path, 999999991, "a", windows=5, read_bytes=10)
    told(tmp_path, 999999992, "a", windows=7)
    told(tmp_path, 999999993, "b", windows=1)
    seen = samples(Tallies(tmp_path))
    assert seen["terramosaic_windows_total",] == 13
    assert seen["terramosaic_run_windows", "a"] == 12 and seen["terramosaic_run_windows", "b"] == 1
    assert seen["terramosaic_read_bytes_total",] == 10
    assert seen["terramosaic_run_info", "a", "a's"] == 1


def test_a_run_that_ended_long_ago_is_in_the_sums_alone(tmp_path):
    tallies = Tallies(tmp_path)
    old = told(tmp_path, 999999991, "a", age=10_000, windows=5)
    told(tmp_path, 999999992, "b", windows=1)
    for _ in range(2):
        seen = samples(tallies)
        assert seen["terramosaic_windows_total",] == 6
        assert ("terramosaic_run_windows", "a") not in seen
        assert not old.exists()


def test_a_process_that_lives_keeps_its_file_however_long_it_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tally, "_TALLY", tally._Tally())
    monkeypatch.setenv(tally.FOLDER, str(tmp_path))
    tally.count("windows", 3)
    (file,) = tmp_path.iterdir()
    os.utime(file, (0, 0))
    assert samples(Tallies(tmp_path))["terramosaic_windows_total",] == 3 and file.exists()


def test_prometheus_reads_the_endpoint(tmp_path):
    told(tmp_path, 999999991, 'a"\n', windows=5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve(tmp_path, "127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    assert families["terramosaic_windows"].type == "counter"
    (sample,) = families["terramosaic_run_windows"].samples
    assert sample.labels == {"run": 'a"\n'} and sample.value == 5


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_an_address(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["yes", ":9464", "127.0.0.1:", "127.0.0.1:70000", "http://127.0.0.1:x"])
def test_what_is_no_address_is_said_in_one_line(text):
    with pytest.raises(RequestError, match=r"^TERRAMOSAIC_METRICS: .* give HOST:PORT"):
        address_of(text)


def test_a_port_that_is_taken_costs_the_metrics_and_not_the_worker(monkeypatch, caplog):
    monkeypatch.delenv(tally.FOLDER, raising=False)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        monkeypatch.setenv("TERRAMOSAIC_METRICS", f"127.0.0.1:{holder.getsockname()[1]}")
        serve_metrics()
    assert "this worker has no metrics" in caplog.text and tally.FOLDER not in os.environ
