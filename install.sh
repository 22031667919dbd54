#!/usr/bin/env bash
# Installs Pete Sounds into its own folder, checks it, and takes it away again.
#
#   ./install.sh         uv, Python, the packages and the model
#   ./install.sh test    every check: ruff, mypy, import-linter, shellcheck, pytest
#   ./install.sh clean   undo
#
# All of it stays inside this folder:
#   .uv/        our own uv if there was none, the Python it fetched, its cache
#   .venv/      the packages of requirements.txt; .venv/.installed is written last
#   .install/   notes for `clean` on what was put outside this folder, and the last log
#   .hf_cache/  model weights
# Two things can only go outside, uv by Homebrew and Linux system packages: said and noted.
# Never uses sudo. Written for bash 3.2, which macOS still has.

set -eu

UV_PINNED=0.13.9 # fetched where there is none
UV_NEEDED=0.11   # the oldest to accept: it knows UV_SYSTEM_CERTS
PYTHON_WANTED=3.12
# Looked for in this order when that can't be fetched. torchvision refuses 3.14.1.
PYTHON_RANGES='>=3.12,<3.13 >=3.13,<3.14 >=3.14,<3.15,!=3.14.1 >=3.11,<3.12 >=3.10,<3.11'
MACOS_NEEDED=14   # MLX has no wheels for anything older,
GLIBC_NEEDED=2.35 # nor for a Linux older than this
ROOM_MAC=3        # GB for the packages, the model and what is made of it: on a Mac,
ROOM_LINUX=5      # on Linux,
ROOM_CUDA=9       # and with all of CUDA, which PyPI's torch for Linux brings along
# Left out, one a line, though a package asks for them: openvino would report its use with the
# first; the second, which rapidocr asks for, is opencv-python once more, without windows; the third,
# which pyttsx3 asks for, is every framework of macOS, 155 packages in the place of 8.
EXCLUDED='openvino-telemetry
opencv-python-headless
pyobjc'

# ---------------------------------------------------------------- words

say() { printf '%s\n' "$*"; }

warn() { say "install.sh: $*" >&2; }

die() {
  warn "$*"
  exit 1
}

usage() {
  say 'usage: ./install.sh          install into this folder, or repair what is there'
  say '       ./install.sh test     run every check (installs first if need be)'
  say '       ./install.sh clean    remove all that was installed'
}

# Why the last logged step failed, in a few words.
reason() {
  if grep -qi 'no space left' "$LOG"; then
    say 'the disk is full'
  elif grep -qiE 'dns error|sending request|client error|connection|timed out|resolve host' "$LOG"; then
    say 'no connection'
  else
    say "see $LOG"
  fi
}

# at_least 3.10 3.9 is true: dotted numbers compared as numbers.
at_least() {
  local IFS=. have need i
  # shellcheck disable=SC2206 # meant to split at the dots
  have=($1) need=($2)
  for i in 0 1 2; do
    if [ "${have[i]:-0}" -ne "${need[i]:-0}" ]; then
      [ "${have[i]:-0}" -gt "${need[i]:-0}" ]
      return
    fi
  done
}

# ---------------------------------------------------------------- the machine

# In a terminal under Rosetta all that runs takes this Mac for an Intel one.
leave_rosetta() {
  [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ] || return 0
  exec arch -arm64 /bin/bash "$0" "$@"
}

