"""Reading: what a live client reads, and from where on, as the arguments of its URL say."""

from dataclasses import replace

from eventhub.delivery.frames import Form
from eventhub.delivery.past import sequence_as_of
from eventhub.delivery.start import Arrival, Start, start_of
from eventhub.delivery.view import View
from eventhub.errors import Rejected
from eventhub.gateway.attending import check_presence
from eventhub.gateway.controls import Surface, check_honoured, checked_choice, speed_of
from eventhub.gateway.route import Route, Visit


async def reading(
    route: Route, visit: Visit, form: Form, arrived: Arrival | None = None, number: int = 0
) -> tuple[View, Start]:
    """Return what a client reads, and where it starts.

    Args:
        route: the endpoint.
        visit: the client, as it was admitted.
        form: of its frames.
        arrived: what the log held when it came; by default what it holds now.
        number: of the subscription on its socket; 0 if it is the only one.

    Raises:
        Rejected: `bad_filter`, `bad_position` or `bad_request`.
        Unavailable: the log cannot be read now.
    """
    view = route.view(visit, form, number)
    check_honoured(visit.asked, Surface.LIVE)
    check_presence(route, visit, form)
    if "_format" in visit.asked:
        checked_choice("_format", visit.control("_format"), ("json",))
    since, as_of = visit.control("_since"), visit.control("_as_of")
    speed = speed_of(visit.control("_speed"))
    if as_of is None:
        if speed is not None:
            text = "_speed plays what followed a past state: add _as_of"
            raise Rejected("bad_request", text, column="_speed")
        return view, await start_of(since, view, route.channel, arrived)
    if view.history or "_since" in visit.asked:
        text = "_as_of reads rows as they were: leave out _since and _replay"
        raise Rejected("bad_request", text, column="_as_of")
    sequence = await sequence_as_of(as_of, route.channel.stream, await route.channel.bounds.read())
    view = view.after(sequence)
    if since is not None and speed is not None:  # an event stream that was cut goes on
        return view, replace(await start_of(since, view, route.channel), speed=speed)
    return view, Start(position=None, head=sequence, speed=speed)
