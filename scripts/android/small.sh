# shellcheck shell=bash
#
# How the machine code for Android is made small. scripts/build-android builds with it, and scripts/test unwinds through
# it.

# The standard library, built from source and small. A backtrace names no functions, because they are stripped anyway.
readonly SMALL_STD=(-Zbuild-std=std,panic_unwind -Zbuild-std-features=panic-unwind,optimize_for_size,backtrace-trace-only)

# Unstable options of Rust, so RUSTC_BOOTSTRAP is set. The files and lines of panics are left out: they would go to a standard
# error that Android closes. A panic unwinds, but a panic in a destructor ends the process; otherwise every function that drops
# something would need code and a table for it. The unwind tables describe only calls, from which panics unwind, and not every
# instruction. On x86, a frame pointer means that they need not describe each push.
small_code() {
  printf '%s\n' -Zlocation-detail=none -Zpanic-in-drop=abort
  case $1 in
    x86*) echo -Cforce-frame-pointers=yes ;;
    *) echo -Zuse-sync-unwind=yes ;;
  esac
}

# Options of cargo: Cargo.toml optimises the core for speed, but Android's libraries must be small. A push takes microseconds in both
# cases.
readonly SMALL_CORE=(--config 'profile.release.package.sipwake-core.opt-level="z"')

# For the last crate, which gets all code: one of several equal functions is kept (the linker only does that for functions without
# unwinding), and a function no longer than a call is inlined. On arm64, common parts of functions are moved into a function of their
# own if that saves more than its entry in the unwind table takes.
outlined() {
  printf -- '-C%s\n' passes=mergefunc llvm-args=-inline-threshold=10
  [[ $1 != arm64-v8a ]] || printf -- '-Cllvm-args=%s\n' -enable-machine-outliner=always -outliner-benefit-threshold=40
}
