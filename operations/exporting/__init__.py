"""Exports: the journal and the tables at one vector as Parquet, their proof, and SQL over them."""
