"""`python -m services.executor`"""

import sys

from services.executor.service import main
from shared.service.process import run

sys.exit(run("executor", main))
