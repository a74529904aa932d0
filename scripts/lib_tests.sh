# What scripts/test and scripts/campaign share: running pytest so that whatever hangs is
# ended and whatever stays behind is found. To be sourced by bash behind lib.sh, in the
# checkout's root; then `begin_tests`, and `run_pytest` as often as needed.

# What the tests need beside Python.
prepare_tests() {
  prepare_mounting
  install_for /usr/sbin/apache2 apache2-bin \
    "the server that the tests start on a free port; this package starts none itself" || true
  install_for openssl openssl "certificates for the tests" || true
  install_for rsync rsync "one of the programs tried on the mount" || true
  install_for getfattr attr "one of the programs tried on the mount" || true
  install_for file file "one of the programs tried on the mount" || true
  install_for git git "to see whether the tests leave files behind" || true
  install_libfuse2 || true
  install_relion
  make_environment dev
  install_ratarmount
  install_torch
}

# One of the programs tried on the mount, in an environment of its own: it needs much that
# empiarfs doesn't, and its own release of the package that speaks FUSE.
install_ratarmount() {
  local place=build/ratarmount
  [ -x "$place/bin/ratarmount" ] && return 0
  say "installing ratarmount into $place (one of the programs tried on the mount)"
  "$(find_python)" -m venv --clear "$place" &&
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check \
      --only-binary :all: ratarmount || {
    rm -rf "$place"
    shout "pip could not install ratarmount: its tests are SKIPPED"
  }
}

# PyTorch as it is built without CUDA: the usual build brings several gigabytes of that, so it is
# never asked for. Not every Python and every package index has the other.
TORCH="torch==2.13.0+cpu"
TORCH_INDEX="https://download.pytorch.org/whl/cpu"
install_torch() {
  local pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check --retries 0 --timeout 10)
  if .venv/bin/python -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))'; then
    return 0
  fi
  say "installing PyTorch without CUDA ($TORCH), for the tests of training"
  "${pip[@]}" install "$TORCH" 2> /dev/null && return 0
  "${pip[@]}" install --extra-index-url "$TORCH_INDEX" "$TORCH" 2> /dev/null && return 0
  shout "$TORCH can't be had here: the tests with PyTorch's loaders are SKIPPED"
}

# What git sees beside the committed files, to compare before and after.
untracked() { git status --porcelain --untracked-files=all 2> /dev/null | grep '^??' | sort || true; }

# The processes that were started by this run and still are there, by the variable that
# they inherited.
processes_left() {
  local directory
  for directory in /proc/[0-9]*; do
    if tr '\0' '\n' < "$directory/environ" 2> /dev/null | grep -qx "RUN_OF_EMPIARFS_TESTS=$RUN"; then
      echo "process ${directory#/proc/}: $(tr '\0' ' ' < "$directory/cmdline")"
    fi
  done 2> /dev/null
}

# Our mounts all lie below our temporary directory.
mounts_left() { awk -v here="$SCRATCH/" 'index($5, here) == 1 { print "mount " $5 }' /proc/self/mountinfo; }

# Logs and lists of errors in the places where real mounts have theirs.
records_left() {
  find /var/log/empiarfs "${XDG_STATE_HOME:-$HOME/.local/state}/empiarfs" "/var/tmp/empiarfs-errors-$(id -u)" \
    -type f -newer "$STARTED" 2> /dev/null | while read -r file; do
    if grep -q "$SCRATCH" "$file" || [[ "$file" == *"${SCRATCH##*/}"* ]]; then echo "$file"; fi
  done
}

clean_up() {
  mounts_left | while read -r _ point; do as_root umount -l "$point" || fusermount3 -uz "$point" || true; done
  processes_left | sed -E 's/^process ([0-9]+):.*/\1/' | xargs -r kill -9 2> /dev/null || true
  as_root rm -rf --one-file-system "$SCRATCH" 2> /dev/null || rm -rf --one-file-system "$SCRATCH"
}

