# shellcheck shell=bash
#
# Common parts of the scripts: where things are, how to say that something is missing, and how to install it.

program=scripts/$(basename "$0")
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${SIPWAKE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sipwake}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$repository/target}

readonly CARGO_DENY_VERSION=0.20.2 CARGO_MUTANTS_VERSION=27.1.0 CARGO_NDK_VERSION=4.1.2 CARGO_CYCLONEDX_VERSION=0.5.9 MDBOOK_VERSION=0.5.4
readonly ACTIONLINT_VERSION=1.7.7 ZIZMOR_VERSION=1.32.0

# What cargo builds for scripts/test: the whole workspace with one set of features, for every part. Otherwise cargo
# compiles the common crates once for each part.
readonly WORKSPACE=(--workspace --features sipwake-ffi/test-support)

# The packages for cargo to build: the named ones or, in scripts/test, the whole workspace.
packages() {
  if [[ -n ${SIPWAKE_WHOLE_WORKSPACE:-} ]]; then
    echo "${WORKSPACE[@]}"
  else
    printf -- '--package %s ' "$@"
  fi
}

lacking() {
  echo "$program: $*" >&2
  exit 69
}

# Succeeds if this machine can give a program a network namespace of its own, with nothing in it.
can_cut_network() {
  unshare --net true 2>/dev/null
}

# Installs Debian packages: `apt_install "what they are for" PACKAGE…`. If it cannot, it says why in one line.
apt_install() {
  local what_for=$1
  shift
  command -v apt-get >/dev/null || { echo "no $* ($what_for), and no apt to install it with" >&2; return 69; }
  [[ $(id -u) -eq 0 ]] || { echo "no $* ($what_for); run as root: apt-get install $*" >&2; return 69; }
  mkdir -p "$cache"
  (
    exec {lock}>"$cache/apt.lock"
    flock "$lock"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
  ) >"$cache/apt.log" 2>&1 || { echo "no $* ($what_for); apt could not install it: $(tail -n 1 "$cache/apt.log")" >&2; return 69; }
}

readonly DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Prints where this machine's apt fetches Debian from, or nothing.
debian_mirror() {
  if [[ -n ${SIPWAKE_DEBIAN_MIRROR:-} ]]; then
    echo "$SIPWAKE_DEBIAN_MIRROR"
    return
  fi
  # shellcheck disable=SC2016 # the $(…) are apt's own
  apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^Debian|Debian|//p' | head -n 1
}

need_rust() {
  [[ -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin
  command -v cargo >/dev/null || lacking "no cargo on PATH; install Rust 1.88 or newer from https://rustup.rs"
  [[ -f /etc/ssl/certs/ca-certificates.crt || $(uname -s) != Linux ]] || apt_install "cargo downloads with it" ca-certificates || true
  command -v cc >/dev/null || apt_install "cargo links with it" gcc libc6-dev || lacking "no C compiler, which cargo links with"
}

# Whether a subcommand of cargo is there without a build.
is_built() {
  command -v "cargo-$1" >/dev/null || [[ -x $cache/cargo-$1-$2/bin/cargo-$1 ]]
}

# Prints the path of a subcommand of cargo: the one on PATH, or else one built into the cache (once, in a minute or
# two).
cargo_tool() {
  local name=cargo-$1 version=$2 root
  root=$cache/$name-$version
  if command -v "$name"; then return; fi
  if ! [[ -x $root/bin/$name ]]; then
    mkdir -p "$cache"
    echo "$program: building $name $version into $root (once)" >&2
    CARGO_TARGET_DIR=$cache/$name-build cargo install --quiet --locked --debug --root "$root" "$name@$version" >&2 || return 69
    rm -rf "$cache/$name-build"
  fi
  echo "$root/bin/$name"
}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

# Generated Kotlin does not say what is public. The compiler requires that of the handwritten code.
excuse_generated() {
  sed -i 's/^@file:Suppress("NAME_SHADOWING")$/@file:Suppress("NAME_SHADOWING", "NO_EXPLICIT_VISIBILITY_IN_API_MODE", "NO_EXPLICIT_RETURN_TYPE_IN_API_MODE")/' "$1"
  grep -q NO_EXPLICIT_VISIBILITY "$1" || { echo "$1 begins otherwise than expected" >&2; return 1; }
}
