"""The frame of the command line, in which the commands of plugins are run."""
