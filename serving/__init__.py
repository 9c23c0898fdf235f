"""Who asks: a reader follows the tables' changelogs and the journal into a store of its own, and answers from it over HTTP."""
