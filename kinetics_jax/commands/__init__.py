"""What every command does alike: flags of its own, config files, errors of one line, exit codes.

Nothing is imported here: ``requirements`` must be there when any package that is needed is not.
"""