finish() {
  local status=$? left
  trap - EXIT
  left="$(
    mounts_left
    processes_left
    records_left
    comm -13 <(echo "$UNTRACKED_BEFORE") <(untracked)
  )"
  if [ -n "$left" ]; then
    shout "the tests left behind:"
    echo "$left" >&2
    [ "$status" -ne 0 ] || status=1
  fi
  clean_up
  if [ "$status" -eq 0 ]; then
    say "everything passed, in $SECONDS s"
  else
    shout "failed with status $status, after $SECONDS s"
  fi
  exit "$status"
}

step() {
  local before=$SECONDS status=0
  say "> ${*/"$OWN_NETWORK"/...}"
  # Said aloud: behind `||`, as a caller may stand, `set -e` ends nothing.
  "$@" || status=$?
  echo "  ($((SECONDS - before)) s)"
  return "$status"
}

# Give a program a network of its own, with nothing in it but loopback, where root may: then
# the tests neither share the machine's budget of connections with real mounts, nor can they
# reach the internet.
OWN_NETWORK='
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", UP_AND_RUNNING))
os.execvp(sys.argv[1], sys.argv[1:])
'

choose_network() {
  NETWORK=(unshare --net python -c "$OWN_NETWORK")
  if ! "${NETWORK[@]}" true 2> /dev/null; then
    say "the tests share this machine's network: programs can't be given one of their own here"
    NETWORK=()
  fi
}

# run_pytest SECONDS WHERE ARGUMENT...: pytest, for so long at most, in the places named by the
# words of WHERE unless an argument names a file or folder. A test that hangs ends the run, as
# Ctrl-C would, so that what it began is cleaned up.
run_pytest() {
  local limit_s="$1" argument where
  read -r -a where <<< "$2"
  shift 2
  for argument in "$@"; do
    if [ -e "${argument%%::*}" ]; then where=(); fi
  done
  (
    export TMPDIR="$SCRATCH" XDG_STATE_HOME="$SCRATCH/state" RUN_OF_EMPIARFS_TESTS="$RUN"
    step timeout --foreground -s INT -k 60 "$limit_s" "${NETWORK[@]}" \
      python -m pytest --durations=10 "$@" "${where[@]}"
  )
}

# run_failed_again SECONDS STATUS: run the tests that failed in the last run once more, by
# themselves. A machine that is busy with something else can be too late for one of thousands
# that run beside each other; what passes alone is named all the same, so that it is mended.
# More than a few failures, or one without a test, stay what they are.
run_failed_again() {
  local limit_s="$1" status="$2" failed
  failed="$(python - << 'PYTHON'
import json
from pathlib import Path

path = Path(".pytest_cache/v/cache/lastfailed")
print("\n".join(json.loads(path.read_text()) if path.exists() else ()))
PYTHON
)"
  if [ "$status" -ne 1 ] || [ -z "$failed" ] || [ "$(wc -l <<< "$failed")" -gt 3 ]; then
    return "$status"
  fi
  shout "these failed beside others, and are run once more by themselves:"
  echo "$failed" >&2
  run_pytest "$limit_s" "empiarfs tests" --doctest-modules --last-failed \
    --last-failed-no-failures none || return "$status"
  shout "they pass by themselves; why they failed beside others is to be found out:"
  echo "$failed" >&2
}

# Prepare the machine and a scratch directory, and see to it that nothing stays behind.
begin_tests() {
  prepare_tests
  RUN="$$-$(date +%s)"
  # Other users must be able to enter: Apache and the plain user of some tests.
  SCRATCH="$(mktemp -d /tmp/empiarfs-tests.XXXXXX)"
  chmod 755 "$SCRATCH"
  STARTED="$SCRATCH/started"
  touch "$STARTED"
  UNTRACKED_BEFORE="$(untracked)"
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  export PATH="$PWD/.venv/bin:$PATH:/usr/sbin:/sbin"
  choose_network
}
