"""Sets of any size in shards (tars, parquet): indexed once, streamed in a windowed order."""
