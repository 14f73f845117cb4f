"""One module a behaviour: its prediction type, its parameters, and how a prediction becomes a record and back."""
