"""``python -m terramosaic_flows.service.passwords``: what compose begins with, so that no example opens a server.

Whoever copies a line of a page that everybody can read has a password that everybody knows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from terramosaic.errors import RequestError
from terramosaic.settings import AUTH, DATABASE_PASSWORD

#: What documentation, here and Prefect's and PostgreSQL's, shows as a password.
_EXAMPLES = frozenset(
    {"admin", "pass", "password", "secret", "prefect", "postgres", "terramosaic", "user", "example"}
    | {"changeme", "change-me", "change_me", "yourpassword", "your-password", "example-password"}
)
_SHORTEST = 12

_ADVICE = "write one of your own to .env: openssl rand -hex 16"


def require_own_passwords(environment: Mapping[str, str]) -> None:
    """Refuses passwords that are examples, or as easily found out.

    Raises:
        RequestError: one line for each setting that is wrong.
    """
    user, colon, password = environment.get(AUTH.name, "").partition(":")
    wrong = {
        AUTH.name: "is not user:password" if not (user and colon) else _weakness(password),
        DATABASE_PASSWORD.name: _weakness(environment.get(DATABASE_PASSWORD.name, "")),
    }
    lines = [f"{setting}: it {reason}; {_ADVICE}" for setting, reason in wrong.items() if reason]
    if lines:
        raise RequestError("\n".join(lines))


def _weakness(password: str) -> str:
    if password.lower() in _EXAMPLES:
        return "is the password of an example, which everybody knows"
    return f"has a password of less than {_SHORTEST} characters" if len(password) < _SHORTEST else ""


def main() -> None:
    """Ends with one line for each setting that is wrong, and the error's code."""
    try:
        require_own_passwords(os.environ)
    except RequestError as error:
        print("\n".join(f"terramosaic: {line}" for line in str(error).splitlines()), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