check_machine() {
  local found
  case "$(uname -s)/$(uname -m)" in
    Darwin/arm64)
      found=$(sw_vers -productVersion 2>/dev/null) || return 0
      at_least "$found" "$MACOS_NEEDED" ||
        die "macOS $found found, $MACOS_NEEDED or newer needed (MLX is not built for older ones)."
      ;;
    Darwin/*)
      die 'an Intel Mac found, Apple Silicon needed (MLX and PyTorch are not built for Intel Macs).'
      ;;
    Linux/*)
      found=$(getconf GNU_LIBC_VERSION 2>/dev/null) || found='glibc 0'
      at_least "${found#glibc }" "$GLIBC_NEEDED" ||
        die "$found found, glibc $GLIBC_NEEDED or newer needed (MLX is not built for older ones)."
      ;;
    *) die "$(uname -s) found, macOS or Linux needed." ;;
  esac
}

check_folder() {
  { mkdir -p .install && : >"$LOG"; } 2>/dev/null ||
    die "can't write in $ROOT: it is read-only, or the disk is full."
}

# check_room GB: is that much free, counting what an earlier, unfinished run has taken already?
check_room() {
  local free used
  free=$(df -Pk . | sed -n '2s/.* \([0-9][0-9]*\)  *[0-9]*%.*/\1/p') # names may hold spaces
  free=$((${free:-0} / 1000 / 1000))
  used=$(du -skc .uv .venv 2>/dev/null | awk 'END { print int($1 / 1e6) }')
  [ $((free + used)) -ge "$1" ] || die "$free GB free on this disk, about $1 GB needed."
}

# Says what it will take, and ends where there is not that much.
check_space() {
  if [ "$(uname -s)" = Darwin ]; then
    say "This takes about $ROOM_MAC GB of disk, and 5 minutes at 100 Mbit/s."
    check_room "$ROOM_MAC"
  else
    say "This takes about $ROOM_LINUX GB of disk, and 5 minutes at 100 Mbit/s;"
    say "$ROOM_CUDA GB and 10 minutes where PyTorch's own index can't be reached."
    check_room "$ROOM_LINUX"
  fi
}

has_library() {
  local path=$PATH:/usr/sbin:/sbin
  ! PATH=$path command -v ldconfig >/dev/null || PATH=$path ldconfig -p | grep -qF "$1"
}

# The Debian names of the system packages that are missing: speech for pyttsx3, the last two for
# OpenCV, whose wheel expects them of the system.
missing_parts() {
  command -v espeak-ng >/dev/null || say espeak-ng
  has_library libGL.so.1 || say libgl1
  has_library libgthread-2.0.so.0 || say libglib2.0-0
}

# The command that installs system packages here, given their Debian names.
parts_command() {
  if command -v apt-get >/dev/null; then
    say "sudo apt-get install $*"
  elif command -v dnf >/dev/null; then
    say "sudo dnf install $*" | sed 's/libgl1/mesa-libGL/; s/libglib2.0-0/glib2/'
  elif command -v pacman >/dev/null; then
    say "sudo pacman -S $*" | sed 's/libgl1/libglvnd/; s/libglib2.0-0/glib2/'
  elif command -v zypper >/dev/null; then
    say "sudo zypper install $*" | sed 's/libgl1/Mesa-libGL1/; s/libglib2.0-0/libgthread-2_0-0/'
  else
    say "$*, with your package manager"
  fi
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y --no-install-recommends "$@" ||
    { apt-get update && apt-get install -y --no-install-recommends "$@"; }
}

install_parts() {
  local missing
  [ "$(uname -s)" = Linux ] || return 0
  # shellcheck disable=SC2046 # one word a package
  set -- $(missing_parts)
  [ $# -gt 0 ] || return 0
  missing="$*"
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "Installing system packages for speech and video: $missing ..."
    printf '%s\n' "$@" >>.install/packages # first: `clean` must know even if we are killed now
    apt_install "$@" </dev/null >"$LOG" 2>&1 && return
    warn "apt-get could not install them ($(reason))."
  fi
  say 'Speech and video need system packages that are missing here. To install them:'
  say "    $(parts_command "$@")"
}

# ---------------------------------------------------------------- uv

# On Apple Silicon one for Intel runs as well, but brings an Intel Python.
is_native() {
  case "$(uname -s) $("$1" --version)" in Darwin*x86_64*) return 1 ;; esac
}

