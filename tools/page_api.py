"""`just page-api`: page/src/api/schema.d.ts, the types that the page knows the gateway by, from its description."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from services.gateway.application import application
from services.gateway.schema import completed
from shared.config.settings import Settings

PAGE = Path(__file__).parents[1] / "page"
TYPES = PAGE / "src" / "api" / "schema.d.ts"


def described() -> dict[str, Any]:
    """The description of the HTTP interface, as a running gateway answers it at /schema/openapi.json."""
    nothing = cast("Any", None)
    app = application(nothing, Settings(home=Path("/")), nothing, nothing, nothing, nothing, nothing)
    return completed(cast("Any", SimpleNamespace(app=app)), app.openapi_schema.to_schema())


def types() -> str:
    """The types, as openapi-typescript writes them. Raises CalledProcessError."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(described(), file)
        file.flush()
        run = subprocess.run(
            ["node", "node_modules/openapi-typescript/bin/cli.js", file.name, "--default-non-nullable=false"],
            cwd=PAGE,
            check=True,
            stdout=subprocess.PIPE,
        )
    return run.stdout.decode()


def main() -> int:
    """Write them; the exit code."""
    TYPES.parent.mkdir(parents=True, exist_ok=True)
    TYPES.write_text(types(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
