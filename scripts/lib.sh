# What scripts/test and scripts/demo share: install what is missing, and say what is done.
# To be sourced by bash, in the checkout's root. Changes the machine only by apt-get, and by
# making /dev/fuse usable; everything else lies in .venv.

OLDEST_PYTHON="3.10"
# The biggest download that RELION may be for the tests to install it, in MB.
RELION_LIMIT_MB=400

say() { printf '\033[1m%s\033[0m\n' "$*"; }
shout() { printf '\033[1;31m!!! %s\033[0m\n' "$*" >&2; }
die() {
  shout "$*"
  exit 1
}

# Run a command as root; fails with 126 where that can't be.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo > /dev/null && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
    sudo "$@"
  else
    return 126
  fi
}

can_be_root() { as_root true 2> /dev/null; }

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

# The list of packages is fetched once, and only if something is missing.
LISTS_ARE_FRESH=""
refresh_lists() {
  [ -z "$LISTS_ARE_FRESH" ] || return 0
  LISTS_ARE_FRESH=yes
  say "reading apt's list of packages"
  as_root apt-get update -qq || shout "apt-get update failed; going on with the old list"
}

# No `grep -q` behind a pipe: it ends early, and with pipefail that is a failure.
apt_knows() { LC_ALL=C apt-cache policy "$1" 2> /dev/null | grep 'Candidate: [^(]' > /dev/null; }

# install PACKAGE REASON: install a package of Debian; fails if it can't be.
install() {
  local package="$1" reason="$2"
  is_installed "$package" && return 0
  command -v apt-get > /dev/null || {
    shout "$package is missing ($reason) and there is no apt-get to install it"
    return 1
  }
  can_be_root || {
    shout "$package is missing ($reason). Ask an administrator to run: apt-get install $package"
    return 1
  }
  refresh_lists
  apt_knows "$package" || {
    shout "$package is missing ($reason) and apt doesn't know it"
    return 1
  }
  say "installing $package ($reason)"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 "$package" > /dev/null || {
    shout "apt-get could not install $package ($reason)"
    return 1
  }
}

# install_for PROGRAM PACKAGE REASON: install the package unless the program is there.
install_for() {
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1" > /dev/null || install "$2" "$3"
}

install_libfuse2() {
  ldconfig_lists libfuse.so.2 && return 0
  refresh_lists_if_root
  # Its name since the switch to 64-bit times (Ubuntu 24.04, Debian 13).
  if apt_knows libfuse2t64; then
    install libfuse2t64 "the older FUSE library, which is tested too"
  else
    install libfuse2 "the older FUSE library, which is tested too"
  fi
}

ldconfig_lists() { PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | grep -F "$1" > /dev/null; }

refresh_lists_if_root() { if can_be_root; then refresh_lists; fi; }

install_relion() {
  command -v relion_run_motioncorr > /dev/null && return 0
  can_be_root && refresh_lists
  if ! apt_knows relion; then
    shout "RELION is not in apt: the tests with real RELION jobs are SKIPPED"
    return 0
  fi
  local size_mb
  size_mb="$(download_size_mb relion)"
  if [ "${size_mb:-0}" -gt "$RELION_LIMIT_MB" ]; then
    shout "RELION would be a download of $size_mb MB: its tests are SKIPPED"
    return 0
  fi
  install relion "real jobs on the mount; ${size_mb:-?} MB" || shout "the tests with RELION are SKIPPED"
}

# What apt-get would download for a package, in MB, rounded up.
download_size_mb() {
  # Answering no is a failure to apt-get.
  { LC_ALL=C apt-get install --assume-no --no-install-recommends "$1" 2> /dev/null || true; } |
    sed -nE 's/^Need to get ([^/]*\/)?([0-9,.]+) ([kMG])?B .*/\2 \3/p' | tr -d , |
    awk '{ mb = $2 == "G" ? $1 * 1000 : $2 == "M" ? $1 : 0; printf "%d\n", mb + 1 }'
}

# Let every user open /dev/fuse, as udev's rules do where there is udev.
prepare_fuse() {
  if [ ! -e /dev/fuse ] && can_be_root; then
    say "making /dev/fuse (nothing can be mounted without it)"
    as_root modprobe fuse 2> /dev/null || true
    [ -e /dev/fuse ] || as_root mknod -m 666 /dev/fuse c 10 229 2> /dev/null || true
  fi
  if [ -e /dev/fuse ] && [ "$(stat -c %a /dev/fuse)" != 666 ] && can_be_root; then
    say "making /dev/fuse usable for every user (chmod 666), as it is on usual machines"
    as_root chmod 666 /dev/fuse || true
  fi
  if ! (exec 3<> /dev/fuse) 2> /dev/null; then
    shout "/dev/fuse can't be opened here: everything that needs a mount is SKIPPED"
  fi
}

# Print the newest fitting interpreter that can make a virtual environment.
find_python() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    command -v "$name" > /dev/null || continue
    "$name" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" 2> /dev/null || continue
    "$name" -c 'import venv, ensurepip' 2> /dev/null || continue
    echo "$name"
    return 0
  done
  return 1
}

install_python() {
  find_python > /dev/null && return 0
  install python3 "empiarfs is written in it" || return 1
  install python3-venv "to install what empiarfs needs beside, not into, the system's Python" || return 1
  find_python > /dev/null && return 0
  die "Python $OLDEST_PYTHON or newer is needed; this machine's is $(python3 -V 2>&1)"
}

# make_environment EXTRA: make or refresh .venv with empiarfs and one of its extras ("" or dev).
make_environment() {
  local extra="$1" stamp wanted
  stamp=.venv/.installed
  wanted="$(sha256sum < pyproject.toml) $(pwd -P)"
  if [ -x .venv/bin/python ] && [ -f "$stamp" ]; then
    # What was installed for the tests is enough for the demo.
    grep -qxF -e "${extra:-base} $wanted" -e "dev $wanted" "$stamp" && return 0
  fi
  if ! .venv/bin/python -c 'import pip' 2> /dev/null; then
    install_python || die "no Python to work with"
    say "making a virtual environment in .venv ($("$(find_python)" -V))"
    "$(find_python)" -m venv --clear .venv
  fi
  say "installing empiarfs and what it needs into .venv"
  if .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}"; then
    echo "${extra:-base} $wanted" > "$stamp"
  elif .venv/bin/python -m empiarfs --version > /dev/null 2>&1; then
    shout "pip failed; going on with what .venv holds"
  else
    die "pip could not install what empiarfs needs (see above); a package index is needed for that"
  fi
}

# What is needed to mount.
prepare_mounting() {
  install_for fusermount3 fuse3 "needed to mount" || true
  prepare_fuse
}
