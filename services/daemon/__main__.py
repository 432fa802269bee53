"""`python -m services.daemon`"""

import sys

from services.daemon.service import main
from shared.service.process import run

sys.exit(run("daemon", main))
