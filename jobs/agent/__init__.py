"""The agent of a node: starts, follows and stops the attempts that the database assigns to it."""
