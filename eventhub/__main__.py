"""`python -m eventhub` is the `eventhub` command."""

from eventhub.cli import main

if __name__ == "__main__":
    main(prog_name="eventhub")
