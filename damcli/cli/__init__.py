"""The command line: one module a command, and the boundary that turns errors into messages."""
