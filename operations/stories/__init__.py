"""Stories: examples of events and of the rows that they must lead to, run in memory."""
