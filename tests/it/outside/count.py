"""Counts the rows of a table, those of them with a value in a column, and the entries of their maps in another, with an
engine of this machine.

usage: count.py polars|duckdb TABLE_FOLDER COLUMN VALUE MAP_COLUMN EXTENSIONS_FOLDER
prints: "<engine> <version> <rows> <rows with the value> <entries of their maps>"
"""

import pathlib
import sys

engine, table, column, value, map_column, folder = sys.argv[1:7]

if engine == "polars":
    import deltalake
    import polars

    frame = polars.scan_delta(table)
    rows = frame.select(polars.len()).collect().item()
    some = frame.filter(polars.col(column) == value).collect()
    # A map arrives as a dictionary or as a list of its entries, by version.
    entries = sum(len(entries) for entries in some[map_column].to_list() if entries is not None)
    print("polars", f"{polars.__version__}+deltalake-{deltalake.__version__}", rows, some.height, entries)
elif engine == "duckdb":
    import duckdb
    import duckdb_extension_delta

    package = pathlib.Path(next(iter(duckdb_extension_delta.__path__)))
    extension = next(package.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))
    connection = duckdb.connect(config={"extension_directory": folder})
    connection.execute(f"INSTALL '{extension}'")
    connection.execute("LOAD delta")
    rows = connection.execute("SELECT count(*) FROM delta_scan(?)", [table]).fetchone()[0]
    some, entries = connection.execute(
        f"SELECT count(*), sum(cardinality({map_column})) FROM delta_scan(?) WHERE {column} = ?", [table, value]
    ).fetchone()
    print("duckdb", duckdb.__version__, rows, some, int(entries or 0))
else:
    sys.exit(f"no engine {engine}")
