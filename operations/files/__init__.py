"""Reading files of events: compression, lines and array elements. It knows no rule and no event."""
