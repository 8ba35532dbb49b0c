"""constraints.txt names a version for whatever the package asks for, within what is allowed, and no host."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.constraints import EXTRAS, FILE

PROJECT = tomllib.loads((FILE.parent / "pyproject.toml").read_text())["project"]
LINES = FILE.read_text().splitlines()[1:]


def test_each_line_is_a_name_and_a_version():
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.+!]*", line) for line in LINES)
    assert len(LINES) == len({line.split("==")[0] for line in LINES}) > 100


def test_they_are_within_the_ranges_of_the_project():
    pinned = dict(line.split("==") for line in LINES)
    asked = [
        *PROJECT["dependencies"],
        *(one for extra in EXTRAS for one in PROJECT["optional-dependencies"][extra]),
    ]
    for requirement in map(Requirement, asked):
        if requirement.marker is None or requirement.marker.evaluate({"sys_platform": "linux"}):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_every_extra_of_users_is_in_it():
    assert set(PROJECT["optional-dependencies"]) - {"dev", "docs", "export", "gpu"} == set(EXTRAS)
