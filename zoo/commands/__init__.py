"""The commands: each is a module with a ``main`` and, as its docstring, its help."""
