"""Dead letters: reading, grouping, judging and deciding, for the commands about them."""
