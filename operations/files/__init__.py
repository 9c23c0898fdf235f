"""Reading files of events: opening, form, lines."""
