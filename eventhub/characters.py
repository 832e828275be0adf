"""Characters: the one definition of what is a control character."""

import re
from typing import Final

CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
"""C0, DEL and C1: terminals, headers and URLs may take any of them for a command."""