# accept_uv COMMAND WHERE: sets UV if it runs and is new enough.
accept_uv() {
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  is_native "$1" || {
    say "The uv $2 is built for Intel: leaving it alone."
    return 1
  }
  version=${version#uv }
  version=${version%%[!0-9.]*}
  if ! at_least "$version" "$UV_NEEDED"; then
    say "uv $version found $2, $UV_NEEDED or newer needed: leaving it alone."
    return 1
  fi
  UV=$1
  say "uv $version found $2."
}

find_uv() {
  local own=$ROOT/.uv/bin/uv
  if command -v uv >/dev/null && accept_uv uv 'on PATH'; then return; fi
  if [ -x "$own" ] && accept_uv "$own" 'in .uv'; then return; fi
  if homebrew_uv; then return; fi
  if private_uv && accept_uv "$own" 'in .uv'; then return; fi
  die "uv can't be fetched ($(reason)). Try again, or install it yourself: https://docs.astral.sh/uv"
}

homebrew_uv() {
  command -v brew >/dev/null || return 1
  if ! brew list --formula uv >/dev/null 2>&1; then
    say 'Installing uv with Homebrew ...'
    : >.install/homebrew # first: `clean` must know even if we are killed now
    if ! HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_INSTALL_CLEANUP=1 brew install uv \
      </dev/null >"$LOG" 2>&1; then
      rm -f .install/homebrew
      say 'Homebrew could not install uv.'
      return 1
    fi
  fi
  accept_uv "$(brew --prefix)/bin/uv" 'from Homebrew'
}

# Fetches uv into a stage, tries it, then moves it into place in one step.
private_uv() {
  local stage=$ROOT/.uv/stage fetch
  command -v python3 >/dev/null || command -v curl >/dev/null ||
    die 'no uv, python3 or curl found, one of them needed.'
  say "Fetching uv $UV_PINNED into .uv ..."
  : >"$LOG"
  for fetch in uv_with_pip uv_with_venv uv_with_curl; do
    rm -rf "$stage"
    mkdir -p "$stage/tmp" .uv/bin
    # pip asks rustc for its version, and rustup's rustc writes into the home directory otherwise.
    if TMPDIR=$stage/tmp RUSTUP_HOME=$stage/tmp "$fetch" "$stage" >>"$LOG" 2>&1 &&
      "$stage/bin/uv" --version >>"$LOG" 2>&1 && is_native "$stage/bin/uv"; then
      mv -f "$stage/bin/uv" .uv/bin/uv
      rm -rf "$stage"
      return
    fi
  done
  rm -rf "$stage"
  return 1
}

# Without Apple's command line tools, macOS's own python3 only opens a dialog.
have_python() {
  command -v python3 >/dev/null || return 1
  if [ "$(uname -s)" = Darwin ] && [ "$(command -v python3)" = /usr/bin/python3 ]; then
    xcode-select -p >/dev/null 2>&1
  fi
}

# pip_uv PYTHON [OPTION...]
pip_uv() {
  local python=$1
  shift
  PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 "$python" -m pip install --quiet --no-cache-dir \
    --disable-pip-version-check --retries 2 --only-binary :all: "$@" "uv==$UV_PINNED"
}

uv_with_pip() {
  have_python && python3 -m pip --version && pip_uv python3 --target "$1"
}

uv_with_venv() {
  have_python && ! python3 -m pip --version && python3 -m venv "$1" && pip_uv "$1/bin/python"
}

uv_with_curl() {
  curl -LsSf --connect-timeout 15 -o "$1/install-uv.sh" "https://astral.sh/uv/$UV_PINNED/install.sh" &&
    UV_UNMANAGED_INSTALL=$1/bin sh "$1/install-uv.sh"
}

# ---------------------------------------------------------------- Python and the packages

# PATH, and behind it every Python that pyenv has: its shims answer for the chosen one alone.
python_path() {
  local IFS=: dir bin path=$PATH
  for dir in $PATH; do
    [ "${dir##*/}" = shims ] || continue
    for bin in "${dir%/*}"/versions/*/bin; do path=$path:$bin; done
  done
  say "$path"
}

# Sets PYTHON.
find_python() {
  local range
  say "Fetching Python $PYTHON_WANTED into .uv ..."
  if "$UV" python install --no-bin "$PYTHON_WANTED" >"$LOG" 2>&1 &&
    PYTHON=$("$UV" python find --no-project --managed-python "$PYTHON_WANTED" 2>>"$LOG"); then
    return
  fi
  say "Python $PYTHON_WANTED can't be fetched ($(reason)): taking the best one on this machine."
  for range in $PYTHON_RANGES; do
    if PYTHON=$(PATH=$(python_path) "$UV" python find --system --no-project --no-python-downloads \
      "$range" 2>>"$LOG"); then
      say "$("$PYTHON" --version) found at $PYTHON."
      return
    fi
  done
  die "no Python from 3.10 to 3.14 on this machine, and Python $PYTHON_WANTED can't be fetched."
}

# What .venv/.installed holds when .venv is whole: its place, for it can't be moved, and its packages.
venv_stamp() {
  say "$ROOT"
  cat requirements.txt
}

venv_ready() {
  [ -f .venv/.installed ] && venv_stamp | cmp -s - .venv/.installed &&
    .venv/bin/python -c '' >/dev/null 2>&1
}

# In the place of one that is half-made, outdated or moved; with the cache at hand that is quick.
# A uv left over from a killed run may still be writing into the old one for some seconds.
new_venv() {
  local tries=10
  mkdir -p .uv
  while :; do
    rm -rf .uv/old-venv || :
    if [ -e .venv ] || [ -L .venv ]; then mv .venv .uv/old-venv; fi
    "$UV" venv --quiet --no-project --prompt pete-sounds --python "$PYTHON" .venv 2>"$LOG" && break
    tries=$((tries - 1))
    [ $tries -gt 0 ] || die "can't make .venv ($(reason))."
    sleep 1
  done
  rm -rf .uv/old-venv || :
}

uv_pip_install() {
  printf '%s\n' "$EXCLUDED" >.install/excluded
  "$UV" pip install --python .venv/bin/python --excludes .install/excluded "$@"
}

# PyTorch's own index has a build for this machine's GPU, or a small one without; PyPI's for Linux
# brings all of CUDA, its macOS one is small already. torch and torchvision both come from the same.
choose_torch() {
  local cuda=
  say 'Working out the packages ...'
  if [ "$(uname -s)" = Linux ]; then
    export UV_TORCH_BACKEND=auto
    uv_pip_install --dry-run -r requirements.txt >"$LOG" 2>&1 && return
    unset UV_TORCH_BACKEND
    say "PyTorch's own index did not serve ($(reason)): taking PyPI's larger build."
    cuda=yes
  fi
  uv_pip_install --dry-run -r requirements.txt >"$LOG" 2>&1 ||
    die "the packages can't be had from PyPI ($(reason)). Run ./install.sh again when they can."
  [ -z "$cuda" ] || check_room "$ROOM_CUDA"
}

install_packages() {
  local quiet=--quiet modules
  if venv_ready; then
    say "The packages are in place ($(.venv/bin/python --version))."
    return
  fi
  check_space
  find_uv
  find_python
  new_venv
  choose_torch
  say 'Installing the packages (a few minutes the first time) ...'
  [ ! -t 2 ] || quiet=
  # Compiled now, or each start would do it that may not write there: torch's takes 2 s.
  uv_pip_install ${quiet:+"$quiet"} --compile-bytecode -r requirements.txt ||
    die 'the packages could not be installed: uv says why above. Run ./install.sh again.'
  modules='cv2, mlx.core, torch, torchvision'
  [ "$(uname -s)" != Linux ] || modules="$modules, openvino, rapidocr"
  .venv/bin/python -c "import $modules" >"$LOG" 2>&1 ||
    die "the packages are installed but don't load: $(tail -n 1 "$LOG")"
  venv_stamp >.venv/.installed.new
  mv -f .venv/.installed.new .venv/.installed
}

# ---------------------------------------------------------------- the three commands

fetch_model() {
  say 'Fetching the model that suits this machine, and making it ready ...'
  if ! .venv/bin/python -c 'import sys, narrator.engines.install as i; sys.exit(i.install_models())'; then
    say 'The model is not here yet: the next start tries again, and --demo works meanwhile.'
  fi
}

# What starts the program when it is pasted: python3 where that works, else .venv's.
start_command() {
  local python=.venv/bin/python
  if have_python && python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
    python=python3
  fi
  [ "$STARTED_IN" = "$ROOT" ] || printf 'cd %q && ' "$ROOT"
  say "$python pete_sounds.py"
}

install_all() {
  local start
  check_machine
  check_folder
  install_parts
  install_packages
  fetch_model
  start=$(start_command)
  say "Installed. Try:     $start --demo"
  say "With your camera:   $start"
}

# run_check NAME COMMAND...: adds NAME to FAILED if it fails.
run_check() {
  local name=$1
  shift
  say
  say "== $name"
  "$@" || FAILED="${FAILED:+$FAILED, }$name"
}

run_all_checks() {
  check_folder
  venv_ready || install_all
  [ -n "$UV" ] || find_uv
  uv_pip_install --quiet -r tests/requirements.txt ||
    die "the test tools can't be installed: uv says why above."
  run_check 'ruff check' .venv/bin/ruff check .
  run_check 'ruff format' .venv/bin/ruff format --check .
  run_check mypy .venv/bin/mypy
  run_check 'import-linter' .venv/bin/lint-imports --no-cache --no-logo
  run_check shellcheck .venv/bin/shellcheck install.sh .ci/run
  run_check pytest run_tests
  [ -z "$FAILED" ] || die "failed: $FAILED"
}

# The tests of models import torch, transformers and mlx, which takes each process 20 s: one process
# does, beside three for all others, as most of those wait more than they reckon. In the order of
# their folders, as those of the whole program take long and so come first.
run_tests() {
  local models=(tests/unit/{engines,models,test_bench.py,test_processor.py} tests/tools) failed=0
  unset PYTHONDONTWRITEBYTECODE  # With it, each process compiles the tests anew.
  PRINTED=$(mktemp)
  .venv/bin/python -m pytest "${models[@]}" >"$PRINTED" 2>&1 &
  MODELS_PID=$!
  trap 'kill "$MODELS_PID" 2>/dev/null || :; rm -f "$PRINTED"' EXIT  # after Ctrl-C, too
  .venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder "${models[@]/#/--ignore=}" ||
    failed=1
  wait "$MODELS_PID" || failed=1
  cat "$PRINTED"
  return "$failed"
}

# What there is to remove, one path a line.
made_here() {
  local path
  for path in .venv .uv .hf_cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .install; do
    if [ -e "$path" ] || [ -L "$path" ]; then say "$path"; fi
  done
  find . -maxdepth 1 -name __pycache__
  find narrator tests tools -name __pycache__ -prune 2>/dev/null || :
}

say_what_stays() {
  local packages
  if [ -f .install/homebrew ]; then
    say 'uv was installed with Homebrew. To remove it too: brew uninstall uv'
  fi
  if [ -f .install/packages ]; then
    packages=$(sort -u .install/packages | tr '\n' ' ')
    say "System packages were installed. To remove them too: sudo apt-get remove ${packages% }"
  fi
}

clean() {
  local path
  set --
  while IFS= read -r path; do
    [ -z "$path" ] || set -- "$@" "$path"
  done <<END
$(made_here)
END
  if [ $# -eq 0 ]; then
    say 'Nothing to remove.'
    return
  fi
  say "Removing from $ROOT:"
  du -shc "$@"
  say_what_stays
  rm -f .venv/.installed # first: a half-removed .venv must not pass for a whole one
  rm -rf "$@" || die 'not everything could be removed.'
}

set_environment() {
  STARTED_IN=$(pwd -P)
  ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
  cd -- "$ROOT"
  LOG=$ROOT/.install/log
  UV=
  FAILED=
  export UV_CACHE_DIR=$ROOT/.uv/cache UV_PYTHON_INSTALL_DIR=$ROOT/.uv/python
  export UV_SYSTEM_CERTS=1 # company networks have certificates of their own
  [ "${ACCESSIBLE:-0}" = 0 ] || export UV_NO_PROGRESS=1 # screen readers want whole lines
  export HF_HOME=$ROOT/.hf_cache
  unset PYTHONHOME PYTHONPATH UV_PYTHON UV_SYSTEM_PYTHON UV_TORCH_BACKEND
}

main() {
  leave_rosetta "$@"
  set_environment
  case "$#:$*" in
    0:) install_all ;;
    1:test) run_all_checks ;;
    1:clean) clean ;;
    1:-h | 1:--help) usage ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

main "$@"
