"""Few descriptors: a hub that may have as many file descriptors as its first argument says."""

import resource
import sys

from eventhub import cli

if __name__ == "__main__":
    limit = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    cli.main()
