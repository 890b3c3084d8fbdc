"""A Parquet file as pyarrow, pandas and datasets write it, which the corpus reader must read.

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install pyarrow==26.0.1
    /tmp/goldens/bin/python scripts/goldens/parquet.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parents[2] / "crates/sigma-data/tests/goldens/parquet/pyarrow.parquet"

table = pa.table({
    "url": [f"https://example.org/{i}" for i in range(7)],
    "number": pa.array(range(7), pa.int64()),
    "body": [f"text {i}: caf\u00e9 \u4e2d\u6587" for i in range(6)] + ["text 0: caf\u00e9 \u4e2d\u6587"],
    "long": pa.array([f"large {i}" for i in range(7)], pa.large_string()),
    "tags": [["a", "b"], [], None, ["c"], ["d"], ["e"], ["f"]],
    "holes": ["a", "b", "c", "d", None, "f", "g"],
    "score": [0.5] * 7,
})
# dictionary pages, two compressions and three row groups
pq.write_table(table, OUT, row_group_size=3, compression={"body": "zstd", "url": "snappy", "number": "gzip"})
