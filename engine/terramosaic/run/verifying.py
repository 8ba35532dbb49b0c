"""Verifying a run that is finished, and writing down what came of it."""

from __future__ import annotations

from collections.abc import Callable

from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.run.keeping import keep
from terramosaic.storage.location import Location
from terramosaic.trust.verification import Verification
from terramosaic.trust.verifying import verified


def verify(
    run: str | Location | MapResult,
    *,
    windows: int = 300,
    whole: bool = False,
    minutes: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    write: bool = True,
    on_window: Callable[[int, int], None] = lambda done, drawn: None,
) -> Verification:
    """Checks a finished map: its files against their checksums, and windows of it against their sources.

    Windows are drawn at random, each block getting its share. Their imagery is read anew as the run's own records of
    its scenes say, the model generates them again, and what comes of it is compared with the mosaics: bit for bit where
    the run was computed in the same surroundings, else within a tolerance that is stated.

    Args:
        run: what `map_region` returned, or the run's folder or ``plan.json``, or the URL of either.
        windows: how many are drawn.
        whole: whether all of a window is compared, which takes all windows that overlap it; by default its core, the
            pixels that no other window touches, which takes itself alone.
        minutes: after which no other window is begun.
        seed: of the drawing; by default another one each time.
        device: where windows are computed; by default where the run's were. It must be of the same kind.
        write: whether it is kept as the run's ``verification.json``, and told in its report and item.
        on_window: told how many windows were looked at, of how many.

    Returns:
        What was checked and what came of it: `Verification.passed`, and what to raise else as `Verification.failure`.

    Raises:
        RequestError: there is no run, it is not finished, or the device is of another kind.
        ModelError: the model cannot be opened, or failed.
        OutputError: the store that the run lies in failed, or nothing can be written there.
        LeaseHeldError: another one is adding to the run's report and item.
    """
    plan = read_plan(run.folder if isinstance(run, MapResult) else run)
    found = verified(
        plan,
        windows=windows,
        whole=whole,
        minutes=minutes,
        seed=seed,
        device=device,
        on_window=on_window,
    )
    if write:
        keep(
            plan,
            RunFolder.of(plan).verification_file,
            found,
            what="a verification",
            is_damaged=bool(found.flaws),
        )
    return found
