"""A module with a mistake in it."""

raise RuntimeError("this module cannot be imported, on purpose")
