"""`/metrics` is the Prometheus text format, and reveals no versions."""

from prometheus_client.parser import text_string_to_metric_families

from eventhub import metrics


def test_the_exposition_can_be_parsed_and_counts() -> None:
    metrics.REFUSED.labels("a code of the test").inc(2)
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    found = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "eventhub_messages_refused_total"
        and sample.labels == {"code": "a code of the test"}
    ]
    assert found == [2.0]


def test_the_exposition_reveals_no_versions() -> None:
    assert b"python_info" not in metrics.exposition()
    assert b"version" not in metrics.exposition()
