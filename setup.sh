#!/usr/bin/env bash
# Installs what namm needs and builds it. Safe to run again: what is there is kept.
#   ./setup.sh            what the program needs, then builds build/namm
#   ./setup.sh --tests    what the tests need as well, then builds everything
#   ./setup.sh --no-build installs only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

program_packages=(
  g++ cmake ninja-build ccache pkg-config git ca-certificates python3 python3-venv
  libyaml-cpp-dev libspdlog-dev libhdf5-dev libcli11-dev nlohmann-json3-dev libopenblas-dev libhwy-dev gfortran libpcre2-dev libicu-dev
  libmecab-dev libzip-dev zlib1g-dev libnats-dev)
test_packages=(libgtest-dev libgmock-dev util-linux nats-server openssl faketime)

usage() { sed -n 2,5p "$0" | cut -c3-; }

tests=no build=yes
for argument in "$@"; do
  case $argument in
    --tests) tests=yes ;;
    --no-build) build=no ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup.sh: unknown argument '$argument'" >&2; usage >&2; exit 2 ;;
  esac
done

say() { printf '\n==> %s\n' "$*"; }
elapsed() { echo "    ($((SECONDS - $1)) s)"; }

refuse_other_systems() {
  local id='' version=''
  if [ -r /etc/os-release ]; then
    id=$(. /etc/os-release && echo "${ID:-}")
    version=$(. /etc/os-release && echo "${VERSION_ID:-}")
  fi
  [ "$id" = debian ] && [ "$version" = 12 ] && return
  cat >&2 <<EOF
setup.sh installs packages of Debian 12; this is '${id:-unknown} ${version}'. Nothing was changed. What namm needs:
  C++20 compiler (GCC 12 or later), CMake 3.25, Ninja, Python 3.10 to 3.13
  libraries with headers: yaml-cpp, spdlog, HDF5 (C), CLI11, nlohmann-json, OpenBLAS (static), Highway, PCRE2, ICU, libzip,
    MeCab, the NATS client for C; for the tests GoogleTest, nats-server, openssl, faketime
  dictionaries of Chinese and Japanese words: the Python packages of configs/requirements/dictionaries.txt in .venv
  LibTorch 2.11: the Python wheel torch==2.11.0 in .venv, or an unpacked LibTorch archive
On Debian 12 these are: ${program_packages[*]} ${test_packages[*]}
Then: cmake --preset program [-DNAMM_TORCH_DIR=DIR of torch or LibTorch] && cmake --build --preset program
EOF
  exit 2
}

install_debian_packages() {
  local wanted=("${program_packages[@]}") missing=() package
  [ $tests = yes ] && wanted+=("${test_packages[@]}")
  for package in "${wanted[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then
    say "Debian packages: all there"
    return
  fi
  say "Debian packages: installing ${missing[*]}"
  local as_root=() start=$SECONDS
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "setup.sh: not root and no sudo here. As root, run:  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 2
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
  elapsed "$start"
}

install_python_packages() {
  local lists=(configs/requirements/{program,export,dictionaries}.txt) start=$SECONDS list
  [ $tests = yes ] && lists+=(configs/requirements/{tests,parquet,metrics,evolution}.txt)
  if [ ! -x .venv/bin/python ]; then
    say "Python environment: making .venv"
    /usr/bin/python3 -m venv .venv
  fi
  for list in "${lists[@]}"; do
    local stamp
    stamp=.venv/installed-$(sha256sum "$list" | cut -c1-16)
    if [ -e "$stamp" ]; then
      say "Python packages of $list: all there"
      continue
    fi
    local size=''
    case $list in
      */program.txt) size=' (LibTorch is in the wheel torch, about 4.6 GB with what it needs)' ;;
      */dictionaries.txt) size=' (about 280 MB)' ;;
    esac
    say "Python packages of $list$size"
    .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -r "$list"
    touch "$stamp"
  done
  elapsed "$start"
}

build_program() {
  local preset=program start=$SECONDS
  [ $tests = yes ] && preset=release
  say "Building with preset '$preset' on $(nproc) cores"
  cmake --preset "$preset"
  cmake --build --preset "$preset"
  elapsed "$start"
}

refuse_other_systems
install_debian_packages
install_python_packages
if [ $build = yes ]; then
  build_program
  say "Done after $SECONDS s. Try: build/namm doctor"
fi
