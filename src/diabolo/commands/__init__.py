"""The commands: plain functions on paths, which the command line and other faces call."""
