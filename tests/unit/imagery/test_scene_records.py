"""One decision a scene for the whole run: the first that is written holds, "left out" stays, damage is none."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from terramosaic.imagery.offset import OffsetEvidence
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.files import read_text, write_text
from terramosaic.storage.location import location

NAME = "S2A_33TWL_20230815"
USED = SceneDecision(
    scene=NAME,
    offset_rule="baseline 05.09",
    offsets={"B04": 1000, "SCL": 0},
    evidence=OffsetEvidence(0.001, 5000, "present", True),
)
DEAD = SceneDecision(scene=NAME, cause="dead asset", reason="B11 is gone: 404")


@pytest.fixture(params=["disk", "memory"])
def records(request, tmp_path):
    place = tmp_path if request.param == "disk" else location(f"memory://records/{tmp_path.name}")
    return SceneRecords(RunFolder(place / "run"))


def test_nothing_is_decided_before_somebody_does(records):
    assert records.read(NAME) is None
    assert records.put(USED) == records.read(NAME) == USED


def test_the_first_holds_and_left_out_stays(records):
    records.put(USED)
    other = USED.model_copy(update={"offsets": {"B04": 0, "SCL": 0}})
    assert records.put(other) == USED
    assert records.put(DEAD) == records.read(NAME) == DEAD
    assert records.put(USED) == records.read(NAME) == DEAD
    assert records.put(DEAD.model_copy(update={"reason": "B02 is gone"})) == DEAD


def test_of_many_that_decide_at_once_all_use_the_same(records):
    together = threading.Barrier(8)

    def decide(number):
        together.wait()
        return records.put(USED.model_copy(update={"offsets": {"B04": number}}))

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(decide, range(8)))
    assert {one.fingerprint for one in told} == {records.read(NAME).fingerprint}


DAMAGED = {
    "empty": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "zeros": lambda text: "\0" * len(text),
    "list": lambda text: "[]",
    "number": lambda text: "7",
    "no evidence": lambda text: json.dumps(json.loads(text) | {"evidence": None}),
    "another number": lambda text: text.replace("1000", "0"),
    "of another scene": lambda text: json.dumps({"scene": "other", "offsets": {"B04": 0}}),
    "without its checksum": lambda text: json.dumps({"scene": NAME}),
    "a field too many": lambda text: json.dumps({"scene": NAME, "decided": 0}),
    "of 0.2 before": lambda text: json.dumps({"scene": NAME, "rule": "", "decided": 0, "applied": 0, "evidence": {}}),
    "deep": lambda text: "[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_none_and_is_decided_again(records, caplog, damage):
    records.put(USED)
    file = records.run.scene_file(NAME)
    write_text(file, damage(read_text(file)))
    assert records.read(NAME) is None and records.read_some([NAME]) == {}
    assert records.put(USED) == records.read(NAME) == USED
    assert "was damaged" in caplog.text and "decided again" in caplog.text


def test_bytes_that_are_no_text_are_damage_too(tmp_path):
    records = SceneRecords(RunFolder(tmp_path))
    records.put(USED)
    records.run.scene_file(NAME).write_bytes(b"\xff\xfe" * 90)
    assert records.read(NAME) is None
    assert records.put(DEAD) == records.read(NAME) == DEAD


def test_a_fingerprint_is_of_the_outcome_alone():
    asked_twice = USED.model_copy(update={"evidence": None, "offset_rule": "guessed"})
    assert asked_twice.fingerprint == USED.fingerprint
    assert USED.model_copy(update={"offsets": {"B04": 0, "SCL": 0}}).fingerprint != USED.fingerprint
    implausible = SceneDecision(scene=NAME, cause="implausible", reason="flat", figures={"flat": 0.9})
    assert DEAD.fingerprint == implausible.fingerprint != USED.fingerprint
