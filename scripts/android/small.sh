# shellcheck shell=bash
#
# How the machine code for Android is made small. scripts/build-android builds with it, scripts/test unwinds through it.

# The standard library from its source, made small: a backtrace names no functions, which are stripped anyway.
readonly SMALL_STD=(-Zbuild-std=std,panic_unwind -Zbuild-std-features=panic-unwind,optimize_for_size,backtrace-trace-only)

# What Rust has not promised to keep, hence RUSTC_BOOTSTRAP. The files and lines of panics, which would be printed to a standard
# error that Android closes, are left out. A panic unwinds, but one in a destructor ends the process: every function that drops
# something would have code and a table for that. Tables for unwinding describe calls alone, from which panics unwind, not
# every instruction; on x86, a frame pointer spares them each push.
small_code() {
  printf '%s\n' -Zlocation-detail=none -Zpanic-in-drop=abort
  case $1 in
    x86*) echo -Cforce-frame-pointers=yes ;;
    *) echo -Zuse-sync-unwind=yes ;;
  esac
}

# Options of cargo: Cargo.toml has the core built to be quick, and Android's libraries are to be small. A push costs microseconds either way.
readonly SMALL_CORE=(--config 'profile.release.package.sipwake-core.opt-level="z"')

# For the last crate, in which all code comes together: of equal functions one is kept (the linker does so only for those that
# nothing unwinds through), and what is no longer than a call stands where it is called. On arm64, what functions have in common is put
# into one of its own where that saves more than its entry in the table for unwinding takes.
outlined() {
  printf -- '-C%s\n' passes=mergefunc llvm-args=-inline-threshold=10
  [[ $1 != arm64-v8a ]] || printf -- '-Cllvm-args=%s\n' -enable-machine-outliner=always -outliner-benefit-threshold=40
}
