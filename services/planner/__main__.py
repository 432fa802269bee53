"""`python -m services.planner`"""

import sys

from services.planner.service import main
from shared.service.process import run

sys.exit(run("planner", main))
