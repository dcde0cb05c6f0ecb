#!/usr/bin/env python3
"""Computes the rows of `hourly_delays.sql` from the same CSV, without Millrace.

    python3 oracle.py FILE...                 the windows: one row an hour and origin
    python3 oracle.py --late FILE...          the late rows, as they stand in the files
    python3 oracle.py --output json FILE...   JSON lines instead of CSV

The rule: event time is the actual departure, or the scheduled one of a cancelled flight. The
watermark is, file by file, the largest event time of the rows before, less four hours. A row is
late when the last millisecond of its window is not after the watermark. Late rows are in no window.

Files may be `.gz` or plain; a directory stands for its files. Only the standard library is used.
"""

import argparse
import csv
import datetime
import gzip
import json
import pathlib
import sys
from decimal import ROUND_HALF_UP, Decimal

DELAY = datetime.timedelta(hours=4)
WINDOW = datetime.timedelta(hours=1)
LAST_INSTANT = datetime.timedelta(milliseconds=1)
NUMBERS = ["dep_delay", "arr_delay", "flight", "air_time", "distance"]


def files(paths):
    """The files that the paths name; the hidden ones of a directory are not data."""
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.name[0] not in "._")
        else:
            yield path


def rows_of(path):
    """A file's rows, in order; empty fields are None, numbers are numbers."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            row = {name: text if text != "" else None for name, text in row.items()}
            for name in NUMBERS:
                row[name] = None if row[name] is None else int(row[name])
            yield row


def judged(path):
    """A file's rows as (window start, late or not, row)."""
    watermark = datetime.datetime.min
    for row in rows_of(path):
        event_time = datetime.datetime.fromisoformat(row["departure"] or row["scheduled_departure"])
        start = event_time.replace(minute=0, second=0, microsecond=0)
        yield start, start + WINDOW - LAST_INSTANT <= watermark, row
        watermark = max(watermark, event_time - DELAY)


def rounded(numerator, denominator):
    """The mean as a double, rounded half up to one digit as Flink's ROUND does it."""
    mean = Decimal(repr(numerator / denominator))
    return float(mean.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP))


def windows(paths):
    """The result: a row an hour and origin, ordered by both."""
    groups, late = {}, 0
    for path in files(paths):
        for start, is_late, row in judged(path):
            if is_late:
                late += 1
            else:
                groups.setdefault((start, row["origin"]), []).append(row)
    print(f"{late} late rows", file=sys.stderr)
    for (start, origin), rows in sorted(groups.items()):
        delays = [row["dep_delay"] for row in rows if row["dep_delay"] is not None]
        yield {
            "window_start": str(start),
            "origin": origin,
            "flights": len(rows),
            "mean_delay": rounded(sum(delays), len(delays)) if delays else None,
            "worst_delay": max(delays) if delays else None,
            "cancelled": sum(row["departure"] is None for row in rows),
        }


def late_rows(paths):
    """The late rows, with the columns that `hourly_delays.sql` shows of them."""
    for path in files(paths):
        for _, is_late, row in judged(path):
            if is_late:
                yield {name: row[name] for name in
                       ["departure", "carrier", "flight", "origin", "dest", "air_time"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--late", action="store_true", help="the late rows instead of the windows")
    parser.add_argument("--output", choices=["csv", "json"], default="csv")
    arguments = parser.parse_args()
    writer = None
    for row in (late_rows if arguments.late else windows)(arguments.files):
        if arguments.output == "json":
            print(json.dumps(row, separators=(",", ":")))
            continue
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
