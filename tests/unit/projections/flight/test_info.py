"""A driver learns what the server can do."""

from projections.flight import info


def test_a_driver_gets_the_infos_that_it_asks_for_and_all_without_a_wish() -> None:
    found = info.table([0, 3, 99999]).to_pylist()
    assert found == [{"info_name": 0, "value": "EventHub"}, {"info_name": 3, "value": True}]
    everything = info.table([])
    everything.validate(full=True)
    assert everything.num_rows == len(info.INFOS)
