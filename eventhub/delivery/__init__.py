"""Delivery: from events and rows to bytes for every subscriber. Nothing here knows HTTP.

Replay, from a client's request to the bytes of the snapshot:

1. `start`: where reading starts: at the current rows, or at a position in the log
2. `subscriber`: reads the past, then attaches itself to the fan-out
3. `replay`: opens a snapshot, or joins one that other readers share
4. `fold`: the rows that are newer than a shared snapshot
5. `frames`: makes bytes of rows and control frames

Live, from the feed to the sockets:

1. `fanout`: writes a batch to all subscribers that are up to date
2. `groups`: subscribers with equal views, found by the values of an event
3. `view`: which frame an event is for one group
4. `frames`: makes bytes of it
5. `broadcast`: writes the bytes to all sockets of a group
6. `io_submit`: the system call for many sockets

`live_channel` holds what the endpoints of one channel share, and `outlet` is what a subscriber
writes to. `live_filters` bounds what the filters of live subscribers cost, `log_bounds` reads where
the log begins and ends, and `last_events` searches for the last N events.
"""
