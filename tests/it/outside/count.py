"""Counts the spans of a table, and of one of its traces, with an engine of this machine.

usage: count.py polars|duckdb TABLE_FOLDER TRACE_ID EXTENSIONS_FOLDER
prints: "<engine> <version> <spans> <spans of the trace> <tags of the trace>"
"""

import pathlib
import sys

engine, table, trace_id, folder = sys.argv[1:5]

if engine == "polars":
    import deltalake
    import polars

    frame = polars.scan_delta(table)
    spans = frame.select(polars.len()).collect().item()
    trace = frame.filter(polars.col("trace_id") == trace_id).collect()
    # A map arrives as a dictionary or as a list of its entries, by version.
    tags = sum(len(entries) for entries in trace["tags"].to_list() if entries is not None)
    print("polars", f"{polars.__version__}+deltalake-{deltalake.__version__}", spans, trace.height, tags)
elif engine == "duckdb":
    import duckdb
    import duckdb_extension_delta

    package = pathlib.Path(next(iter(duckdb_extension_delta.__path__)))
    extension = next(package.glob(f"extensions/v{duckdb.__version__}/delta.duckdb_extension"))
    connection = duckdb.connect(config={"extension_directory": folder})
    connection.execute(f"INSTALL '{extension}'")
    connection.execute("LOAD delta")
    spans = connection.execute("SELECT count(*) FROM delta_scan(?)", [table]).fetchone()[0]
    rows, tags = connection.execute(
        "SELECT count(*), sum(cardinality(tags)) FROM delta_scan(?) WHERE trace_id = ?", [table, trace_id]
    ).fetchone()
    print("duckdb", duckdb.__version__, spans, rows, int(tags or 0))
else:
    sys.exit(f"no engine {engine}")
