"""Every format that can be asked for can be written, and a question says no more than it must."""

import io
from typing import get_args

import pyarrow as pa
import pytest

from eventhub.queries import Format, Question
from projections.sql.encoding import writer_of

TABLE = pa.table({"n": [1, 2]})


@pytest.mark.parametrize("name", get_args(Format))
def test_each_format_of_a_question_is_written(name: Format) -> None:
    file = io.BytesIO()
    writer = writer_of(name, file, TABLE.schema, frozenset())
    writer.write(TABLE)
    writer.close()
    assert file.getvalue()


def test_a_question_is_of_all_rows_as_json_with_no_parameters() -> None:
    question = Question(sql="SELECT 1")
    assert (question.format, dict(question.parameters), question.rows) == ("json", {}, None)
    assert question.at_least == ""
