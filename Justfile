export PYTHONPATH := justfile_directory()
export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

# List every recipe.
default:
    @just --list --unsorted

# What the recipes after it need is installed on their first call, and again when its lock file changed.
[private]
install LEVEL:
    @tools/install.sh {{ LEVEL }}

# Build the page again, after it was changed.
page: (install "page")

# The types that the page knows the gateway by, made from its description, and the page held to them.
page-check: (install "developer")
    python -m tools.page_api
    cd page && node node_modules/svelte-check/bin/svelte-check --fail-on-warnings

# Every view of the page as a picture, into docs/page.
page-pictures: (install "developer")
    python -m tools.page_pictures

# Everything a change is held to before its tests: format, lint, types, layers.
check: (install "developer")
    ruff format --check
    ruff check
    mypy
    lint-imports

# Format and fix what can be fixed by itself.
fmt: (install "developer")
    ruff format
    ruff check --fix

# The checks, then every test but the long ones, three files at a time, those that take long first.
test *ARGS: check (install "tests")
    pytest -n 3 --dist loadfile --no-loadscope-reorder {{ ARGS }}

# The long tests, at night: what takes minutes, and the rest of what `test` samples. The faults' are those of test-faults.
test-long *ARGS: (install "tests")
    pytest -n 3 --dist loadfile --no-loadscope-reorder -m long --ignore tests/faults {{ ARGS }}

# Every fault, the whole matrix of failpoints included, on three clusters at a time: -k WORDS for some of them.
test-faults *ARGS: (install "tests")
    pytest tests/faults -n 3 --dist worksteal -m "long or not long" {{ ARGS }}

# Seeded disasters on virtual time: --seeds 1000, --seed N to replay one, --planted to find planted bugs.
simulate *ARGS: (install "developer")
    python -m simulation {{ ARGS }}

# Small changes to rules and statements that the nearest tests don't notice, at night: WORD for some files, --sample N.
mutants *ARGS: (install "mutants")
    python -m tools.mutants {{ ARGS }}

# Start the cluster on this machine, in the foreground.
up *ARGS: (install "runtime")
    python -m cli up {{ ARGS }}

# End the cluster.
down: (install "runtime")
    python -m cli down

# A sample repository, a goal and a plan, run live to their delivered branches.
demo: (install "runtime")
    python -m examples.demo

# The workloads of docs/benchmarks.md, all or those named (W1 W2 ...); --peers: beside others; --against COMMIT: ratios.
bench *ARGS: (install (if ARGS =~ '--peers' { "peers" } else { "developer" }))
    python -m bench {{ ARGS }}

# W3 in a loop with the memory of every process drawn into docs/soak.svg: --minutes N, --write-docs.
soak *ARGS: (install "developer")
    python -m bench.soak {{ ARGS }}

# How soon work goes on after each part died: a table, and into docs/reliability.md with --write-docs.
recovery *ARGS: (install "developer")
    python -m bench.recovery {{ ARGS }}

# Write what is made from the declarations: golden bytes of new messages, docs/asyncapi.yaml, docs/state-machines.md ...
generate: golden asyncapi state-machines reference rules

# Keep the bytes of new messages, and of new fields; those kept before never change.
golden: (install "developer")
    python -m tools.golden

# Write docs/asyncapi.yaml from the messages and what each service declares.
asyncapi: (install "developer")
    python -m tools.asyncapi

# Draw docs/state-machines.md from the transition tables.
state-machines: (install "developer")
    python -m tools.state_machines

# List in docs/rules.md the files that cite each rule.
rules: (install "developer")
    python -m tools.rules

# Run the demo in a terminal of its own and write what was seen: docs/demo.svg.
recording: (install "developer")
    python -m tools.recording

# Run the real agents against played models and keep what they print: all, or the cases named. Some take minutes.
agent-recordings *NAMES: (install "tests")
    python -m tools.agent_recordings {{ NAMES }}

# Write docs/reference: the command line from its parsers, the settings from their declaration.
reference: (install "developer")
    python -m tools.reference
