"""`python -m services.gateway`"""

import sys

from services.gateway.service import main
from shared.service.process import run

sys.exit(run("gateway", main))
