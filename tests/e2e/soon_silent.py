"""Soon silent: a process that says how it is, and counts as silent, in less than a second."""

from eventhub import cli, processes

if __name__ == "__main__":
    processes.SILENT_SECONDS = 1.0  # type: ignore[misc]
    vars(processes)["EVERY_SECONDS"] = 0.2
    cli.main()
