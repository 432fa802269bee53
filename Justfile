export PYTHONPATH := justfile_directory()

# List every recipe.
default:
    @just --list --unsorted

# Everything a change is held to before its tests: format, lint, types, layers.
check:
    ruff format --check
    ruff check
    mypy
    lint-imports

# Format and mend what can be mended by itself.
fmt:
    ruff format
    ruff check --fix

# The checks, then every test but the long ones.
test *ARGS: check
    pytest {{ ARGS }}
