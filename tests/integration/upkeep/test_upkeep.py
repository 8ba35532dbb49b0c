"""What there is in an output folder, and what of it may go: runs stay what they are known to be, whatever goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from terramosaic import map_region, open_run, read_plan, verify
from terramosaic.cli.app import cli
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import is_complete
from terramosaic.storage.hashes import multihash_of
from terramosaic.storage.lease import holder, lease
from terramosaic.storage.location import location
from terramosaic.storage.scratch import half_written
from terramosaic.upkeep import cleaning
from terramosaic.upkeep.cleaning import Kept, Removal, remove_what_may_go, what_may_go
from terramosaic.upkeep.runs import runs_below

PLACE = Rect(490_500, 50_400, 400, 400)


@pytest.fixture(scope="module")
def made(land, tmp_path_factory):
    """A run that is complete."""
    return map_region(land.request(PLACE, tmp_path_factory.mktemp("made"), targets=("NDVI", "LULC")))


@pytest.fixture
def out(made, tmp_path):
    """An output folder of its own with a copy of it."""
    folder = tmp_path / "out"
    shutil.copytree(made.folder.parent, folder, symlinks=True)
    return folder


@pytest.fixture
def run(made, out) -> Path:
    return out / made.folder.name


def days_old(folder: Path, days: float = 8) -> None:
    then = time.time() - days * 86_400
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (then, then))


def unfinished(run: Path, days: float = 8) -> Path:
    """The same run as a killed process leaves it: half of its blocks, no item; in another folder of outputs."""
    (run / "item.json").unlink()
    shutil.rmtree(run.parent / "collections")
    next((run / "blocks").glob("*/block.json")).unlink()
    days_old(run, days)
    return run


def states(out: Path) -> dict[str, str]:
    return {run.name: run.state for run in runs_below(out)}


def found(out: Path, days: float = 7) -> list[tuple[str, str]]:
    return [
        (one.run.name, one.what if isinstance(one, Removal) else one.reason)
        for one in what_may_go(out, stale_after=timedelta(days=days))
    ]


def cleaned(out) -> list[Removal | Kept]:
    removals = [one for one in what_may_go(out) if isinstance(one, Removal)]
    return list(remove_what_may_go(out, removals))


class TestRuns:
    def test_a_complete_one_tells_what_it_maps(self, made, out, run):
        (told,) = runs_below(out)
        assert (told.name, told.state, told.reason) == (run.name, "complete", "")
        assert told.days[0].startswith("2023-08-") and told.targets == ("NDVI", "LULC")
        assert told.place == pytest.approx((45.36, 15.00), abs=1) and "demo" in told.model
        assert told.size == sum(path.stat().st_size for path in run.rglob("*") if path.is_file())

    def test_one_that_was_stopped_and_one_at_work(self, out, run):
        unfinished(run)
        assert states(out) == {run.name: "unfinished"}
        with lease(run / "lease", owner="somebody"):
            assert states(out) == {run.name: "running"}
        days_old(run)
        (run / "blocks" / "new.tif").write_bytes(b"")
        assert states(out) == {run.name: "running"}

    def test_one_that_is_written_to_without_a_change_to_be_seen(self, out, run):
        unfinished(run)
        with half_written(run / "blocks", "NDVI.tif") as partial:
            partial.write_bytes(b"x")
            days_old(run)
            assert states(out) == {run.name: "running"} and found(out) == []
        days_old(run)
        assert found(out) == [(run.name, "the run")]

    def test_a_damaged_one_says_what_is_wrong(self, out, run):
        (run / "NDVI.tif").write_bytes(b"x")
        (told,) = runs_below(out)
        assert told.state == "damaged" and "NDVI.tif has another size" in told.reason
        (run / "NDVI.tif").unlink()
        (told,) = runs_below(out)
        assert "NDVI.tif is missing" in told.reason

    def test_one_of_another_version_is_told_and_never_touched(self, out, run):
        unfinished(run)
        plan = json.loads((run / "plan.json").read_text())
        plan.pop("checksum", None)
        (run / "plan.json").write_text(json.dumps(plan | {"format": "terramosaic-plan-99"}))
        days_old(run)
        assert states(out) == {run.name: "unreadable"}
        ((name, reason),) = found(out)
        assert name == run.name and "plan" in reason and cleaned(out) == []

    def test_regions_below_are_looked_into_and_links_are_not(self, out, run, tmp_path):
        (out / "kite").mkdir()
        shutil.move(run, out / "kite" / run.name)
        (out / "link").symlink_to(out / "kite" / run.name)
        (out / ".hidden").mkdir()
        shutil.copy(out / "kite" / run.name / "plan.json", out / ".hidden")
        assert states(out) == {f"kite/{run.name}": "complete"}

    @pytest.mark.parametrize("what", ["nothing", "run", "file"])
    def test_what_is_no_output_folder_is_refused(self, run, tmp_path, what):
        place = {"nothing": tmp_path / "none", "run": run, "file": run / "plan.json"}[what]
        with pytest.raises(RequestError, match=r"^out: "):
            list(runs_below(place))

    def test_a_folder_of_other_things_has_none(self, tmp_path):
        (tmp_path / "photos" / "blocks").mkdir(parents=True)
        (tmp_path / "photos" / "a.tif").write_bytes(b"x")
        assert found(tmp_path) == [] and list(runs_below(tmp_path)) == []


class TestBlocks:
    def test_rasters_go_and_the_run_is_verified_as_before(self, out, run):
        before = verify(run, windows=6, seed=1, write=False)
        held = {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
        (gone,) = cleaned(out)
        assert isinstance(gone, Removal) and gone.what == "block rasters"
        left = {
            path.relative_to(run) for path in run.rglob("*") if path.is_file() and "lease" not in path.parts
        }
        assert {str(name) for name in held - left} == set(gone.files)
        assert {path.name for path in (run / "blocks").rglob("*") if path.is_file()} == {
            "block.json",
            "S2.tif",
        }
        assert found(out) == [] and states(out) == {run.name: "complete"}
        after = verify(run, windows=6, seed=1)
        assert after.verified == before.verified == 6 and after.elsewhere == before.elsewhere == {}
        assert after.close == before.close == 0 and after.failure is None
        # What came of it was written into item and report, which takes receipts and previews.
        assert "verification.json" in json.loads((run / "item.json").read_text())["assets"].__str__()

    def test_the_run_is_recognised_and_made_good_where_a_mosaic_is_damaged(self, land, out, run):
        cleaned(out)
        request = land.request(PLACE, out, targets=("NDVI", "LULC"))
        assert map_region(request).was_done
        before = multihash_of(run / "NDVI.tif")
        (run / "NDVI.tif").write_bytes(b"x")
        again = map_region(request)
        assert not again.was_done and is_complete(read_plan(run)) and open_run(run).plan.run_id == run.name
        assert multihash_of(run / "NDVI.tif") == before
        assert found(out) == [(run.name, "block rasters")]

    def test_who_is_killed_half_way_leaves_a_complete_run(self, out, run, monkeypatch):
        removed = []

        def remove(path):
            if len(removed) == 3:
                raise KeyboardInterrupt
            removed.append(path)
            path.unlink()

        monkeypatch.setattr(cleaning, "remove", remove)
        with pytest.raises(KeyboardInterrupt):
            cleaned(out)
        monkeypatch.undo()
        assert states(out) == {run.name: "complete"} and is_complete(read_plan(run))
        assert verify(run, windows=3, seed=1, write=False).failure is None
        (gone,) = cleaned(out)
        assert len(gone.files) > 3 and found(out) == []

    def test_blocks_elsewhere_stay(self, out, run, tmp_path):
        shutil.move(run / "blocks", tmp_path / "elsewhere")
        (run / "blocks").symlink_to(tmp_path / "elsewhere")
        assert found(out) == []
        (run / "blocks").unlink()
        (run / "blocks").mkdir()
        for block in (tmp_path / "elsewhere").iterdir():
            (run / "blocks" / block.name).symlink_to(block)
        shutil.copytree(tmp_path / "elsewhere", run / "blocks" / "mine")
        before = sorted((tmp_path / "elsewhere").rglob("*"))
        assert found(out) == [(run.name, "its blocks are links to elsewhere")]
        assert cleaned(out) == [] and sorted((tmp_path / "elsewhere").rglob("*")) == before

    def test_blocks_of_another_run_stay(self, out, run):
        for file in (run / "blocks").glob("*/block.json"):
            receipt = json.loads(file.read_text())
            receipt.pop("checksum", None)
            file.write_text(json.dumps(receipt | {"run_id": "0" * 16}))
        assert found(out) == []

    def test_a_run_in_a_folder_of_another_name_stays(self, out, run):
        run.rename(out / "mine")
        assert found(out) == [("mine", f"its folder is not called {run.name}, as its run is")]

    def test_while_somebody_adds_to_the_run_it_stays(self, out, run):
        (removal,) = what_may_go(out)
        with lease(run / "lease", owner="a verification"):
            ((_, reason),) = found(out)
            assert "held by a verification" in reason
            (stays,) = remove_what_may_go(out, [removal])
            assert isinstance(stays, Kept) and "held by a verification" in stays.reason
        assert found(out) == [(run.name, "block rasters")]

    def test_what_was_damaged_since_it_was_found_stays(self, out, run):
        (removal,) = what_may_go(out)
        (run / "NDVI.tif").write_bytes(b"x")
        (stays,) = remove_what_may_go(out, [removal])
        assert (
            isinstance(stays, Kept) and (run / "blocks").is_dir() and list((run / "blocks").rglob("NDVI.tif"))
        )


class TestStaleRuns:
    def test_it_goes_with_what_points_at_it(self, out, run):
        unfinished(run)
        assert found(out) == [(run.name, "the run")]
        (gone,) = cleaned(out)
        assert isinstance(gone, Removal) and not run.exists() and not (out / "latest").is_symlink()
        assert not [path for path in out.iterdir() if path.name.startswith(f".{run.name}")]

    def test_younger_ones_stay(self, out, run):
        unfinished(run, days=6)
        assert found(out) == [] and found(out, days=5) == [(run.name, "the run")]

    def test_one_that_was_written_to_since_it_was_found_stays(self, out, run):
        unfinished(run)
        removals = list(what_may_go(out))
        (run / "blocks" / "fresh.tif").write_bytes(b"")
        (stays,) = remove_what_may_go(out, removals)
        assert isinstance(stays, Kept) and (run / "plan.json").exists()

    def test_one_that_a_collection_names_stays(self, out, run):
        (run / "item.json").unlink()
        days_old(run)
        assert found(out) == [(run.name, "a collection names it")]

    def test_one_that_is_held_stays(self, out, run):
        unfinished(run)
        with lease(run / "lease", owner="somebody"):
            days_old(run)
            assert states(out) == {run.name: "running"} and found(out) == []

    def test_a_watched_regions_stay(self, out, run):
        unfinished(run)
        (out / "acquisitions").mkdir()
        run.rename(out / "acquisitions" / run.name)
        ((name, reason),) = found(out)
        assert name == f"acquisitions/{run.name}" and "watched" in reason and cleaned(out) == []

    def test_one_with_links_in_it_stays(self, out, run, tmp_path):
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "a.tif").write_bytes(b"x")
        unfinished(run)
        (run / "scenes" / "link").symlink_to(tmp_path / "precious")
        ((_, reason),) = found(out)
        assert "links" in reason and cleaned(out) == [] and (tmp_path / "precious" / "a.tif").exists()

    def test_who_is_killed_half_way_is_followed(self, out, run):
        """By the next one, and meanwhile nobody sees half a run."""
        unfinished(run)
        program = (
            "import os, sys\n"
            "from terramosaic.upkeep import cleaning\n"
            "cleaning.remove_folder = lambda folder: ((folder / 'plan.json').unlink(), os._exit(9))\n"
            "list(cleaning.remove_what_may_go(sys.argv[1], list(cleaning.what_may_go(sys.argv[1]))))\n"
        )
        done = subprocess.run([sys.executable, "-c", program, str(out)], check=False)
        assert done.returncode == 9 and not run.exists() and states(out) == {}
        assert [path for path in out.iterdir() if path.name.startswith(f".{run.name}")]
        list(remove_what_may_go(out, []))
        assert not [path for path in out.iterdir() if path.name.startswith(f".{run.name}")]


def test_in_a_store(land, tmp_path):
    """As on a disk; a run that goes is known by its plan until all else is gone."""
    url = "memory://upkeep/maps"
    done = map_region(land.request(PLACE, tmp_path, targets=("NDVI",)).model_copy(update={"out": url}))
    (told,) = runs_below(url)
    assert (told.name, told.state) == (done.folder.name, "complete") and told.size > 10_000
    (gone,) = cleaned(url)
    assert gone.what == "block rasters" and list(what_may_go(url)) == []
    assert verify(done, windows=3, seed=1).failure is None
    folder = location(url) / done.folder.name
    cleaning.remove(folder / "item.json")
    stale = timedelta(0)
    assert [one.reason for one in what_may_go(url, stale_after=stale)] == []  # it was written to a moment ago
    (told,) = runs_below(url)
    assert told.state == "running"
    cleaning._discard(told.folder)
    assert list(runs_below(url)) == []


class TestHolder:
    def test_who_holds_it_and_nobody(self, tmp_path):
        assert holder(tmp_path) is None
        with lease(tmp_path, owner="me"):
            held = holder(tmp_path)
            assert held is not None and held.owner == "me"
        assert holder(tmp_path) is None

    def test_a_killed_one_holds_nothing_and_another_machines_for_its_time(self, tmp_path):
        program = (
            "import os, sys\nfrom terramosaic.storage.lease import lease\n"
            "with lease(sys.argv[1], owner='me'): os._exit(9)\n"
        )
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
        assert holder(tmp_path) is None
        note = json.loads((tmp_path / "lease.json").read_text()) | {"kernel": "another"}
        (tmp_path / "lease.json").write_text(json.dumps(note))
        assert holder(tmp_path) is not None
        then = time.time() - 3600
        os.utime(tmp_path / "lease.json", (then, then))
        assert holder(tmp_path) is None


class TestCommands:
    def test_runs(self, out, run):
        told = CliRunner().invoke(cli, ["runs", str(out)])
        assert told.exit_code == 0 and run.name in told.output and "complete" in told.output
        (as_json,) = json.loads(CliRunner().invoke(cli, ["runs", str(out), "--json"]).output)
        assert (
            as_json["run"] == run.name
            and as_json["bytes"] > 0
            and as_json["first_day"] <= as_json["last_day"]
        )

    def test_clean_asks_and_removes_nothing_before(self, out, run):
        rasters = sorted(run.rglob("*"))
        dry = CliRunner().invoke(cli, ["clean", str(out), "--dry-run"])
        assert dry.exit_code == 0 and "block rasters" in dry.output and sorted(run.rglob("*")) == rasters
        unasked = CliRunner().invoke(cli, ["clean", str(out)])
        assert isinstance(unasked.exception, RequestError) and "--yes" in str(unasked.exception)
        assert sorted(run.rglob("*")) == rasters and not (out / "clean-lease").exists()

    @pytest.mark.parametrize("answer", ["n", "y"])
    def test_a_terminal_is_asked(self, out, run, monkeypatch, answer):
        monkeypatch.setattr("terramosaic.cli.upkeep._can_ask", lambda: True)
        monkeypatch.setattr("click.confirm", lambda text, **options: "Remove" in text and answer == "y")
        told = CliRunner().invoke(cli, ["clean", str(out)], standalone_mode=True)
        assert told.exit_code == 0
        assert bool(list((run / "blocks").rglob("NDVI.tif"))) == (answer == "n")

    def test_a_block_may_take_a_day(self, out):
        assert CliRunner().invoke(cli, ["clean", str(out), "--older-than", "0.5", "--yes"]).exit_code == 2

    def test_json(self, out, run):
        told = json.loads(CliRunner().invoke(cli, ["clean", str(out), "--yes", "--json"]).output)
        assert told["removed"] and told["going"][0]["run"] == run.name and told["kept"] == []
        assert not list((run / "blocks").rglob("NDVI.tif"))
