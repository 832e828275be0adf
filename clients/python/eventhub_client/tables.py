"""Tables: rows as a data frame or an Arrow table; each kind needs its extra."""

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

COMMAND = 'pip install "eventhub-client[{extra}]"'


def arrow_table(stream: bytes) -> "pyarrow.Table":
    """Return the table of an Arrow stream.

    Raises:
        ImportError: pyarrow is not installed.
    """
    ipc = _imported("pyarrow.ipc", "arrow")
    with ipc.open_stream(stream) as reader:
        return reader.read_all()


def polars_frame(stream: bytes) -> "polars.DataFrame":
    """Return the polars frame of an Arrow stream.

    Raises:
        ImportError: polars is not installed.
    """
    frame: polars.DataFrame = _imported("polars", "polars").read_ipc_stream(BytesIO(stream))
    return frame


def pandas_frame(stream: bytes) -> "pandas.DataFrame":
    """Return the pandas frame of an Arrow stream.

    Raises:
        ImportError: pandas or pyarrow is not installed.
    """
    _imported("pandas", "pandas")
    return arrow_table(stream).to_pandas()


def _imported(module: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        text = f"{module} is not installed: {COMMAND.format(extra=extra)}"
        raise ImportError(text, name=module) from error
