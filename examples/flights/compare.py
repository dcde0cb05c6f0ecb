#!/usr/bin/env python3
"""Compares rows with the expected ones, whole and as multisets: order is free, nothing else is.

    python3 compare.py EXPECTED.csv ACTUAL...

EXPECTED is CSV with a header. ACTUAL is CSV or JSON lines, `-` for standard input; a directory
stands for its files, hidden ones left out. CSV may hold several blocks, each with its header and
an empty line between them, as `millrace run --output csv` prints the SELECTs of a script; blocks
with another header than EXPECTED's are passed over, and so are JSON rows with other keys. CSV
without any header has the columns of EXPECTED.

Exit code 0: all rows are equal. 1: there are differences; the first 20 of each kind are shown.
"""

import argparse
import collections
import csv
import json
import pathlib
import sys


def text_of(value):
    """A JSON value as CSV has it."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def lines_of(paths):
    """Each path's lines as (name, lines)."""
    for path in paths:
        if path == "-":
            yield "standard input", sys.stdin.read().splitlines()
            continue
        path = pathlib.Path(path)
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file()
                           and not any(part[0] in "._" for part in file.relative_to(path).parts))
        for file in files:
            yield str(file), file.read_text(encoding="utf-8").splitlines()


def rows_of(lines, header):
    """The rows with these columns, as tuples of texts."""
    if lines and lines[0].startswith("{"):
        for line in filter(None, lines):
            row = json.loads(line)
            if list(row) == header:
                yield tuple(text_of(row[name]) for name in header)
        return
    ours, at_start = True, True
    for line in lines:
        if line == "":
            at_start = True
            continue
        fields = next(csv.reader([line]))
        if at_start:
            at_start, is_header = False, fields == header
            # Without a header, the first line begins with a time; another header with a word.
            ours = is_header or len(fields) == len(header) and line[0].isdigit()
            if is_header:
                continue
        if ours:
            yield tuple(fields)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("expected", metavar="EXPECTED.csv")
    parser.add_argument("actual", nargs="+", metavar="ACTUAL")
    arguments = parser.parse_args()
    with open(arguments.expected, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    expected = collections.Counter(map(tuple, rows))
    actual = collections.Counter()
    for _, lines in lines_of(arguments.actual):
        actual.update(rows_of(lines, header))
    missing, surplus = expected - actual, actual - expected
    for what, rows in [("missing", missing), ("surplus", surplus)]:
        for row in sorted(rows.elements())[:20]:
            print(f"{what}: {','.join(row)}")
    counts = f"{expected.total():,} expected, {actual.total():,} found, " \
             f"{missing.total():,} missing, {surplus.total():,} surplus"
    print(counts)
    sys.exit(1 if missing or surplus else 0)


if __name__ == "__main__":
    main()
