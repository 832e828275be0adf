"""Delivery: from events and rows to bytes, for whoever subscribes. Nothing here knows HTTP.

`view` is what a client asked to see and `subscription` what an event means to it; `start` finds
where a client begins, `replay` sends it the rows that are there (`folding` adds what came since),
and `subscriber` keeps it up to date. `live_channel` holds what is kept for one channel; its `fanout` has the `groups` of clients that see the same,
`watches` bounds what their filters cost, and `broadcast` writes to all of a group, by `io_submit`
where there are many. `frames` spells everything as bytes.
"""
