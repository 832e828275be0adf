"""Soon resting: a hub whose tables rest as many seconds after their last client as its argument."""

import sys

from eventhub import cli, parts

if __name__ == "__main__":
    vars(parts)["REST_SECONDS"] = float(sys.argv.pop(1))
    cli.main()
