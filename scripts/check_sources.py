#!/usr/bin/env python3
"""Rules about the sources that neither rustfmt nor clippy know. Standard library only.

- no Rust file above 500 lines: a file is about one noun;
- no unfinished work left behind;
- modules import downward only: no two files of a crate use each other (`crate::a` from b and `crate::b` from a).
"""

import pathlib
import re
import subprocess
import sys

LONGEST = 500
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b|todo!\(|unimplemented!\(")


def tracked():
    listing = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    return [pathlib.Path(name.decode()) for name in listing.split(b"\0") if name]


def top_module(crate_source, path):
    part = path.relative_to(crate_source).parts[0]
    return part.removesuffix(".rs")


def circles(files):
    """Pairs of top-level modules of a crate that use each other."""
    uses = {}
    for path in files:
        parts = path.parts
        if "src" not in parts or path.suffix != ".rs":
            continue
        source = pathlib.Path(*parts[: parts.index("src") + 1])
        module = top_module(source, path)
        code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("//"))
        for name in re.findall(r"\bcrate::(\w+)", code):
            uses.setdefault((source, module), set()).add(name)
    for (source, module), names in sorted(uses.items()):
        for name in sorted(names):
            if name > module and module in uses.get((source, name), ()):
                yield f"{source}: modules {module} and {name} use each other"


def main():
    files = [path for path in tracked() if path.exists()]
    problems = list(circles(files))
    for path in files:
        if path.suffix not in {".rs", ".proto", ".py", ".sh"} or path.name == "check_sources.py":
            continue
        lines = path.read_text().splitlines()
        if path.suffix == ".rs" and len(lines) > LONGEST:
            problems.append(f"{path}: {len(lines)} lines, more than {LONGEST}: is it still about one noun?")
        problems += [f"{path}:{number}: unfinished: {line.strip()}" for number, line in enumerate(lines, 1) if UNFINISHED.search(line)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
