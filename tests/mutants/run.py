"""Runs the mutants that cargo-mutants lists, nearly all of them from one build. See scripts/mutants.

cargo-mutants builds the crate again for each mutant: hours for a thousand of them. Here the body of each function is
written down once for each of its mutants, as the arms of a `match` over an environment variable; one build then holds
them all, and a mutant costs no more than a run of the tests. What cannot be switched so (constants, and functions that
return `impl Trait`) is built alone, as cargo-mutants does it.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tomllib

VARIABLE = "SIPWAKE_MUTANT"
PACKAGE = "sipwake-core"
CRATE = "rust/sipwake-core/"
# The number that means no mutant.
NOBODY = 2**32 - 1
SWITCH = f"""
#[doc(hidden)]
pub mod mutant_switch {{
    static ON: std::sync::LazyLock<u32> =
        std::sync::LazyLock::new(|| std::env::var("{VARIABLE}").ok().and_then(|on| on.parse().ok()).unwrap_or(u32::MAX));

    pub fn on() -> u32 {{
        *ON
    }}
}}
"""
# These take most of the time of the test program `core`. They only run for mutants that no other test has noticed.
SLOW = {
    "core": [
        "random_life",
        "pending_log_outs_are_bounded",
        "the_number_of_remembered_logged_out_users",
        "a_flow_that_breaks_after_each_registration",
        "a_request_of_1300_bytes",
        "endless_calls",
        "an_account_is_refused_or",
    ]
}
# A mutant may loop endlessly and fill the memory.
MEMORY = 6 << 30
# A test that waits endlessly uses no processor time.
PATIENCE = 600

ENVIRONMENT = dict(
    os.environ,
    RUSTFLAGS="-Awarnings",
    CARGO_PROFILE_DEV_DEBUG="none",
    # The stack frame of a function has room for the local variables of all its mutants.
    RUST_MIN_STACK=str(64 << 20),
    RUST_BACKTRACE="0",
    PROPTEST_CASES="16",
    PROPTEST_RNG_SEED="20261129",
    INSTA_UPDATE="no",
)


class Source:
    """The text of a file, and the places of its mutants."""

    def __init__(self, path):
        self.text = path.read_text()
        self.lines = self.text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def range(self, span):
        return tuple(self.starts[span[end]["line"] - 1] + span[end]["column"] - 1 for end in ("start", "end"))

    def body(self, start, end):
        """The places of the braces of the function at start..end."""
        depth, comment = 0, False
        for at in range(start, end):
            if comment or self.text.startswith("//", at):
                comment = self.text[at] != "\n"
            elif self.text[at] in "([":
                depth += 1
            elif self.text[at] in ")]":
                depth -= 1
            elif self.text[at] == "{" and depth == 0:
                return at, end - 1
        raise ValueError(f"no body in {self.text[start:end]}")


def name(mutant):
    """The change without the line number: `registration/pace.rs: replace + with - in …`."""
    return re.sub(r":\d+:\d+:", ":", mutant["name"]).removeprefix(CRATE + "src/")


def place(mutant, source):
    """The line with the changed part in marks; nothing if more than one line is changed."""
    start, end = mutant["span"]["start"], mutant["span"]["end"]
    if start["line"] != end["line"] or mutant["genre"] == "FnValue":
        return ""
    line, a, b = source.lines[start["line"] - 1], start["column"] - 1, end["column"] - 1
    return f"{line[:a]}«{line[a:b]}»{line[b:]}".strip()


def write(tree, mutants, sources, unbuildable):
    """Writes the sources with all mutants in them. Returns which mutant each line of each file belongs to, and the mutants
    that have to be built alone."""
    owners, alone = collections.defaultdict(dict), []
    for file, source in sources.items():
        functions = collections.defaultdict(list)
        for number, mutant in enumerate(mutants):
            if mutant["file"] != file or number in unbuildable:
                continue
            if mutant["function"] is None:
                alone.append(number)
            else:
                functions[source.range(mutant["function"]["span"])].append(number)
        outermost = [f for f in functions if not any(g != f and g[0] <= f[0] and f[1] <= g[1] for g in functions)]
        pieces, at, line = [], 0, 1
        for start, end in sorted(outermost):
            numbers = [n for f, inside in functions.items() if start <= f[0] and f[1] <= end for n in inside]
            opens, closes = source.body(start, end)
            if re.search(r"->\s*impl\b", source.text[start:opens]):
                alone += numbers
                continue
            signature = re.sub(r"\bconst fn\b", "fn", source.text[start:opens])
            arms = [source.text[at:start], signature, "{ match crate::mutant_switch::on() {\n"]
            line += sum(arm.count("\n") for arm in arms)
            for number in numbers:
                a, b = source.range(mutants[number]["span"])
                body = source.text[opens + 1 : a] + mutants[number]["replacement"] + source.text[b:closes]
                arms.append(f"{number} => {{{body}}}\n")
                owners[file].update(dict.fromkeys(range(line, line + arms[-1].count("\n")), number))
                line += arms[-1].count("\n")
            arms.append("_ => {" + source.text[opens + 1 : closes] + "} } }")
            line += arms[-1].count("\n")
            pieces += arms
            at = end
        (tree / file).write_text("".join(pieces) + source.text[at:])
    return owners, sorted(alone)


def cargo(tree, *arguments):
    command = ["cargo", *arguments, "--quiet", "--message-format", "json", "--package", PACKAGE]
    run = subprocess.run(command, cwd=tree, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return run.returncode == 0, [json.loads(line) for line in run.stdout.splitlines()]


def without_unbuildable(tree, mutants, sources):
    """Leaves out mutants that do not compile, until the rest does. The compiler gives up early, so this takes several rounds."""
    unbuildable = set()
    while True:
        owners, alone = write(tree, mutants, sources, unbuildable)
        built, messages = cargo(tree, "check", "--lib")
        if built:
            return unbuildable, alone
        found = set()
        for message in messages:
            if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
                spans = sorted(message["message"]["spans"], key=lambda span: not span["is_primary"])
                owner = (owners[span["file_name"]].get(span["line_start"]) for span in spans)
                found |= {number for number in owner if number is not None}
        if not found:
            sys.exit("scripts/mutants: the core does not compile, apart from any mutant: " + str(messages)[-2000:])
        unbuildable |= found


def programs(tree):
    """Builds the tests. Returns their programs by name, or nothing if they do not compile."""
    built, messages = cargo(tree, "test", "--no-run", "--lib", "--tests")
    found = {}
    for message in messages:
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            found[message["target"]["name"]] = message["executable"]
    return found if built else {}


def succeeds(tree, program, number, seconds, arguments):
    """Runs a test program with a mutant for this many seconds of processor time. `None` if it takes longer."""

    def bounds():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    environment = {**ENVIRONMENT, VARIABLE: str(number)}
    process = subprocess.Popen(
        [program, "--quiet", *arguments],
        cwd=tree / CRATE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=bounds,
    )
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return None
    return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code == 0


def forget_failures(tree):
    """Puts files where proptest would make folders for failing cases, so that one mutant's cases do not reach the next one."""
    for folder in ["", "tests"]:
        (tree / CRATE / folder / "proptest-regressions").touch()


