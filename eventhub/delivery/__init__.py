"""Delivery: from events and rows to bytes for every subscriber. Nothing here knows HTTP.

Replay, from a client's request to the bytes of the snapshot:

1. `start`: where reading begins: the current rows, or a position in the log
2. `subscriber`: reads the past, then attaches itself to the fan-out
3. `replay`: opens a snapshot, or joins one that other readers share
4. `fold`: the rows that are newer than a shared snapshot
5. `frames`: makes rows and control frames bytes

Live, from the feed to the sockets:

1. `live_channel`: what one channel's endpoints share; caches see a batch before the fan-out
2. `fanout`: writes a batch to all subscribers that are up to date
3. `groups`: subscribers with equal views, found by what an event says
4. `view`: which frame an event is for one group (`subscription` decides)
5. `frames`: makes it bytes
6. `broadcast`: writes the bytes to all sockets of a group
7. `io_submit`: the system call for many sockets

`outlet` is what a subscriber writes to, `live_filters` bounds what the filters of live subscribers
cost, and `log_bounds` reads where the log begins and ends.
"""
