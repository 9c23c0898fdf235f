"""Exports: Parquet files of the journal and the tables at one vector, their proof, and SQL over them."""