class Tests:
    """The test programs, the quickest first, and how long they take without a mutant."""

    def __init__(self, tree, found):
        self.tree, self.steps = tree, []
        for name, program in found.items():
            skips = [word for slow in SLOW.get(name, []) for word in ("--skip", slow)]
            for arguments in [skips, []] if skips else [[]]:
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                if not succeeds(tree, program, NOBODY, PATIENCE, arguments):
                    sys.exit(f"scripts/mutants: {program} fails without any mutant")
                took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
                self.steps.append((took, program, arguments))
        self.steps.sort(key=lambda step: step[0])

    def judge(self, number):
        for took, program, arguments in self.steps:
            passes = succeeds(self.tree, program, number, int(3 + 3 * took), arguments)
            if not passes:
                return "looped" if passes is None else "caught"
        return "missed"


def judge_all(tree, mutants, sources, jobs):
    """Returns a verdict for each mutant."""
    unbuildable, alone = without_unbuildable(tree, mutants, sources)
    verdicts = dict.fromkeys(unbuildable, "unbuildable")
    print(f"{len(mutants)} mutants: {len(unbuildable)} do not compile, {len(alone)} are built alone", flush=True)
    found = programs(tree)
    if not found:
        sys.exit("scripts/mutants: the tests do not compile, apart from any mutant")
    tests = Tests(tree, found)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        switched = sorted(set(range(len(mutants))) - unbuildable - set(alone))
        running = {pool.submit(tests.judge, number): number for number in switched}
        for done in concurrent.futures.as_completed(running):
            verdicts[running[done]] = done.result()
            if done.result() == "missed":
                print(f"survived: {mutants[running[done]]['name']}", flush=True)
            if len(verdicts) % 100 == 0:
                print(f"{len(verdicts)} of {len(mutants)}", flush=True)
    for file, source in sources.items():
        (tree / file).write_text(source.text)
    for number in alone:
        file, (start, end) = mutants[number]["file"], sources[mutants[number]["file"]].range(mutants[number]["span"])
        text = sources[file].text
        (tree / file).write_text(text[:start] + mutants[number]["replacement"] + text[end:])
        # They have the same names as the programs with the switch.
        verdicts[number] = tests.judge(NOBODY) if programs(tree) else "unbuildable"
        (tree / file).write_text(text)
    return verdicts


