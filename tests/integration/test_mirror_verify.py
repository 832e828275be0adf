"""Every difference between a mirror and the log is named, and a rebuild removes it."""

from projections.mirror import Mirror
from tests.databases import Database
from tests.mirroring import CHANGES, CHANNEL, mirror_all, opened, proved, written


async def test_differences_are_named(database: Database) -> None:
    stream = await written(CHANNEL, *CHANGES, ("POST", "e", {}))
    await mirror_all(database, stream)
    database.execute("UPDATE simple SET body = 'forged' WHERE id = 'a'")
    database.execute("DELETE FROM simple WHERE id = 'c'")
    database.execute("INSERT INTO simple (id, votes) VALUES ('x', 1)")
    report, found = await proved(database, stream)
    assert report.different == len(found) == 3
    assert [(one.id, one.column, one.log, one.held, one.what) for one in found] == [
        ("a", "body", "changed", "forged", "differs"),
        ("x", None, None, None, "is in the table, not in the log"),
        ("c", None, None, None, "is missing"),
    ]
    mirror = Mirror(opened(database), stream)
    assert await mirror.rebuild(lambda _reached, _last: None) == 7
    mirror.close()
    assert (await proved(database, stream))[0].is_equal
