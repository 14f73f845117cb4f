"""Submit labelling jobs, follow them, read and export their results. Needs no model runtime."""