def report(mutants, verdicts, sources, alive):
    """Prints a table, and each mutant that survived without a reason. Returns their number."""
    print(f"\n{'':<40}mutants  caught  looped  not built  survived")
    for file in sources:
        counts = collections.Counter(verdicts[n] for n, mutant in enumerate(mutants) if mutant["file"] == file)
        kinds = [counts.total(), *(counts[kind] for kind in ("caught", "looped", "unbuildable", "missed"))]
        print(f"{file.removeprefix(CRATE + 'src/'):<40}" + "{:>7} {:>7} {:>7} {:>10} {:>9}".format(*kinds))
    reasons = {(entry["what"], entry.get("line", "")): entry["why"] for entry in alive}
    survivors = {
        (name(mutant), place(mutant, sources[mutant["file"]]))
        for number, mutant in enumerate(mutants)
        if verdicts[number] == "missed"
    }
    for what, line in sorted(survivors & reasons.keys()):
        print("\n  ".join(filter(None, [f"\nmay live: {what}", line, reasons[what, line]])))
    files = {file.removeprefix(CRATE + "src/") for file in sources}
    for what, line in sorted(key for key in reasons.keys() - survivors if key[0].split(":")[0] in files):
        print(f"\nin alive.toml, but noticed or gone: {what}\n  {line}")
    unexplained = sorted(survivors - reasons.keys())
    for what, line in unexplained:
        print(f"\nSURVIVED:\n[[mutant]]\nwhat = {json.dumps(what, ensure_ascii=False)}")
        print(f"line = {json.dumps(line, ensure_ascii=False)}" if line else "", end="\n" if line else "")
        print('why = ""')
    return len(unexplained)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("tree", type=pathlib.Path, help="a copy of the repository, which is written to")
    parser.add_argument("listed", type=pathlib.Path, help="what cargo mutants --list --json printed")
    parser.add_argument("alive", type=pathlib.Path, help="the mutants that may survive, with reasons")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time (default: one per processor)")
    arguments = parser.parse_args()
    mutants = json.loads(arguments.listed.read_text())
    sources = {file: Source(arguments.tree / file) for file in sorted({mutant["file"] for mutant in mutants})}
    root = arguments.tree / CRATE / "src/lib.rs"
    root.write_text(root.read_text() + SWITCH)
    forget_failures(arguments.tree)
    verdicts = judge_all(arguments.tree, mutants, sources, arguments.jobs)
    alive = tomllib.loads(arguments.alive.read_text())["mutant"]
    unexplained = report(mutants, verdicts, sources, alive)
    print(f"\n{unexplained} mutants survived without a reason in {arguments.alive.name}")
    sys.exit(1 if unexplained else 0)


main()
