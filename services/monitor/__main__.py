"""`python -m services.monitor`"""

import sys

from services.monitor.service import main
from shared.service.process import run

sys.exit(run("monitor", main))
