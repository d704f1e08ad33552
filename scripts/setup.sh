#!/bin/bash
# Makes the project ready to run: system packages, a private Python environment in .venv.
#
#   scripts/setup.sh          what a user needs; the command is then .venv/bin/datfs
#   scripts/setup.sh --dev    also what the checks and tests need (the other scripts call this)
#
# Silent and quick when nothing is missing. System packages come through apt-get, as root or with
# sudo; elsewhere the script says what is missing. PYTHON names the interpreter to use.
set -euo pipefail
cd "$(dirname "$0")/.."

dev=
kind=use
[ "${1:-}" = --dev ] && dev=yes kind=dev

say() { echo "setup: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

usable_python() { # a Python of 3.11 or newer
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

complete_python() { # and with what building pyfuse3 and making an environment need
  usable_python "$1" && "$1" - <<'EOF' 2>/dev/null
import ensurepip, os, sys, sysconfig, venv
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
EOF
}

find_python() { # prints the first complete one, else the first usable one
  local candidate first=
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3 python3.14}; do
    command -v "$candidate" >/dev/null && usable_python "$candidate" || continue
    complete_python "$candidate" && { echo "$candidate"; return; }
    first=${first:-$candidate}
  done
  echo "$first"
}

missing_packages() {
  local python version
  command -v fusermount3 >/dev/null || echo fuse3
  command -v pkg-config >/dev/null && pkg-config --exists fuse3 || echo pkg-config libfuse3-dev
  command -v cc >/dev/null || echo gcc libc6-dev
  python=$(find_python)
  if [ -z "$python" ]; then
    echo python3 python3-venv python3-dev
  elif ! complete_python "$python"; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "python$version-venv" "python$version-dev"
  fi
  if [ -n "$dev" ]; then
    command -v ip >/dev/null || echo iproute2
    command -v nsenter >/dev/null || echo util-linux
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v chromium >/dev/null || echo chromium
  fi
}

install_packages() {
  local as_root=() log=.cache/setup.log
  command -v apt-get >/dev/null || fail "please install what Debian calls: $*"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "packages are missing, and sudo as well; please run as root:
  apt-get update && apt-get install --no-install-recommends $*"
    as_root=(sudo)
  fi
  mkdir -p .cache
  say "installing $* (this may take a minute; $log tells more)"
  "${as_root[@]}" apt-get update -q >"$log" 2>&1 ||
    say "apt-get update failed; going on with the package lists that are here"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "$@" >>"$log" 2>&1 ||
    fail "apt-get install failed: $(tail -n 5 "$log")"
}

warn_if_unmountable() { # what no package brings
  [ -e /dev/fuse ] || say "there is no /dev/fuse here, so nothing can be mounted; try modprobe" \
    "fuse, and start a container with --device /dev/fuse --cap-add SYS_ADMIN"
  [ -e /etc/mtab ] || say "there is no /etc/mtab here, without which fusermount3 cannot unmount" \
    "for ordinary users; as root: ln -s /proc/self/mounts /etc/mtab"
}

stamp() { # what the environment was made from
  sha256sum pyproject.toml | cut -d' ' -f1
  .venv/bin/python -c 'import sys; print(sys.version, sys.base_prefix, sys.prefix)'
}

current() { # whether the environment is what this call asks for
  local made=.venv/made-for-$1
  [ -f "$made" ] && [ -x .venv/bin/python ] && [ "$(stamp 2>/dev/null)" = "$(cat "$made")" ]
}

warn_if_unmountable
[ -z "${PYTHON:-}" ] || usable_python "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer"
packages=$(missing_packages | xargs)
# shellcheck disable=SC2086 # a list of words
[ -z "$packages" ] || install_packages $packages

{ current dev || { [ -z "$dev" ] && current use; }; } && exit 0

python=$(find_python)
{ [ -n "$python" ] && complete_python "$python"; } ||
  fail "no Python 3.11 or newer with venv and headers found; PYTHON=/path/to/python names one"

mkdir -p .cache
exec 9>.cache/setup.lock # two calls at once make one environment
flock 9
if ! { current dev || { [ -z "$dev" ] && current use; }; }; then
  if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  say "installing Python packages into .venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${dev:+[dev]}" >&2
  stamp >".venv/made-for-$kind"
fi
