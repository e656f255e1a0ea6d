"""One page about a table that a person would rather look at than read."""
