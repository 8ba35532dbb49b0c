"""constraints.txt: the versions that the tests ran with, of all that the package and its extras bring.

    python -m tools.constraints

Run it in the environment of `make test`. `pip install terramosaic -c constraints.txt` then installs the same elsewhere.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).resolve().parents[1] / "constraints.txt"

#: Extras of users. `export` and `gpu` are gigabytes, and not in the environment of the tests.
EXTRAS = ("assess", "cubes", "dask", "notebook", "ray", "s3", "terramesh", "vectors")

_HEAD = "# Versions that the tests ran with; written by python -m tools.constraints\n"


def pins() -> dict[str, str]:
    """Version by name of each distribution that is installed for the package and its extras."""
    found: dict[str, str] = {}
    todo: list[tuple[str, tuple[str, ...]]] = [("terramosaic", EXTRAS)]
    seen = set(todo)
    while todo:
        name, extras = todo.pop()
        try:
            one = distribution(name)
        except PackageNotFoundError:  # of another platform, or wanted by an extra of an extra
            continue
        found[canonicalize_name(name)] = one.version
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                further = (requirement.name, tuple(sorted(requirement.extras)))
                if further not in seen:
                    seen.add(further)
                    todo.append(further)
    found.pop("terramosaic")
    return dict(sorted(found.items()))


def main() -> None:
    """Writes the file."""
    FILE.write_text(_HEAD + "".join(f"{name}=={version}\n" for name, version in pins().items()))


if __name__ == "__main__":
    main()
