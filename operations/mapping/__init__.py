"""Files of other systems as events, by a mapping: which columns make which events.

`plan` is the mapping, `rows` reads files, `parts` makes each row's parts of events, `joining` puts
parts together, `making` makes records of them, `matching` finds the sales of returns, `mapped` runs
it all in bounded memory, and `progress` is how far it is.
"""
