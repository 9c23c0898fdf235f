"""The contract of the topics: JSON Schemas, the AsyncAPI document, and what a change may not do."""
