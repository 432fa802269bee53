"""`python -m services.completer`"""

import sys

from services.completer.service import main
from shared.service.process import run

sys.exit(run("completer", main))
