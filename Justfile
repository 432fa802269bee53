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

# The checks, then every test but the long ones, three files at a time: most of a test's time is waiting for processes.
test *ARGS: check
    pytest -n 3 --dist loadfile {{ ARGS }}

# Install the real agents that tests run against scripted models: pinned, in tests/agents, for nobody else.
agents-install:
    @command -v npm >/dev/null || { echo "just: npm is missing: install your system's packages nodejs and npm" >&2; exit 1; }
    npm install --prefix tests/agents --no-package-lock --no-fund --no-audit --loglevel error
    cd tests/agents/node_modules/@anthropic-ai/claude-code && node install.cjs  # where npm runs no scripts of packages

# Every fault, the whole matrix of failpoints included, on three clusters at a time: -k WORDS for some of them.
test-faults *ARGS:
    pytest tests/faults -n 3 --dist worksteal -m "long or not long" {{ ARGS }}

# Seeded disasters on virtual time: --seeds 1000, --seed N to replay one, --planted to find planted bugs.
simulate *ARGS:
    python -m simulation {{ ARGS }}

# Start the cluster on this machine, in the foreground.
up *ARGS:
    python -m cli up {{ ARGS }}

# End the cluster.
down:
    python -m cli down

# A sample repository, a goal and a plan, run live to their delivered branches.
demo:
    python -m examples.demo

# The workloads of docs/benchmarks.md, as a table and in bench/results: all, or those named (W1 W2 ...).
bench *ARGS:
    python -m bench {{ ARGS }}

# W3 in a loop with the memory of every process drawn into docs/soak.svg: --minutes N, --write-docs.
soak *ARGS:
    python -m bench.soak {{ ARGS }}

# How soon work goes on after each part died: a table, and into docs/reliability.md with --write-docs.
recovery *ARGS:
    python -m bench.recovery {{ ARGS }}

# Write what is made from the declarations: golden bytes of new messages, docs/asyncapi.yaml, docs/state-machines.md.
generate: golden asyncapi state-machines reference

# Keep the bytes of new messages, and of new fields; those kept before never change.
golden:
    python -m tools.golden

# Write docs/asyncapi.yaml from the messages and what each service declares.
asyncapi:
    python -m tools.asyncapi

# Draw docs/state-machines.md from the transition tables.
state-machines:
    python -m tools.state_machines

# Run the demo in a terminal of its own and write what was seen: docs/demo.svg.
recording:
    python -m tools.recording

# Write docs/reference: the command line from its parsers, the settings from their declaration.
reference:
    python -m tools.reference
